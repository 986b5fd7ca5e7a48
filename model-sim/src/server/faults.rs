//! Faults: everything a pod can do wrong, by configuration and at run time.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::lengths::{mix, unit};

/// Where in an exchange the connection is reset (RST).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// Nowhere.
    #[default]
    None,
    /// As soon as the connection is accepted.
    Accept,
    /// When the request's headers are there, before its body is read.
    Request,
    /// When the request is read, before anything is answered.
    Response,
    /// After the response's headers and the first part of its body.
    Body,
}

/// What is wrong with `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsFault {
    /// Nothing.
    #[default]
    None,
    /// Bytes that are no exposition text, with status 200.
    Garbage,
    /// The page as it was when the fault began.
    Frozen,
    /// Status 200 and no byte of a body.
    Empty,
    /// Status 500.
    Error,
    /// Never an answer.
    Hang,
}

/// The faults of an instance. The default is a healthy one.
///
/// In JSON every field may be left out; unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Resets connections of API requests (not of probes).
    pub reset: Reset,
    /// Share of API requests that are reset, 0 to 1. Default 1.
    pub reset_probability: f64,
    /// The engine stands still: gauges freeze, streams stall, `/health` stays 200.
    pub hang: bool,
    /// API requests get this status at once, for example 503 or 429; 400 to 599.
    pub status: Option<u16>,
    /// Share of API requests that get `status`, 0 to 1. Default 1.
    pub status_probability: f64,
    /// Draining after SIGTERM: probes say 200 and the pod looks idle, but every new completion
    /// gets 500 `cannot schedule new futures after shutdown`.
    pub drain: bool,
    /// Steps take this many times longer; greater than 0. Default 1.
    pub slow_factor: f64,
    /// The port is closed and open connections are reset, as if the process were killed. When it
    /// ends the instance is a new process: cold cache, counters from 0, new start time.
    pub refuse: bool,
    /// Wait before the first byte of an API response, in milliseconds.
    pub first_byte_delay_ms: u64,
    /// Streams answer 200 with an error as their first event; others get 503.
    pub sse_error: bool,
    /// What is wrong with `/metrics`.
    pub metrics: MetricsFault,
    /// Wait before `/metrics` answers, in milliseconds.
    pub metrics_delay_ms: u64,
    /// Status of `/health` and `/ping`, 200 to 599; default 200.
    pub health_status: Option<u16>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            reset: Reset::None,
            reset_probability: 1.0,
            hang: false,
            status: None,
            status_probability: 1.0,
            drain: false,
            slow_factor: 1.0,
            refuse: false,
            first_byte_delay_ms: 0,
            sse_error: false,
            metrics: MetricsFault::None,
            metrics_delay_ms: 0,
            health_status: None,
        }
    }
}

impl Faults {
    /// All mistakes, each as `field: what is wrong, got value`.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let shares = [
            ("reset_probability", self.reset_probability),
            ("status_probability", self.status_probability),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                mistakes.push(format!("{name}: must be from 0 to 1, got {share}"));
            }
        }
        if !(self.slow_factor > 0.0 && self.slow_factor.is_finite()) {
            mistakes.push(format!(
                "slow_factor: must be greater than 0, got {}",
                self.slow_factor
            ));
        }
        if let Some(status) = self.status
            && !(400..=599).contains(&status)
        {
            mistakes.push(format!("status: must be from 400 to 599, got {status}"));
        }
        if let Some(status) = self.health_status
            && !(200..=599).contains(&status)
        {
            mistakes.push(format!(
                "health_status: must be from 200 to 599, got {status}"
            ));
        }
        mistakes
    }
}

/// Draws that repeat from run to run.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    thrown: AtomicU64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice {
            seed: mix(seed),
            thrown: AtomicU64::new(0),
        }
    }

    /// True in `share` of the throws.
    pub(crate) fn hits(&self, share: f64) -> bool {
        let throw = self.thrown.fetch_add(1, Ordering::Relaxed);
        unit(mix(self.seed ^ throw)) < share
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, Faults, Reset};

    #[test]
    fn json_may_leave_fields_out_but_not_add_any() {
        let faults: Faults = serde_json::from_str(r#"{"reset":"body","status":503}"#).unwrap();
        let expected = Faults {
            reset: Reset::Body,
            status: Some(503),
            ..Faults::default()
        };
        assert_eq!(faults, expected);
        assert_eq!(
            serde_json::from_str::<Faults>("{}").unwrap(),
            Faults::default()
        );
        let error = serde_json::from_str::<Faults>(r#"{"hangs":true}"#).unwrap_err();
        assert!(error.to_string().contains("hangs"), "{error}");
    }

    #[test]
    fn all_mistakes_are_listed() {
        let faults = Faults {
            status: Some(200),
            reset_probability: 1.5,
            slow_factor: 0.0,
            ..Faults::default()
        };
        let mistakes = faults.mistakes();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert_eq!(mistakes[2], "status: must be from 400 to 599, got 200");
    }

    #[test]
    fn dice_hit_their_share() {
        let dice = Dice::new(7);
        let hits = (0..10_000).filter(|_| dice.hits(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!(0..100).any(|_| dice.hits(0.0)) && (0..100).all(|_| dice.hits(1.0)));
    }
}
