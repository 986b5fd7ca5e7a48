//! A counted request: who was chosen, what was expected, and where it counts now.

use picker::{EndpointId, Estimate, PrefixNote, RequestFacts};

use crate::{explain::Explanation, metrics::Compared};

use super::prefill::Prefill;

/// The first choice of a routed request and the endpoint that carries its count. Not `Clone`: one
/// count, one release.
#[derive(Debug)]
#[must_use = "a choice that is not released leaves its count behind"]
pub struct Choice {
    pool: usize,
    first: EndpointId,
    counted: Option<EndpointId>,
    explanation: Explanation,
    /// In shadow mode: who served.
    compared: Option<Compared>,
    prompt_bytes: u64,
    /// Whether an answer of text was to be expected.
    decodes: bool,
    sent: u64,
    /// What was noted about the prompt at the first choice; as many hashes as the configuration
    /// allows for a prompt.
    note: PrefixNote,
    /// Where it waits for its first token, if it does: at `counted`.
    prefill: Prefill,
}

impl Choice {
    pub(super) fn new(
        pool: usize,
        explanation: Explanation,
        facts: &RequestFacts,
        note: PrefixNote,
        sent: u64,
    ) -> Self {
        Self {
            pool,
            first: note.endpoint,
            counted: None,
            explanation,
            compared: None,
            prompt_bytes: facts.prompt_bytes,
            decodes: facts.max_tokens != Some(0),
            sent,
            note,
            prefill: Prefill::default(),
        }
    }

    /// The pool, as an index into the configuration.
    #[must_use]
    pub const fn pool(&self) -> usize {
        self.pool
    }

    /// The endpoint that was to be tried first.
    #[must_use]
    pub const fn first(&self) -> EndpointId {
        self.first
    }

    /// What was expected at the first choice.
    #[must_use]
    pub const fn estimate(&self) -> Estimate {
        self.explanation.estimate
    }

    /// Why it was chosen.
    #[must_use]
    pub const fn explanation(&self) -> &Explanation {
        &self.explanation
    }

    /// In shadow mode: who served, once that is known.
    #[must_use]
    pub const fn compared(&self) -> Option<Compared> {
        self.compared
    }

    pub(super) const fn compare_as(&mut self, result: Compared) {
        self.compared = Some(result);
    }

    /// Bytes of the prompt.
    #[must_use]
    pub const fn prompt_bytes(&self) -> u64 {
        self.prompt_bytes
    }

    /// Whether the answer is text that was decoded, so that its length says something of others.
    #[must_use]
    pub const fn decodes(&self) -> bool {
        self.decodes
    }

    /// When it was decided, nanoseconds on the host's clock.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// The endpoint that carries the count; none when the one that served left the pool.
    #[must_use]
    pub const fn counted(&self) -> Option<EndpointId> {
        self.counted
    }

    /// Whether its first token is still waited for.
    #[must_use]
    pub fn is_prefilling(&self) -> bool {
        self.prefill.get().is_some()
    }

    /// What was noted about the prompt.
    #[must_use]
    pub const fn note(&self) -> &PrefixNote {
        &self.note
    }

    /// The note for another endpoint, where the request went instead.
    pub(super) fn note_at(&self, endpoint: EndpointId) -> PrefixNote {
        PrefixNote {
            endpoint,
            ..self.note.clone()
        }
    }

    pub(super) const fn prefill(&self) -> &Prefill {
        &self.prefill
    }

    pub(super) const fn count_at(&mut self, endpoint: Option<EndpointId>) {
        self.counted = endpoint;
    }
}
