//! The policies: who decides, behind one trait.
//!
//! ```text
//!                      +-- cost              the default: least predicted cost over all endpoints
//!                      +-- scored            weighted scorers over signals and ledger
//!                      +-- round_robin       blind, for comparison
//!   Round --> Policy --+-- least_in_flight   the ledger alone
//!                      +-- random            blind, for comparison
//!                      +-- gie_tree          the two decision trees of June 2025
//!                      +-- power_of_two      the less loaded of two
//!                      +-- blend             the trees' successor: queue 2, KV cache 2, prefix 3
//!                      +-- higress           the same and the own in-flight counts
//!                      +-- sticky            prefix affinity until a pod is saturated
//! ```
//!
//! The last four are there with the feature `baselines` only, which the filter's wasm does without.
//!
//! A new policy is a file here that implements `Policy`, a variant of
//! [`PolicyName`] and an arm of `build`; nothing else in the crate names a policy.

#[cfg(feature = "baselines")]
mod blend;
mod cost;
mod draw;
#[cfg(feature = "baselines")]
#[cfg(test)]
mod fixture;
mod gie_tree;
#[cfg(feature = "baselines")]
mod higress;
#[cfg(feature = "baselines")]
mod hit;
mod least_in_flight;
#[cfg(feature = "baselines")]
mod power_of_two;
mod random;
mod round_robin;
mod scored;
#[cfg(feature = "baselines")]
mod sticky;

use std::fmt;

use crate::{
    config::PickerConfig,
    decision::Decision,
    endpoint::Endpoint,
    entropy::Entropy,
    freshness::Ladder,
    learn::Learned,
    request::RequestFacts,
    time::Millis,
    view::{LocalState, PoolView},
};

/// The policies by name, as the configuration spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PolicyName {
    /// Weighted scorers over signals and ledger.
    Scored,
    /// Each endpoint in turn.
    RoundRobin,
    /// The least requests in flight per unit of weight.
    LeastInFlight,
    /// Any endpoint.
    Random,
    /// The decision tree of the Gateway API Inference Extension v0.3.
    GieV03,
    /// The same project's tree of 2025-06-05.
    Gie0605,
    /// The least predicted cost over all endpoints.
    #[default]
    Cost,
    /// The less loaded of two drawn endpoints.
    #[cfg(feature = "baselines")]
    PowerOfTwo,
    /// The reference's blend of scraped metrics: queue 2, KV cache 2, prefix 3.
    #[cfg(feature = "baselines")]
    Blend,
    /// llm-d's sticky until saturated: prefix affinity filter and token load.
    #[cfg(feature = "baselines")]
    Sticky,
    /// Higress' built-in blend: queue 2, KV cache 2, prefix 3, in-flight 1.
    #[cfg(feature = "baselines")]
    Higress,
}

/// How many policies there are.
const COUNT: usize = if cfg!(feature = "baselines") { 11 } else { 7 };

impl PolicyName {
    /// Every policy, for messages, benches and tests.
    pub const ALL: [Self; COUNT] = [
        Self::Scored,
        Self::RoundRobin,
        Self::LeastInFlight,
        Self::Random,
        Self::GieV03,
        Self::Gie0605,
        Self::Cost,
        #[cfg(feature = "baselines")]
        Self::PowerOfTwo,
        #[cfg(feature = "baselines")]
        Self::Blend,
        #[cfg(feature = "baselines")]
        Self::Sticky,
        #[cfg(feature = "baselines")]
        Self::Higress,
    ];

    /// The policy's name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scored => "scored",
            Self::RoundRobin => "round_robin",
            Self::LeastInFlight => "least_in_flight",
            Self::Random => "random",
            Self::GieV03 => "gie_v0_3",
            Self::Gie0605 => "gie_0605",
            Self::Cost => "cost",
            #[cfg(feature = "baselines")]
            Self::PowerOfTwo => "power_of_two",
            #[cfg(feature = "baselines")]
            Self::Blend => "blend",
            #[cfg(feature = "baselines")]
            Self::Sticky => "sticky",
            #[cfg(feature = "baselines")]
            Self::Higress => "higress",
        }
    }
}

