//! What comes out: an ordered list of endpoints and the reason for the first.

/// The longest list a decision holds: the choice and two for retries.
pub const MAX_CHOICES: usize = 3;

/// Why the first endpoint of a decision was chosen; one metric label each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Fresh signals; the leading part of the prompt is probably cached there.
    PrefixHit,
    /// Fresh signals; the adapter is active there.
    LoraAffinity,
    /// Fresh signals; the least predicted cost.
    LeastCost,
    /// Fresh signals; the best mix of queue, KV-cache utilization and running requests.
    BestScore,
    /// Ageing signals: they fade, the in-flight ledger takes the lead.
    AgeingSignals,
    /// Expired or unknown signals: the in-flight ledger alone.
    LeastInFlight,
    /// The policy looks at no load (round robin, random).
    Blind,
    /// The policy refuses the request because no endpoint has capacity for its criticality
    /// (the June-2025 trees); the list is empty.
    Saturated,
    /// No member is known: the choice is left to the cluster's own fallback policy; the list is
    /// empty.
    NoEndpoints,
    /// Members are known, but none may serve this request (subset hint); the list is empty.
    NoneEligible,
}

impl Reason {
    /// Every reason, for metric definitions and tests.
    pub const ALL: [Self; 10] = [
        Self::PrefixHit,
        Self::LoraAffinity,
        Self::LeastCost,
        Self::BestScore,
        Self::AgeingSignals,
        Self::LeastInFlight,
        Self::Blind,
        Self::Saturated,
        Self::NoEndpoints,
        Self::NoneEligible,
    ];

    /// The reason as a metric label and log word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrefixHit => "prefix_hit",
            Self::LoraAffinity => "lora_affinity",
            Self::LeastCost => "least_cost",
            Self::BestScore => "best_score",
            Self::AgeingSignals => "ageing_signals",
            Self::LeastInFlight => "least_in_flight",
            Self::Blind => "blind",
            Self::Saturated => "saturated",
            Self::NoEndpoints => "no_endpoints",
            Self::NoneEligible => "none_eligible",
        }
    }
}

/// What the picker expects of the request at the first choice; what is in flight there is counted
/// with it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Those that are probably not cached there; at most `prompt_tokens`.
    pub uncached_tokens: u32,
    /// Milliseconds to the first token; 0 when the policy does not say.
    pub ttft_ms: f32,
    /// Milliseconds to the last token; 0 when the policy does not say.
    pub total_ms: f32,
}

/// An ordered list of endpoints to try, as indices into [`crate::PoolView::endpoints`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    choices: [u32; MAX_CHOICES],
    count: u8,
    reason: Reason,
    estimate: Estimate,
    notes: Notes,
}

/// What a policy found out on the way that it remembers if the decision is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Notes {
    /// Somebody holds a part of the prompt.
    pub(crate) held: bool,
    /// The model is an adapter.
    pub(crate) adapter: bool,
}

impl Decision {
    /// A decision for the given indices, best first; those past [`MAX_CHOICES`] are dropped.
    #[must_use]
    pub fn new(reason: Reason, ranked: impl IntoIterator<Item = usize>) -> Self {
        let mut decision = Self {
            choices: [0; MAX_CHOICES],
            count: 0,
            reason,
            estimate: Estimate::default(),
            notes: Notes::default(),
        };
        for (slot, index) in decision.choices.iter_mut().zip(ranked) {
            *slot = u32::try_from(index).unwrap_or(u32::MAX);
            decision.count = decision.count.saturating_add(1);
        }
        decision
    }

    /// A decision that names no endpoint.
    #[must_use]
    pub fn none(reason: Reason) -> Self {
        Self::new(reason, [])
    }

    /// The endpoints to try in order, as indices; empty when the choice is left to the cluster.
    pub fn choices(&self) -> impl Iterator<Item = usize> + '_ {
        self.choices
            .iter()
            .take(usize::from(self.count))
            .map(|index| *index as usize)
    }

    /// The endpoint to try first.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.choices().next()
    }

    /// The same decision with what is expected at the first choice.
    #[must_use]
    pub const fn expecting(mut self, estimate: Estimate) -> Self {
        self.estimate = estimate;
        self
    }

    /// The same decision with what is to be remembered of it.
    pub(crate) const fn noting(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }

    /// What is to be remembered of it.
    pub(crate) const fn notes(&self) -> Notes {
        self.notes
    }

    /// What is expected at the first choice.
    #[must_use]
    pub const fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// Why the first endpoint was chosen.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}
