//! What an instance has seen: counts, and the last request in full, so that a test can prove that
//! it was forwarded byte for byte.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, request::Parts};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh64::Xxh64;

use super::locked;

/// A request as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Headers in order of arrival, names in lower case. Each byte of a value is one character.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// xxh64 of the body with seed 0; as 16 hexadecimal digits in JSON.
    #[serde(serialize_with = "hexadecimal")]
    pub body_xxh64: u64,
    /// Trailers, like the headers.
    pub trailers: Vec<(String, String)>,
    /// Whether the body arrived to its end.
    pub complete: bool,
}

fn hexadecimal<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:016x}"))
}

impl RequestRecord {
    pub(crate) fn of(parts: &Parts) -> Self {
        RequestRecord {
            method: parts.method.to_string(),
            path: parts
                .uri
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            version: format!("{:?}", parts.version),
            headers: header_list(&parts.headers),
            body_xxh64: Xxh64::new(0).digest(),
            ..RequestRecord::default()
        }
    }

    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) fn header_list(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = value
                .as_bytes()
                .iter()
                .map(|byte| char::from(*byte))
                .collect();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// Counts since the instance started; a simulated restart does not reset them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// API requests that arrived: all but probes (`/health`, `/ping`, `/metrics`, `/version`,
    /// `/load`, `GET /v1/models`) and `/sim/...`.
    pub requests_started: u64,
    /// API requests answered to the end, with whatever status.
    pub requests_finished: u64,
    /// API requests that the client left or that a fault cut off.
    pub requests_aborted: u64,
    /// API requests under way.
    pub requests_in_progress: u64,
    /// Probes.
    pub probes: u64,
    /// Scrapes of `/metrics`, which are probes too.
    pub scrapes: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Body bytes of API requests.
    pub request_bytes: u64,
    /// Body bytes of API responses.
    pub response_bytes: u64,
    /// API responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// The API request whose body was the last one to be read to its end (or to fail).
    pub last_request: Option<RequestRecord>,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct StatsCounter {
    pub(crate) started: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) aborted: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) scrapes: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) request_bytes: AtomicU64,
    pub(crate) response_bytes: AtomicU64,
    statuses: Mutex<BTreeMap<u16, u64>>,
    last: Mutex<Option<RequestRecord>>,
}

impl StatsCounter {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn record_request(&self, record: RequestRecord) {
        Self::add(&self.request_bytes, record.body_bytes);
        *locked(&self.last) = Some(record);
    }

    pub(crate) fn record_status(&self, status: u16) {
        *locked(&self.statuses).entry(status).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Ends are read before starts, so that requests under way cannot come out negative.
        let (finished, aborted) = (get(&self.finished), get(&self.aborted));
        let started = get(&self.started);
        Stats {
            requests_started: started,
            requests_finished: finished,
            requests_aborted: aborted,
            requests_in_progress: started.saturating_sub(finished + aborted),
            probes: get(&self.probes),
            scrapes: get(&self.scrapes),
            connections_accepted: get(&self.accepted),
            connections_open: get(&self.open),
            request_bytes: get(&self.request_bytes),
            response_bytes: get(&self.response_bytes),
            statuses: locked(&self.statuses).clone(),
            last_request: locked(&self.last).clone(),
        }
    }
}
