//! The requests: ShareGPT-like lengths at the moments of a Poisson process, the same for every lane.

use std::{sync::Arc, time::Duration};

use model_sim::lengths::SHAREGPT_PROMPT;
use serde_json::json;
use xxhash_rust::xxh64::xxh64;

use crate::rig::RequestSpec;

/// The text of one token: four bytes are one.
const TOKEN: &str = "word";
/// Tokens of the number that makes every prompt its own from its first bytes on.
const NUMBER_TOKENS: usize = 4;

/// One request and when it is sent.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// From the start of the load.
    pub at: Duration,
    /// What is sent; nothing in it says how long the answer will be.
    pub request: RequestSpec,
}

/// All requests of a load of `rate` per second for `duration`. `load` numbers the loads of a sweep:
/// none repeats a prompt of another, so that no prefix is ever found.
#[must_use]
pub fn arrivals(rate: f64, duration: Duration, load: u64) -> Arc<Vec<Arrival>> {
    let mut at = 0.0;
    let numbers = 0_u64..;
    let arrivals = numbers.map_while(|number| {
        let draw = xxh64(&number.to_le_bytes(), load);
        // An exponential pause, from a number in (0, 1] made of the upper 53 bits.
        at -= (((draw >> 11) + 1) as f64 / (1_u64 << 53) as f64).ln() / rate;
        let at = Duration::from_secs_f64(at);
        (at < duration).then(|| Arrival {
            at,
            request: completion(load, number, draw),
        })
    });
    Arc::new(arrivals.collect())
}

fn completion(load: u64, number: u64, draw: u64) -> RequestSpec {
    let tokens = SHAREGPT_PROMPT.draw(draw) as usize;
    let padding = TOKEN.repeat(tokens.saturating_sub(NUMBER_TOKENS));
    let prompt = format!("{load:02}-{number:012} {padding}");
    RequestSpec::post(json!({"model": "tiny", "prompt": prompt}).to_string())
}

#[cfg(test)]
mod tests {
    use super::{Duration, arrivals};

    #[test]
    fn arrivals_are_a_poisson_process_and_repeat_by_seed() {
        let minute = Duration::from_secs(60);
        let list = arrivals(100.0, minute, 1);
        assert!((5_700..6_300).contains(&list.len()), "{}", list.len());
        let gaps: Vec<f64> = list
            .windows(2)
            .map(|pair| (pair[1].at - pair[0].at).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let square = gaps.iter().map(|gap| gap * gap).sum::<f64>() / gaps.len() as f64;
        // The standard deviation of exponential pauses is their mean.
        let spread = (square - mean * mean).sqrt() / mean;
        assert!((0.93..1.07).contains(&spread), "{spread}");
        let again = arrivals(100.0, minute, 1);
        assert!(
            list.iter().zip(again.iter()).all(|(one, other)| {
                one.at == other.at && one.request.body == other.request.body
            })
        );
        let other = arrivals(100.0, minute, 2);
        assert_ne!(list[0].request.body, other[0].request.body);
    }
}
