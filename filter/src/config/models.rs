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
    /// What is answered without a model server, in pools that do not say it themselves.
    pub answers: ModelAnswers,
    /// Whether `x-gateway-model-name` and `x-gateway-base-model-name` are set from the body and the route is
    /// evaluated again, so that Envoy's routes can choose by them; the pool is then the one of which the policy
    /// serves the model (docs/rewriting.md).
    pub route: bool,
    /// Whether `x-llm-d-inference-objective` and `x-llm-d-model-name-rewrite` (and the older
    /// `x-gateway-inference-objective`, `x-gateway-model-name-rewrite`) come from somebody who may send them.
    /// Otherwise they are removed.
    pub trust_headers: bool,
    /// How far a body is read in place of `body.cap_bytes` where the pool's policy may rewrite its model, in bytes.
    /// Keep it below the route's `request_body_buffer_limit`.
    pub rewrite_bytes: usize,
}

/// What is answered without a model server, by the models that a pool's policy knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelAnswers {
    /// With `refuse` a model that the pool's policy does not know is answered with 404 `model_not_found`, and one
    /// that cannot be read with 400; `pass` routes both. Nobody is refused before the pool has a policy.
    pub refuse_unknown: bool,
    /// Whether `GET /v1/models` is answered with the public names of the policy.
    pub list: bool,
}

impl ModelAnswers {
    /// Takes the fields of the answers out of `models` at `path`; those that are not there stay as
    /// they are.
    fn take_from(&mut self, models: &mut Table, path: &str, mistakes: &mut Vec<String>) {
        if let Some(value) = models.take("unknown") {
            match value.as_str() {
                Some("pass") => self.refuse_unknown = false,
                Some("refuse") => self.refuse_unknown = true,
                _ => {
                    let place = table::join(path, "unknown");
                    mistakes.push(table::wrong(&place, "one of pass, refuse", &value));
                }
            }
        }
        if let Some(value) = models.take("list") {
            let place = table::join(path, "list");
            self.list = table::boolean(&place, &value, mistakes).unwrap_or_default();
        }
    }
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            answers: ModelAnswers::default(),
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
    config.answers.take_from(&mut models, "models", mistakes);
    for (key, flag) in [
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

/// What one pool says about its models, at `path`; the rest is as in `common`.
pub(super) fn check_pool(
    path: &str,
    value: Value,
    common: ModelAnswers,
    mistakes: &mut Vec<String>,
) -> ModelAnswers {
    let mut answers = common;
    if let Some(mut models) = Table::new(path, value, mistakes) {
        answers.take_from(&mut models, path, mistakes);
        models.finish(mistakes);
    }
    answers
}