/// One way to decide. Public so that the simulator can bring policies of its own (the oracle).
pub trait Policy: Send {
    /// Decides for one request; `round` has at least one candidate.
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision;

    /// Whether [`Round::matched`] is looked at; finding the matches is spared otherwise.
    fn wants_prefix(&self) -> bool {
        false
    }

    /// What each candidate of the last decision would cost, in their order; empty where the policy
    /// compares no costs.
    #[cfg(feature = "explain")]
    fn terms(&self) -> &[crate::explain::Terms] {
        &[]
    }

    /// A decision of [`Policy::decide`] is carried out: the request goes to the endpoint in `slot`. What a
    /// policy remembers of its decisions it notes here, for some are only tried out.
    fn settled(&mut self, _facts: &RequestFacts, _slot: u32, _now: Millis, _decision: &Decision) {}

    /// Forgets what is known of the endpoint in `slot`: the slot gets another one.
    fn forget(&mut self, _slot: u32) {}
}

/// Not a supertrait: that would put the `Debug` of every policy and of all within, with the formatting
/// of floats, into the filter's wasm, where nobody prints them.
impl fmt::Debug for dyn Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn Policy")
    }
}

/// The policy of a configuration.
pub(crate) fn build(config: &PickerConfig) -> Box<dyn Policy> {
    match config.policy {
        PolicyName::Scored => Box::new(scored::Scored::new(config)),
        PolicyName::RoundRobin => Box::new(round_robin::RoundRobin::default()),
        PolicyName::LeastInFlight => Box::new(least_in_flight::LeastInFlight::default()),
        PolicyName::Random => Box::new(random::Random),
        PolicyName::GieV03 => Box::new(gie_tree::GieTree::new(gie_tree::Edition::V03)),
        PolicyName::Cost => Box::new(cost::Cost::new(config)),
        #[cfg(feature = "baselines")]
        PolicyName::PowerOfTwo => Box::new(power_of_two::PowerOfTwo),
        #[cfg(feature = "baselines")]
        PolicyName::Blend => Box::new(blend::Blend::new(&config.prefix)),
        #[cfg(feature = "baselines")]
        PolicyName::Sticky => Box::new(sticky::Sticky::new(&config.prefix)),
        #[cfg(feature = "baselines")]
        PolicyName::Higress => Box::new(higress::new(&config.prefix)),
        PolicyName::Gie0605 => Box::new(gie_tree::GieTree::new(gie_tree::Edition::June5)),
    }
}

/// Everything one decision rests on.
#[derive(Debug)]
pub struct Round<'a> {
    /// The request.
    pub facts: &'a RequestFacts,
    /// The pool at this moment.
    pub view: PoolView<'a>,
    /// The positions of those that may be picked, in the view's order; never empty.
    pub candidates: &'a [u32],
    /// The slots of the view's endpoints, by position.
    pub slots: &'a [u32],
    /// Leading bytes of the prompt that are probably cached, by slot; empty when nobody holds any.
    pub matched: &'a [u32],
    /// How much signals count at their age.
    pub ladder: &'a Ladder,
    /// What the answers so far have shown.
    pub learned: &'a Learned,
    /// The most endpoints to name, `1..=3`.
    pub choices: usize,
}

impl Round<'_> {
    /// The candidates, in the view's order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.candidates
            .iter()
            .filter_map(|position| self.view.endpoints.get(*position as usize))
    }

    /// What this gateway knows of the endpoint at `position`.
    pub fn local(&self, position: u32) -> LocalState {
        let local = self.view.local.get(position as usize);
        local.copied().unwrap_or_default()
    }

    /// How many leading bytes of the prompt the endpoint at `position` probably holds.
    pub fn matched(&self, position: u32) -> u32 {
        let slot = self.slots.get(position as usize);
        slot.and_then(|slot| self.matched.get(*slot as usize))
            .copied()
            .unwrap_or(0)
    }
}
