//! What the headers of a request say about its model: which objective it belongs to, which model it
//! is rewritten to, and its id, by which the draw among targets repeats itself.

use pool_state::limits;
use xxhash_rust::xxh64::xxh64;

use crate::headers::{self, HeaderMap, Steering};

/// The longest request id that is looked at, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 1_024;

/// The hints of one request.
#[derive(Debug, Clone, Default)]
pub struct ModelHints {
    /// The name of its objective.
    pub objective: Option<String>,
    /// The model that it is rewritten to, whatever the policy says.
    pub rewrite: Option<String>,
    /// A hash of its id.
    pub draw: Option<u64>,
}

impl ModelHints {
    /// The hints in `headers` as they came.
    #[must_use]
    pub fn read(headers: &HeaderMap, steering: Steering) -> Self {
        let id = headers.get("x-request-id");
        let id = id.filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()));
        let named = |names: [&str; 2], allowed: fn(&str) -> bool| {
            let value = names.iter().find_map(|name| headers.get(name))?;
            let value = std::str::from_utf8(value.trim_ascii()).ok()?;
            (steering.trusted && allowed(value)).then(|| value.to_owned())
        };
        Self {
            objective: named(headers::OBJECTIVE, limits::is_resource_name),
            rewrite: named(headers::MODEL_REWRITE, limits::is_model_name),
            draw: id.map(|id| xxh64(id, 0)),
        }
    }
}
