//! What a request says about where it should go, beside its body.
//!
//! ```text
//!   metadata envoy.lb.subset_hint -------------+
//!   x-gateway-destination-endpoint-subset -----+-(first that is there and trusted)-> subset
//!                                                             strict: never elsewhere
//!   session header, cookie, body `user` -------(first found)-> session   soft: a preference
//! ```

use picker::{RequestFacts, SubsetEntry};

use crate::{
    config::{Config, SessionConfig},
    headers::{self, HeaderMap},
    host::Host,
    session, subset,
};

/// Which hints are looked at.
#[derive(Debug, Clone)]
pub struct HintConfig {
    session: SessionConfig,
    trust_subset_header: bool,
    trust_subset_metadata: bool,
    conformance_test: bool,
}

impl HintConfig {
    /// The hints of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            session: config.session.clone(),
            trust_subset_header: config.trust_subset_header,
            trust_subset_metadata: config.trust_subset_metadata,
            conformance_test: config.conformance_test,
        }
    }

    /// The hints of the running request for `pool`, by its headers as they came.
    #[must_use]
    pub fn read(&self, host: &dyn Host, headers: &HeaderMap, pool: &str) -> Hints {
        Hints {
            session: session::read(headers, &self.session, pool),
            user_seed: self.session.body_user.then(|| session::seed(pool)),
            subset: self.subset(host, headers),
        }
    }

    /// A filter of this Envoy is nearer than any sender in front of it, so its metadata come first.
    fn subset(&self, host: &dyn Host, headers: &HeaderMap) -> Option<Vec<SubsetEntry>> {
        let of_test = || subset::read_header(headers, headers::TEST_SELECTION);
        let of_filter = || subset::read_metadata(host);
        let of_sender = || subset::read_header(headers, headers::SUBSET);
        let tested = self.conformance_test.then(of_test).flatten();
        tested
            .or_else(|| self.trust_subset_metadata.then(of_filter).flatten())
            .or_else(|| self.trust_subset_header.then(of_sender).flatten())
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
