//! Why a decision came out as it did: what each endpoint would have cost, term by term.
//!
//! ```text
//!   Picker::explain --> pick (the same code) --> Decision
//!                                          \--> Terms of every candidate
//! ```
//!
//! Behind the feature `explain`: who only picks pays nothing, and the filter's wasm does not hold it.

use crate::{
    decision::Decision, entropy::Entropy, picker::Picker, request::RequestFacts, view::PoolView,
};

/// What one endpoint was taken to have, and what the request would cost there. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Terms {
    /// Requests that generate tokens there.
    pub decoding: f32,
    /// Requests without a first token there.
    pub waiting: f32,
    /// Prompt tokens to be computed before this request's.
    pub prefill_tokens: f32,
    /// KV tokens in use.
    pub kv_tokens: f32,
    /// KV tokens that there is room for.
    pub kv_capacity: f32,
    /// Tokens of this prompt that would have to be computed.
    pub uncached_tokens: f32,
    /// How many times as fast as its step model says.
    pub speed: f32,
    /// How much its signals count, 0 to 1.
    pub trust: f32,
    /// Time to the first token.
    pub ttft_s: f32,
    /// Time from the first token to the last.
    pub decode_s: f32,
    /// Delay to those who are there, as it is weighted.
    pub delay_s: f32,
    /// What a wait for memory or a slot counts beyond its place in the time to the first token.
    pub pressure_s: f32,
    /// Loading the adapter, or waiting for a place for it.
    pub adapter_s: f32,
    /// Price over weight, by which the sum is multiplied.
    pub factor: f32,
    /// The sum: the least is picked.
    pub cost_s: f32,
}

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What [`Picker::pick`] decides.
    pub decision: Decision,
    /// Candidates, as positions in the view, with their terms; none where the policy compares no costs.
    pub terms: Vec<(usize, Terms)>,
}

impl Picker {
    /// As [`Picker::pick`], with the terms.
    pub fn explain(
        &mut self,
        facts: &RequestFacts,
        view: &PoolView<'_>,
        entropy: &mut dyn Entropy,
    ) -> Explanation {
        let decision = self.pick(facts, view, entropy);
        let candidates = self.candidates().iter().map(|position| *position as usize);
        Explanation {
            terms: candidates.zip(self.terms().iter().copied()).collect(),
            decision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Endpoint, EndpointId, Millis, PickerConfig, Signal, SplitMix64, config::CostConfig,
    };

    #[test]
    fn the_terms_add_up_to_the_cost_and_the_least_is_picked() {
        let now = Millis(10_000);
        let mut endpoints: Vec<Endpoint> = (1..=4)
            .map(|host| EndpointId {
                address: ([10, 0, 0, host], 8000).into(),
                generation: 0,
            })
            .map(Endpoint::new)
            .collect();
        for (endpoint, load) in endpoints.iter_mut().zip([9.0, 0.0, 3.0, 40.0]) {
            endpoint.signals.waiting = Some(Signal::new(load, now));
            endpoint.signals.running = Some(Signal::new(load * 2.0, now));
            endpoint.signals.kv_usage = Some(Signal::new(load / 50.0, now));
        }
        let view = PoolView {
            endpoints: &endpoints,
            local: &[],
            now,
        };
        let facts = RequestFacts {
            prompt_bytes: 8_000,
            ..RequestFacts::default()
        };
        let mut picker = Picker::new(PickerConfig::default());
        let explained = picker.explain(&facts, &view, &mut SplitMix64::new(1));
        let mut other = Picker::new(PickerConfig::default());
        let picked = other.pick(&facts, &view, &mut SplitMix64::new(1));
        assert_eq!(explained.decision, picked);
        assert_eq!(explained.terms.len(), 4);
        let weight = CostConfig::default().ttft_weight;
        for (_, terms) in &explained.terms {
            let sum = weight * terms.ttft_s + terms.decode_s + terms.delay_s + terms.pressure_s;
            let sum = (sum + terms.adapter_s) * terms.factor;
            assert!((sum - terms.cost_s).abs() <= 1e-4 * sum, "{terms:?}");
        }
        let least = explained
            .terms
            .iter()
            .min_by(|a, b| a.1.cost_s.total_cmp(&b.1.cost_s));
        assert_eq!(least.map(|(position, _)| *position), picked.first());
    }
}
