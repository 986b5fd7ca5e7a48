//! The facade: one picker per pool and worker.

use crate::{
    candidates,
    config::PickerConfig,
    decision::{Decision, Estimate, Reason},
    endpoint::{Endpoint, EndpointId},
    entropy::Entropy,
    learn::{Completion, Learned},
    policy::{self, Policy, Round},
    prefix::{PrefixNote, index::PrefixIndex},
    request::RequestFacts,
    roster::Roster,
    view::PoolView,
};

/// Endpoints that may be remembered beyond twice the view before those that left are forgotten
/// without [`Picker::retain`].
const STRANGERS: usize = 64;

/// Decides which endpoint gets a request, and remembers what went where.
///
/// It keeps its working space from pick to pick: once it has seen a pool's size, a pick allocates
/// nothing.
///
/// ```
/// use picker::{
///     Endpoint, EndpointId, Millis, Picker, PickerConfig, PoolView, RequestFacts, Signal, SplitMix64,
/// };
///
/// let now = Millis(1_000);
/// let mut endpoints: Vec<Endpoint> = (1..=3)
///     .map(|host| EndpointId { address: ([10, 0, 0, host], 8000).into(), generation: 0 })
///     .map(Endpoint::new)
///     .collect();
/// for (endpoint, waiting) in endpoints.iter_mut().zip([4.0, 0.0, 2.0]) {
///     endpoint.signals.waiting = Some(Signal::new(waiting, now));
/// }
/// let view = PoolView { endpoints: &endpoints, local: &[], now };
///
/// let mut picker = Picker::new(PickerConfig::default());
/// let facts = RequestFacts::default();
/// let decision = picker.pick(&facts, &view, &mut SplitMix64::new(1));
/// assert_eq!(decision.choices().collect::<Vec<_>>(), [1, 2, 0]);
/// ```
#[derive(Debug)]
pub struct Picker {
    config: PickerConfig,
    policy: Box<dyn Policy>,
    roster: Roster,
    index: PrefixIndex,
    learned: Learned,
    candidates: Vec<u32>,
    matched: Vec<u32>,
}

impl Picker {
    /// A picker that has seen nothing yet.
    #[must_use]
    pub fn new(config: PickerConfig) -> Self {
        Self {
            config,
            policy: policy::build(&config),
            roster: Roster::default(),
            index: PrefixIndex::new(config.prefix),
            learned: Learned::new(&config.cost),
            candidates: Vec::new(),
            matched: Vec::new(),
        }
    }

    /// A picker whose decisions come from `policy` instead of the configured one.
    #[must_use]
    pub fn with_policy(config: PickerConfig, policy: Box<dyn Policy>) -> Self {
        Self {
            policy,
            ..Self::new(config)
        }
    }

    /// The configuration it was made with.
    #[must_use]
    pub fn config(&self) -> &PickerConfig {
        &self.config
    }

    /// How many blocks and turns the prefix index remembers, counted once per endpoint that holds them.
    #[must_use]
    pub fn prefix_size(&self) -> usize {
        self.index.len()
    }

    /// Decides where a request goes: up to [`PickerConfig::choices`] distinct endpoints of the view,
    /// best first. The list is empty only when the view has no endpoint
    /// ([`Reason::NoEndpoints`]) or none in the request's subset ([`Reason::NoneEligible`]), or when
    /// the policy refuses ([`Reason::Saturated`]).
    ///
    /// Equal views, facts, history and entropy give equal decisions.
    pub fn pick(
        &mut self,
        facts: &RequestFacts,
        view: &PoolView<'_>,
        entropy: &mut dyn Entropy,
    ) -> Decision {
        let decision = self.consider(facts, view, entropy);
        self.settled(facts, view, &decision);
        decision
    }

    /// Notes a decision of [`Picker::consider`] that is carried out, in the view that it was made for or
    /// a later one with the same endpoints.
    pub fn settled(&mut self, facts: &RequestFacts, view: &PoolView<'_>, decision: &Decision) {
        let Some(first) = decision.first() else {
            return;
        };
        if let Some(slot) = self.roster.aligned().get(first) {
            self.policy.settled(facts, *slot, view.now, decision);
        }
        self.learned.sent(facts, decision.estimate());
        if self.policy.wants_prefix() {
            self.learn_capacity(view.endpoints, first);
        }
    }

    /// The tokens of prompt and answer that a request probably takes, at least 1.
    #[must_use]
    pub fn predicted_tokens(&self, facts: &RequestFacts) -> u32 {
        let limit = facts.max_tokens.map_or(f32::MAX, |most| most as f32);
        let output = self.learned.mean_output_tokens().min(limit);
        (self.learned.prompt_tokens(facts) + output).max(1.0) as u32
    }

