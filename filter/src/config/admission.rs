//! Who waits and who is refused when a pool is full: the numbers are the admission crate's, the names of
//! headers and properties are ours.

use admission::{AdmissionConfig as Rules, RawAdmissionConfig};
use serde_json::Value;

use super::{
    session::token,
    table::{self, Table},
};
use crate::headers;

/// The longest body that may wait unless the configuration says otherwise, in bytes: half of the
/// `request_body_buffer_limit` of the shipped files, so that the next piece always fits.
const DEFAULT_BODY_BYTES: usize = 2 * 1024 * 1024;
/// The most that may be configured.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// The most steps of a property's path, and the longest of them in bytes.
const MAX_STEPS: usize = 16;
const MAX_STEP_BYTES: usize = 256;

/// Admission in a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmissionConfig {
    /// The numbers.
    pub rules: Rules,
    /// Where a request names whom it is for; the first that is found counts.
    pub fairness: FairnessConfig,
    /// A header with the milliseconds that a request may wait, at most `rules.ttl_ms`.
    pub deadline_header: Option<String>,
    /// A header with the milliseconds within which the first token is wanted; looked at where `rules.order` is
    /// `deadline`.
    pub slo_header: Option<String>,
    /// The longest body that may wait, in bytes. Keep it well below the route's `request_body_buffer_limit`;
    /// a longer request goes when there is plainly room and gets 429 `queue_full` otherwise.
    pub body_bytes: usize,
}

/// Where a request names whom it is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FairnessConfig {
    /// The path of a property that says whom a request is for, such as a claim that `jwt_authn` has verified:
    /// `["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload", "sub"]`. The first of the three
    /// that is found counts; requests without one share one turn.
    pub claim: Vec<String>,
    /// A header that says it.
    pub header: Option<String>,
    /// A header that holds an API key, with or without a scheme before it (`authorization`); only a hash is kept.
    pub api_key: Option<String>,
}

pub(super) fn check(value: Value, mistakes: &mut Vec<String>) -> Option<AdmissionConfig> {
    let before = mistakes.len();
    let mut table = Table::new("admission", value, mistakes)?;
    let mut name = |key, mistakes: &mut Vec<String>| {
        let value = table.take(key)?;
        header(&format!("admission.{key}"), &value, mistakes)
    };
    let deadline_header = name("deadline_header", mistakes);
    let slo_header = name("slo_header", mistakes);
    let fairness = match table.take("fairness") {
        Some(value) => fairness(value, mistakes),
        None => FairnessConfig::default(),
    };
    let body_bytes = table.take("body_bytes").and_then(|value| {
        let range = 1..=MAX_BODY_BYTES;
        table::integer("admission.body_bytes", &value, range, mistakes)
    });
    let rules = match table.take("rules") {
        None => Some(Rules::default()),
        Some(value) => match serde_json::from_value::<RawAdmissionConfig>(value) {
            Ok(raw) => raw.check("admission.rules", mistakes),
            Err(error) => {
                mistakes.push(format!("admission.rules: {error}"));
                None
            }
        },
    };
    table.finish(mistakes);
    let rules = rules?;
    (mistakes.len() == before).then_some(AdmissionConfig {
        rules,
        fairness,
        deadline_header,
        slo_header,
        body_bytes: body_bytes.unwrap_or(DEFAULT_BODY_BYTES),
    })
}

fn fairness(value: Value, mistakes: &mut Vec<String>) -> FairnessConfig {
    let mut config = FairnessConfig::default();
    let Some(mut table) = Table::new("admission.fairness", value, mistakes) else {
        return config;
    };
    if let Some(value) = table.take("claim") {
        config.claim = claim(value, mistakes);
    }
    for (key, place) in [
        ("header", &mut config.header),
        ("api_key", &mut config.api_key),
    ] {
        if let Some(value) = table.take(key) {
            *place = header(&format!("admission.fairness.{key}"), &value, mistakes);
        }
    }
    if !["claim", "header", "api_key"]
        .iter()
        .any(|key| table.saw(key))
    {
        mistakes
            .push("admission.fairness: names nothing; give claim, header or api_key".to_owned());
    }
    table.finish(mistakes);
    config
}

/// The path of a property, step by step.
fn claim(value: Value, mistakes: &mut Vec<String>) -> Vec<String> {
    let path = "admission.fairness.claim";
    let mut steps = Vec::new();
    for (index, step) in table::list(path, value, 1..=MAX_STEPS, mistakes)
        .iter()
        .enumerate()
    {
        // The host takes the steps of a path apart at zeros.
        let text = step.as_str().filter(|text| {
            (1..=MAX_STEP_BYTES).contains(&text.len()) && !text.bytes().any(|byte| byte == 0)
        });
        match text {
            Some(text) => steps.push(text.to_owned()),
            None => {
                let allowed = "a step of a property's path, 1..256 bytes";
                mistakes.push(table::wrong(&format!("{path}[{index}]"), allowed, step));
            }
        }
    }
    steps
}

/// A header's name in lower case, of one that is still there when it is read.
fn header(path: &str, value: &Value, mistakes: &mut Vec<String>) -> Option<String> {
    let name = token(path, "a header", value, mistakes)?.to_ascii_lowercase();
    if headers::ROUTING.contains(&name.as_str()) {
        mistakes.push(format!(
            "{path}: {name} is removed from every request, it cannot be read"
        ));
        return None;
    }
    Some(name)
}
