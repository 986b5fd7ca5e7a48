//! What a worker learns from complete answers.
//!
//! ```text
//!   Choice (expected) + Measured (seen) --> Completion --> Picker
//!   fewer tokens cached than believed  ---> corrected note --> Picker, other workers
//! ```

use picker::{Completion, Estimate, PrefixNote};

use super::{Choice, Worker};
use crate::{
    answer::Measured,
    host::Host,
    metrics::{AttemptEvent, PrefixTokens},
};

/// A prediction is corrected when it was wrong by more tokens than this. Engines cache whole blocks, some
/// of them large ones, and compute at least one token of every prompt.
const MIN_ERROR_TOKENS: u32 = 128;

impl Worker {
    /// Learns from the answer to `choice`. Of an answer to nothing that was prompted (a list of models)
    /// nothing is learned.
    pub(super) fn learn(&mut self, host: &dyn Host, choice: &Choice, measured: &Measured) {
        let Some(endpoint) = choice.counted().filter(|_| choice.prompt_bytes() > 0) else {
            return;
        };
        let Some(pool) = self.pools.get_mut(choice.pool()) else {
            return;
        };
        let expected = endpoint == choice.first();
        let estimate = if expected {
            choice.estimate()
        } else {
            // What was expected was expected of another endpoint, and so was its time.
            Estimate {
                ttft_ms: 0.0,
                total_ms: 0.0,
                ..choice.estimate()
            }
        };
        pool.picker.completed(&Completion {
            endpoint,
            estimate,
            prompt_bytes: choice.prompt_bytes(),
            prompt_tokens: measured.usage.prompt_tokens,
            cached_tokens: measured.usage.cached_tokens,
            output_tokens: measured.usage.output_tokens.filter(|_| choice.decodes()),
            first_token_ms: measured.first_token_ms,
            total_ms: measured.total_ms,
        });
        let block_bytes = pool.picker.config().prefix.block_bytes;
        let told = measured
            .usage
            .prompt_tokens
            .zip(measured.usage.cached_tokens);
        let Some((prompt, cached)) = told.filter(|_| expected) else {
            return;
        };
        let predicted = predicted_tokens(&estimate, prompt);
        let tokens = PrefixTokens {
            prompt,
            predicted,
            cached,
        };
        self.metrics.prefix_tokens(host, choice.pool(), tokens);
        if is_clearly_less(cached, predicted) {
            let bytes = choice.prompt_bytes().saturating_mul(cached.into());
            let cached_bytes = bytes / u64::from(prompt.max(1));
            let note = choice.note().clone().corrected(cached_bytes, block_bytes);
            self.believe(&note, choice.pool());
        }
    }

    /// A routed request's answer began with an error, whatever its status was.
    pub fn broken_off(&mut self, host: &dyn Host, choice: &Choice) {
        let now = host.now();
        let endpoint = choice.counted();
        if let (Some(id), Some(pool)) = (endpoint, self.pools.get_mut(choice.pool())) {
            pool.breaker.failure(id, now);
            pool.refused(id, now);
            self.metrics.attempt(host, AttemptEvent::Failure);
        }
    }

    /// Notes what is believed about a prompt now, here and for the other workers.
    pub(super) fn believe(&mut self, note: &PrefixNote, index: usize) {
        if let Some(pool) = self.pools.get_mut(index) {
            pool.picker.dispatched_elsewhere(note);
        }
        if !self.others.live().is_empty() {
            self.prefix_share.note(note);
        }
    }
}

/// The part of a prompt that was expected to be cached, in the engine's own tokens.
fn predicted_tokens(estimate: &Estimate, prompt: u32) -> u32 {
    let all = u64::from(estimate.prompt_tokens.max(1));
    let cached = estimate
        .prompt_tokens
        .saturating_sub(estimate.uncached_tokens);
    u32::try_from(u64::from(prompt) * u64::from(cached) / all).unwrap_or(prompt)
}

/// Whether so few tokens were cached that what was believed is wrong, and not only rounded.
const fn is_clearly_less(cached: u32, predicted: u32) -> bool {
    cached < predicted / 2 && predicted - cached > MIN_ERROR_TOKENS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_are_compared_in_the_engines_tokens() {
        let estimate = Estimate {
            prompt_tokens: 1_000,
            uncached_tokens: 250,
            ..Estimate::default()
        };
        assert_eq!(predicted_tokens(&estimate, 1_200), 900);
        assert_eq!(predicted_tokens(&Estimate::default(), 1_200), 0);
        assert_eq!(
            predicted_tokens(&estimate, u32::MAX),
            (u64::from(u32::MAX) * 3 / 4) as u32
        );
        assert!(!is_clearly_less(900, 900));
        assert!(!is_clearly_less(451, 900), "half of it");
        assert!(is_clearly_less(449, 900));
        assert!(!is_clearly_less(0, 128), "too little to tell");
        assert!(is_clearly_less(0, 129));
        assert!(!is_clearly_less(2_000, 900));
    }
}