    /// Decides like [`Picker::pick`] and remembers nothing of it: for a request that may have to wait.
    /// When it goes, tell [`Picker::settled`].
    pub fn consider(
        &mut self,
        facts: &RequestFacts,
        view: &PoolView<'_>,
        entropy: &mut dyn Entropy,
    ) -> Decision {
        let ladder = &self.config.freshness;
        candidates::select(view, facts, ladder, &mut self.candidates);
        if self.candidates.is_empty() {
            // With a hint it must be nobody else, so that an empty pool is no matter of fallback.
            return Decision::none(match facts.subset {
                Some(_) => Reason::NoneEligible,
                None => Reason::NoEndpoints,
            });
        }
        self.align(view.endpoints);
        self.matched.clear();
        if self.policy.wants_prefix() {
            let slots = self.roster.aligned();
            let slots = self
                .candidates
                .iter()
                .filter_map(|position| slots.get(*position as usize).copied());
            let bound = self.roster.bound();
            self.index
                .match_into(facts, slots, bound, &mut self.matched);
        }
        let round = Round {
            facts,
            view: *view,
            candidates: &self.candidates,
            slots: self.roster.aligned(),
            matched: &self.matched,
            ladder: &self.config.freshness,
            learned: &self.learned,
            choices: self.config.choices,
        };
        let decision = self.policy.decide(&round, entropy);
        let Some(first) = decision.first() else {
            return decision;
        };
        if decision.estimate() == Estimate::default() {
            decision.expecting(plain_estimate(&round, first))
        } else {
            decision
        }
    }

    /// The positions that the last decision chose from.
    #[cfg(feature = "explain")]
    pub(crate) fn candidates(&self) -> &[u32] {
        &self.candidates
    }

    /// The policy's terms of the last decision.
    #[cfg(feature = "explain")]
    pub(crate) fn terms(&self) -> &[crate::explain::Terms] {
        self.policy.terms()
    }

    /// Gives the endpoint at `position` its bound in the index. Engines tell the size of their KV
    /// cache some time after they join, and only those that get prompts need it.
    fn learn_capacity(&mut self, endpoints: &[Endpoint], position: usize) {
        let slot = self.roster.aligned().get(position);
        if let (Some(slot), Some(endpoint)) = (slot, endpoints.get(position)) {
            let capacity = self.index.capacity_of(endpoint, endpoints.len());
            self.index.set_capacity(*slot, capacity);
        }
    }

    /// Notes that the request was sent to `endpoint`, which must have been in a view: its prompt will
    /// soon be cached there.
    pub fn dispatched(&mut self, facts: &RequestFacts, endpoint: EndpointId) {
        if self.policy.wants_prefix()
            && let Some(slot) = self.roster.slot(endpoint)
        {
            let turn = facts.turns.last().map(|turn| turn.hash);
            self.index.insert(slot, &facts.prefix, turn);
        }
    }

    /// Takes over a note about a prompt: what another worker of this Envoy dispatched, or a correction,
    /// of its own or of another worker ([`PrefixNote::corrected`]).
    pub fn dispatched_elsewhere(&mut self, note: &PrefixNote) {
        if self.policy.wants_prefix()
            && let Some(slot) = self.roster.slot(note.endpoint)
        {
            self.index.apply(slot, note);
        }
    }

    /// Learns from the answer to a request.
    pub fn completed(&mut self, completion: &Completion) {
        if let Some(tokens) = completion.prompt_tokens {
            self.index.learn(completion.prompt_bytes, tokens);
        }
        let slot = self.roster.slot(completion.endpoint);
        self.learned.completed(completion, slot);
    }

    /// Forgets every endpoint that is not in `live`. Call it when the membership changed.
    pub fn retain(&mut self, live: &[Endpoint]) {
        let (index, policy, learned) = (&mut self.index, &mut self.policy, &mut self.learned);
        self.roster.retain(live, |slot| {
            index.forget(slot);
            policy.forget(slot);
            learned.forget(slot);
        });
        self.align(live);
    }

    /// Gives every endpoint its slot; when the list changed, also its share of the index.
    fn align(&mut self, endpoints: &[Endpoint]) {
        if !self.roster.align(endpoints) {
            return;
        }
        if self.roster.len() > 2 * endpoints.len() + STRANGERS {
            self.retain(endpoints);
            return;
        }
        for position in 0..endpoints.len() {
            self.learn_capacity(endpoints, position);
        }
    }
}

/// What to count for a request when its policy expects nothing: its prompt without what the first choice
/// probably holds.
fn plain_estimate(round: &Round<'_>, first: usize) -> Estimate {
    let prompt = round.learned.prompt_tokens(round.facts);
    let matched = u32::try_from(first).map_or(0, |position| round.matched(position));
    let prompt_tokens = prompt as u32;
    let uncached_tokens = (prompt - round.learned.tokens(matched.into())) as u32;
    Estimate {
        prompt_tokens,
        uncached_tokens: uncached_tokens.clamp(1, prompt_tokens.max(1)),
        ..Estimate::default()
    }
}
