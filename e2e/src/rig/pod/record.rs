//! What a pod was asked.

use std::time::Instant;

use http::request::Parts;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When its head was there.
    pub at: Instant,
    /// Method, path and headers.
    pub head: Parts,
    /// Bytes of the body.
    pub bytes: u64,
    /// xxh64 of the body with seed 0.
    pub digest: u64,
    /// The model that the body names, read as an engine does; only of a pod that speaks.
    pub model: Option<String>,
    /// How many trailer fields followed.
    pub trailers: usize,
}

impl Recorded {
    /// All values of a header, in order.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&[u8]> {
        let values = self.head.headers.get_all(name);
        values.iter().map(http::HeaderValue::as_bytes).collect()
    }
}
