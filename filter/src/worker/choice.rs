//! A counted request: who was chosen, and where it counts now.

use picker::EndpointId;

/// The first choice of a routed request and the endpoint that carries its count. Not `Clone`: one
/// count, one release.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a choice that is not released leaves its count behind"]
pub struct Choice {
    pool: usize,
    first: EndpointId,
    counted: Option<EndpointId>,
    tokens: u32,
}

impl Choice {
    pub(super) const fn new(pool: usize, first: EndpointId, tokens: u32) -> Self {
        Self {
            pool,
            first,
            counted: Some(first),
            tokens,
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

    /// The request's estimated prompt tokens.
    #[must_use]
    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Notes that the count belongs to another endpoint now (none when it left the pool) and
    /// returns the one that carried it.
    pub(super) const fn move_to(&mut self, endpoint: Option<EndpointId>) -> Option<EndpointId> {
        let before = self.counted;
        self.counted = endpoint;
        before
    }

    /// The endpoint to release.
    pub(super) const fn into_counted(self) -> Option<EndpointId> {
        self.counted
    }
}
