//! A decision in words, for a trusted caller's response header and for access logs.
//!
//! ```text
//!   x-zerohop-decision: chosen="10.0.0.1:8000", runner_up="10.0.0.2:8000", reason=prefix_hit,
//!                       ttft_ms=41, hit_tokens=512, signal_age_ms=180
//! ```
//!
//! A dictionary of structured fields (RFC 9651), on one line. Keys are added, never renamed, and left
//! out where nothing is known; the reason is one of [`Reason::ALL`].

use std::net::SocketAddr;

use picker::{Estimate, Reason};

use crate::headers;

/// Asks for the header below.
pub const ASK: &str = "x-zerohop-explain";
/// Tells a trusted caller of the decision.
pub const DECISION: &str = "x-zerohop-decision";
/// The filter state in which access logs find the same:
/// `%FILTER_STATE(wasm.zerohop.decision:PLAIN)%`.
pub const STATE: [&str; 1] = ["zerohop.decision"];

/// What there is to say of one decision.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// The endpoint to be tried first.
    pub chosen: SocketAddr,
    /// The one to be tried next.
    pub runner_up: Option<SocketAddr>,
    /// Why the first was chosen.
    pub reason: Reason,
    /// What is expected there.
    pub estimate: Estimate,
    /// The age of the oldest signal of load that was known of it, in milliseconds.
    pub signal_age_ms: Option<u64>,
}

impl Explanation {
    /// The dictionary.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("chosen=\"");
        headers::push_address(&mut text, self.chosen);
        if let Some(runner_up) = self.runner_up {
            text.push_str("\", runner_up=\"");
            headers::push_address(&mut text, runner_up);
        }
        text.push_str("\", reason=");
        text.push_str(self.reason.as_str());
        let estimate = self.estimate;
        let hit = estimate
            .prompt_tokens
            .saturating_sub(estimate.uncached_tokens);
        let numbers = [
            (
                ", ttft_ms=",
                (estimate.ttft_ms > 0.0).then_some(estimate.ttft_ms as u64),
            ),
            (", hit_tokens=", Some(hit.into())),
            (", signal_age_ms=", self.signal_age_ms),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                text.push_str(key);
                text.push_str(&number.to_string());
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_stable() {
        let full = Explanation {
            chosen: ([10, 0, 0, 1], 8000).into(),
            runner_up: Some("[fd00::1]:80".parse().unwrap()),
            reason: Reason::PrefixHit,
            estimate: Estimate {
                prompt_tokens: 700,
                uncached_tokens: 188,
                ttft_ms: 41.9,
                total_ms: 900.0,
            },
            signal_age_ms: Some(180),
        };
        assert_eq!(
            full.text(),
            "chosen=\"10.0.0.1:8000\", runner_up=\"[fd00::1]:80\", reason=prefix_hit, \
             ttft_ms=41, hit_tokens=512, signal_age_ms=180"
        );
        let least = Explanation {
            runner_up: None,
            reason: Reason::Blind,
            estimate: Estimate::default(),
            signal_age_ms: None,
            ..full
        };
        assert_eq!(
            least.text(),
            "chosen=\"10.0.0.1:8000\", reason=blind, hit_tokens=0"
        );
    }
}
