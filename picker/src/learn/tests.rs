//! What is learned is right on average, slow, and cannot be led out of its bounds.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::entropy::{Entropy, SplitMix64};

/// The answer of an endpoint that is `speed` times as fast as expected of `learned`'s speed now, with
/// `output` tokens.
fn answer(speed: f32, output: u32, stream: bool) -> Completion {
    let (ttft_ms, total_ms) = (50.0, 50.0 + 225.0 * 10.0);
    Completion {
        endpoint: EndpointId {
            address: ([10, 0, 0, 1], 1).into(),
            generation: 0,
        },
        estimate: Estimate {
            prompt_tokens: 250,
            uncached_tokens: 250,
            ttft_ms,
            total_ms,
        },
        prompt_bytes: 1_000,
        prompt_tokens: Some(250),
        cached_tokens: None,
        output_tokens: Some(output),
        first_token_ms: stream.then_some(ttft_ms / speed),
        total_ms: (ttft_ms + 10.0 * (output - 1) as f32) / speed,
    }
}

fn learned() -> Learned {
    Learned::default()
}

/// Draws of a log-normal answer length: median 144, mean 225, as in ShareGPT.
fn length(entropy: &mut SplitMix64) -> u32 {
    let normal: f64 = (0..12).map(|_| entropy.unit()).sum::<f64>() - 6.0;
    (144.0 * (0.945 * normal).exp()).max(1.0) as u32
}

#[test]
fn means_are_right_on_skewed_answers() {
    let mut entropy = SplitMix64::new(1);
    let mut learned = Learned::new(&CostConfig {
        mean_output_tokens: 1_000.0,
        bytes_per_token: 2.0,
        ..CostConfig::default()
    });
    for _ in 0..5_000 {
        let mut answer = answer(1.0, length(&mut entropy), true);
        answer.prompt_bytes = 4_500;
        answer.prompt_tokens = Some(1_000);
        learned.completed(&answer, None);
    }
    let output = learned.mean_output_tokens();
    assert!((170.0..260.0).contains(&output), "{output}");
    let tokens = learned.tokens(4_500);
    assert!((990.0..1_010.0).contains(&tokens), "{tokens}");
}

#[test]
fn one_liar_among_ten_moves_a_mean_by_less_than_half() {
    let mut entropy = SplitMix64::new(2);
    for lie in [0, 1, 1_000_000, u32::MAX] {
        let mut learned = learned();
        for number in 0..5_000 {
            let lies = number % 10 == 0;
            let mut answer = answer(1.0, length(&mut entropy), true);
            if lies {
                answer.output_tokens = Some(lie);
                answer.prompt_tokens = Some(lie);
            }
            learned.completed(&answer, None);
        }
        let output = learned.mean_output_tokens();
        assert!((110.0..340.0).contains(&output), "{lie}: {output}");
        let tokens = learned.tokens(1_000);
        assert!((170.0..380.0).contains(&tokens), "{lie}: {tokens}");
    }
}

/// What an endpoint settles at whose answers are `speed` times as fast as the model says, when each
/// prediction is made with the speed learned so far.
fn settled(speed: f32, stream: bool, answers: usize) -> f32 {
    let mut entropy = SplitMix64::new(3);
    let mut learned = learned();
    for _ in 0..answers {
        let present = learned.speed(0);
        // Answers differ by a fifth either way.
        let noise = 0.8 + 0.4 * entropy.unit() as f32;
        let mut answer = answer(speed / present * noise, 200, stream);
        // The mean is learned, too; keep what was expected of a token.
        let decode_ms = 10.0 * learned.mean_output_tokens();
        answer.estimate.total_ms = answer.estimate.ttft_ms + decode_ms;
        learned.completed(&answer, Some(0));
    }
    learned.speed(0)
}

#[test]
fn the_speed_of_an_endpoint_is_learned() {
    for stream in [true, false] {
        for speed in [0.25f32, 0.5, 2.0, 4.0] {
            let found = settled(speed, stream, 2_000);
            let error = (found / speed).max(speed / found);
            // Up to a tenth is taken for chance.
            assert!(error < 1.2, "{found} for {speed}, streamed {stream}");
        }
        assert_eq!(settled(1.0, stream, 2_000), 1.0, "equal ones stay equal");
        assert_eq!(settled(1.05, stream, 2_000), 1.0);
    }
}

#[test]
fn it_takes_many_answers() {
    let few = settled(4.0, true, 10);
    assert!(few < 1.2, "{few} after ten answers");
    let twenty = settled(0.1, true, 20);
    assert!(twenty > 0.7, "{twenty} after twenty");
}

#[test]
fn a_forgotten_endpoint_starts_again() {
    let mut learned = learned();
    for _ in 0..500 {
        learned.completed(&answer(4.0, 200, true), Some(3));
    }
    assert!(learned.speed(3) > 1.5);
    assert_eq!(learned.speed(2), 1.0, "its neighbour learned nothing");
    learned.forget(3);
    learned.forget(77);
    assert_eq!(learned.speed(3), 1.0);
}

#[test]
fn nothing_an_answer_says_leads_out_of_the_bounds() {
    let mut entropy = SplitMix64::new(5);
    let numbers = [
        0.0,
        1.0,
        1e-30,
        1e30,
        -1.0,
        f32::MAX,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    let counts = [0, 1, 64, 100, u32::MAX];
    let mut learned = learned();
    for step in 0..50_000 {
        let mut number = || numbers[entropy.below(numbers.len())];
        let (ttft_ms, total_ms, first_token_ms, answer_ms) =
            (number(), number(), number(), number());
        let mut count = || counts[entropy.below(counts.len())];
        let odd = Completion {
            estimate: Estimate {
                prompt_tokens: count(),
                uncached_tokens: count(),
                ttft_ms,
                total_ms,
            },
            prompt_bytes: u64::from(count()) << (step % 33),
            prompt_tokens: Some(count()),
            output_tokens: Some(count()),
            first_token_ms: Some(first_token_ms).filter(|_| step % 2 == 0),
            total_ms: answer_ms,
            ..answer(1.0, 2, true)
        };
        learned.completed(&odd, Some(step % 3));
        let facts = RequestFacts {
            prompt_bytes: odd.prompt_bytes,
            ..RequestFacts::default()
        };
        learned.sent(&facts, odd.estimate);
        let prompt = learned.prompt_tokens(&facts);
        assert!((1.0..=1e7).contains(&prompt), "step {step}: {prompt}");
        let output = learned.mean_output_tokens();
        assert!((1.0..=1e6).contains(&output), "step {step}: {output}");
        let uncached = learned.mean_uncached_tokens();
        assert!((1.0..=1e7).contains(&uncached), "step {step}: {uncached}");
        let speed = learned.speed(step % 3);
        assert!((0.125..=8.0).contains(&speed), "step {step}: {speed}");
        let tokens = learned.tokens(1_600);
        assert!((100.0..=1_600.0).contains(&tokens), "step {step}: {tokens}");
    }
}
