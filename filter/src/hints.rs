//! What the headers of a request say about where it should go, beside its body.
//!
//! ```text
//!   x-gateway-destination-endpoint-subset --(only if trusted)--> subset    strict: never elsewhere
//!   session header, cookie, body `user` ---(first found)-------> session   soft: a preference
//! ```

use picker::{RequestFacts, SubsetEntry};

use crate::{
    config::{Config, SessionConfig},
    headers::{self, HeaderMap},
    session, subset,
};

/// Which hints are looked at.
#[derive(Debug, Clone)]
pub struct HintConfig {
    session: SessionConfig,
    trust_subset_header: bool,
    conformance_test: bool,
}

impl HintConfig {
    /// The hints of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            session: config.session.clone(),
            trust_subset_header: config.trust_subset_header,
            conformance_test: config.conformance_test,
        }
    }

    /// The hints of a request for `pool`, by its headers as they came.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap, pool: &str) -> Hints {
        Hints {
            session: session::read(headers, &self.session, pool),
            user_seed: self.session.body_user.then(|| session::seed(pool)),
            subset: self.subset(headers),
        }
    }

    fn subset(&self, headers: &HeaderMap) -> Option<Vec<SubsetEntry>> {
        let of_test = || subset::read(headers, headers::TEST_SELECTION);
        let of_sender = || subset::read(headers, headers::SUBSET);
        let tested = self.conformance_test.then(of_test).flatten();
        tested.or_else(|| self.trust_subset_header.then(of_sender).flatten())
    }
}

/// The hints of one request.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    session: Option<u64>,
    user_seed: Option<u64>,
    subset: Option<Vec<SubsetEntry>>,
}

impl Hints {
    /// Whether the request may go to a subset of the endpoints only.
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        self.subset.is_some()
    }

    /// Adds the hints to what is known of the request; `user` is the hash of the body's `user`.
    pub fn add_to(self, facts: &mut RequestFacts, user: Option<u64>) {
        let user = user.zip(self.user_seed);
        let of_user = user.map(|(user, seed)| session::hash(&user.to_le_bytes(), seed));
        facts.session = self.session.or(of_user);
        facts.subset = self.subset;
    }
}

#[cfg(test)]
mod tests;
