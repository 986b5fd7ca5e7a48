#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::entropy::{Entropy, SplitMix64};

/// A window of one second in which an engine with these costs decodes `running` requests, computes
/// `prompt` prompt tokens a step and attends to `kv` tokens.
fn window(truth: StepModel, running: f64, prompt: f64, kv: f64) -> Window {
    let step_us = f64::from(truth.base_us)
        + f64::from(truth.token_us) * (running + prompt)
        + f64::from(truth.kv_token_us) * kv;
    let steps = 1e6 / step_us;
    Window {
        seconds: 1.0,
        generated_tokens: steps * running,
        computed_prompt_tokens: steps * prompt,
        mean_running: running,
        mean_kv_tokens: kv,
    }
}

fn scaled(base: f32, token: f32, kv: f32) -> StepModel {
    let default = StepModel::default();
    StepModel {
        base_us: default.base_us * base,
        token_us: default.token_us * token,
        kv_token_us: default.kv_token_us * kv,
    }
}

fn assert_near(model: StepModel, truth: StepModel, tolerance: f32) {
    let pairs = [
        (model.base_us, truth.base_us),
        (model.token_us, truth.token_us),
        (model.kv_token_us, truth.kv_token_us),
    ];
    for (learned, true_value) in pairs {
        let error = (learned / true_value - 1.0).abs();
        assert!(error <= tolerance, "{model:?} for {truth:?}");
    }
}

#[test]
fn nothing_is_said_before_a_few_windows() {
    let mut learner = StepModelLearner::default();
    for _ in 0..4 {
        learner.window(window(scaled(2.0, 2.0, 2.0), 10.0, 5.0, 9_000.0));
        assert_eq!(learner.model(), None);
    }
    learner.window(window(scaled(2.0, 2.0, 2.0), 10.0, 5.0, 9_000.0));
    assert!(learner.model().is_some());
}

#[test]
fn steady_load_teaches_the_common_scale() {
    for speed in [0.25, 0.5, 1.0, 2.0, 4.0] {
        let mut learner = StepModelLearner::default();
        for _ in 0..50 {
            learner.window(window(scaled(speed, speed, speed), 30.0, 20.0, 12_000.0));
        }
        let truth = scaled(speed, speed, speed);
        assert_near(learner.model().unwrap(), truth, 0.02);
    }
}

#[test]
fn steady_load_on_another_engine_still_gives_the_right_step() {
    let truth = scaled(1.0, 1.0, 4.0);
    let mut learner = StepModelLearner::default();
    for _ in 0..50 {
        learner.window(window(truth, 40.0, 10.0, 20_000.0));
    }
    let model = learner.model().unwrap();
    let step = |model: StepModel| model.base_us + model.token_us * 50.0 + model.kv_token_us * 2e4;
    let error = (step(model) / step(truth) - 1.0).abs();
    assert!(error < 0.05, "{model:?}");
}

#[test]
fn varied_load_teaches_each_coefficient() {
    let mut entropy = SplitMix64::new(3);
    let truth = scaled(2.0, 0.7, 1.5);
    let mut learner = StepModelLearner::default();
    for _ in 0..300 {
        let running = 1.0 + entropy.below(120) as f64;
        let prompt = entropy.below(800) as f64;
        let kv = running * (100.0 + entropy.below(900) as f64);
        learner.window(window(truth, running, prompt, kv));
    }
    assert_near(learner.model().unwrap(), truth, 0.15);
}

#[test]
fn an_engine_that_changes_is_followed_within_minutes() {
    let mut learner = StepModelLearner::default();
    for speed in [1.0, 3.0] {
        for _ in 0..200 {
            learner.window(window(scaled(speed, speed, speed), 30.0, 20.0, 12_000.0));
        }
    }
    assert_near(learner.model().unwrap(), scaled(3.0, 3.0, 3.0), 0.05);
}

#[test]
fn one_odd_window_moves_little() {
    let truth = scaled(1.0, 1.0, 1.0);
    let mut learner = StepModelLearner::default();
    for _ in 0..50 {
        learner.window(window(truth, 30.0, 20.0, 12_000.0));
    }
    for odd in [0.02, 50.0] {
        let mut learner = learner.clone();
        learner.window(window(scaled(odd, odd, odd), 30.0, 20.0, 12_000.0));
        let model = learner.model().unwrap();
        let moved = model.base_us / truth.base_us;
        assert!((0.4..=1.3).contains(&moved), "{odd}: {model:?}");
    }
}

#[test]
fn no_window_can_lead_out_of_the_bounds() {
    let mut entropy = SplitMix64::new(4);
    let odd = [
        0.0,
        1.0,
        1e-9,
        50.0,
        1e6,
        1e15,
        -1.0,
        f64::NAN,
        f64::INFINITY,
        f64::MAX,
    ];
    let mut learner = StepModelLearner::default();
    let default = StepModel::default();
    for _ in 0..20_000 {
        let mut number = || odd[entropy.below(odd.len())];
        learner.window(Window {
            seconds: number(),
            generated_tokens: number(),
            computed_prompt_tokens: number(),
            mean_running: number(),
            mean_kv_tokens: number(),
        });
        let Some(model) = learner.model() else {
            continue;
        };
        for (learned, default) in [
            (model.base_us, default.base_us),
            (model.token_us, default.token_us),
            (model.kv_token_us, default.kv_token_us),
        ] {
            assert!((0.124..=8.01).contains(&(learned / default)), "{model:?}");
        }
    }
}

#[test]
fn short_windows_teach_nothing() {
    let mut learner = StepModelLearner::default();
    for _ in 0..1_000 {
        let mut short = window(scaled(2.0, 2.0, 2.0), 30.0, 20.0, 12_000.0);
        short.seconds *= 0.99;
        learner.window(short);
    }
    assert_eq!(learner.model(), None);
}
