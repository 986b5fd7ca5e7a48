//! What is done by the model that a request names.

use serde_json::Value;

use super::table::{self, Table};

/// How far bodies that may be rewritten are read unless the configuration says otherwise, in bytes.
const DEFAULT_REWRITE_BYTES: usize = 2 * 1024 * 1024;
/// The most that may be configured.
const MAX_REWRITE_BYTES: usize = 32 * 1024 * 1024;

/// What is done by the model that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelsConfig {
    /// Whether a model that the pool's policy does not know is answered with 404.
    pub refuse_unknown: bool,
    /// Whether `GET /v1/models` is answered from the policy.
    pub list: bool,
    /// Whether the model is set as a header and the route evaluated again.
    pub route: bool,
    /// Whether the headers that name an objective or another model come from somebody who may.
    pub trust_headers: bool,
    /// How far a body is read where the pool's policy may rewrite its model, in bytes.
    pub rewrite_bytes: usize,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            refuse_unknown: false,
            list: false,
            route: false,
            trust_headers: false,
            rewrite_bytes: DEFAULT_REWRITE_BYTES,
        }
    }
}

pub(super) fn check(value: Value, mistakes: &mut Vec<String>) -> ModelsConfig {
    let mut config = ModelsConfig::default();
    let Some(mut models) = Table::new("models", value, mistakes) else {
        return config;
    };
    match models.take("unknown") {
        None => {}
        Some(value) => match value.as_str() {
            Some("pass") => {}
            Some("refuse") => config.refuse_unknown = true,
            _ => mistakes.push(table::wrong(
                "models.unknown",
                "one of pass, refuse",
                &value,
            )),
        },
    }
    for (key, flag) in [
        ("list", &mut config.list),
        ("route", &mut config.route),
        ("trust_headers", &mut config.trust_headers),
    ] {
        if let Some(value) = models.take(key) {
            *flag = table::boolean(&format!("models.{key}"), &value, mistakes).unwrap_or_default();
        }
    }
    if let Some(value) = models.take("rewrite_bytes") {
        let range = 1..=MAX_REWRITE_BYTES;
        if let Some(bytes) = table::integer("models.rewrite_bytes", &value, range, mistakes) {
            config.rewrite_bytes = bytes;
        }
    }
    models.finish(mistakes);
    config
}
