//! One Envoy's side of a stream: what it asked for, what it holds, what it said of it. Pure.

use std::collections::BTreeMap;

use xxhash_rust::xxh64::Xxh64;

use super::{
    Assignments, TYPE_URL,
    proto::{DiscoveryRequest, DiscoveryResponse},
};

/// Names that one stream may ask for; far above the pools that an agent can have.
const MAX_NAMES: usize = 1_024;
/// Of a refusal's text, which goes into a log.
const MAX_REASON: usize = 512;

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The first request, or one about an older response than the last: it waits for nothing.
    Asked,
    /// The last response was taken.
    Taken,
    /// A response was refused, for this reason. What it held is not sent again until it changes.
    Refused(String),
}

/// Why a request ends its stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Another kind of resource.
    #[error("only {TYPE_URL} is served here, not `{0}`")]
    Type(String),
    /// More names than any Envoy needs.
    #[error("a stream may ask for at most {MAX_NAMES} pools, not {0}")]
    Names(usize),
}

/// Where one stream stands.
#[derive(Debug, Default)]
pub struct Subscription {
    /// The pools it asks for, each with the version that was sent last.
    pools: BTreeMap<String, Option<u64>>,
    /// The number of the last response, which is its nonce.
    responses: u64,
}

impl Subscription {
    /// Takes a request.
    ///
    /// # Errors
    /// When it breaks the protocol, which ends the stream.
    pub fn hear(&mut self, request: DiscoveryRequest) -> Result<Heard, Breach> {
        if !matches!(request.type_url.as_str(), "" | TYPE_URL) {
            return Err(Breach::Type(request.type_url.chars().take(128).collect()));
        }
        if request.resource_names.len() > MAX_NAMES {
            return Err(Breach::Names(request.resource_names.len()));
        }
        let nonce = request.response_nonce;
        let last = nonce.is_empty() || nonce == self.nonce();
        if last {
            let mut before = std::mem::take(&mut self.pools);
            for name in request.resource_names {
                let sent = before.remove(&name).flatten();
                self.pools.insert(name, sent);
            }
        }
        // A request about an older response says nothing of the last one: Envoy answers that too,
        // and repeats its names there.
        Ok(match request.error_detail {
            Some(error) => Heard::Refused(error.message.chars().take(MAX_REASON).collect()),
            None if last && !nonce.is_empty() => Heard::Taken,
            None => Heard::Asked,
        })
    }

    /// The response that brings this Envoy up to date, which counts as sent from then on; `None`
    /// when there is nothing to say. A pool that is unknown is left out, as the protocol asks for:
    /// Envoy keeps what it has, or waits.
    pub fn next(&mut self, assignments: &Assignments) -> Option<DiscoveryResponse> {
        let mut version = Xxh64::new(0);
        let mut resources = Vec::new();
        for (name, sent) in &mut self.pools {
            let Some(assignment) = assignments.get(name.as_str()) else {
                continue;
            };
            version.update(name.as_bytes());
            version.update(&assignment.version.to_le_bytes());
            if *sent != Some(assignment.version) {
                *sent = Some(assignment.version);
                resources.push(assignment.resource.clone());
            }
        }
        if resources.is_empty() {
            return None;
        }
        self.responses = self.responses.saturating_add(1);
        Some(DiscoveryResponse {
            version_info: format!("{:016x}", version.digest()),
            resources,
            type_url: TYPE_URL.to_owned(),
            nonce: self.nonce(),
        })
    }

    /// The pools that it asks for and that are not known.
    pub fn unknown<'a>(&'a self, assignments: &'a Assignments) -> impl Iterator<Item = &'a str> {
        let names = self.pools.keys().map(String::as_str);
        names.filter(|name| !assignments.contains_key(*name))
    }

    fn nonce(&self) -> String {
        self.responses.to_string()
    }
}
