//! The plugin's configuration: what was written (JSON) becomes what it means, or a list of *all*
//! mistakes, each with its place, the value found and what is allowed.
//!
//! ```json
//! {
//!   "mode": "single",
//!   "agent": {"cluster": "zerohop-agent"},
//!   "pools": [{"name": "default", "members": ["10.0.0.1:8000"]}],
//!   "body": {"cap_bytes": 32768},
//!   "allowed_cidrs": ["10.0.0.0/8"],
//!   "picker": {"policy": "cost"},
//!   "paths": {"/ask": "generate"},
//!   "route_metadata": false,
//!   "session": {"header": "x-session-id"},
//!   "trust_subset_header": false,
//!   "trust_subset_metadata": true,
//!   "strict_model": false,
//!   "models": {"unknown": "pass", "list": false, "route": false, "trust_headers": false},
//!   "report_served": false,
//!   "explain_log": false,
//!   "trust_explain_header": false,
//!   "shadow": false,
//!   "admission": {"fairness": {"header": "x-tenant"}, "rules": {"ttft_target_ms": 200}},
//!   "conformance_test": false
//! }
//! ```

pub mod addresses;
mod admission;
mod json;
mod models;
mod paths;
mod pools;
mod session;
mod table;

use picker::config::{PickerConfig, RawPickerConfig};
use serde_json::Value;

use self::table::Table;
pub use self::{
    addresses::AllowedAddresses,
    admission::{AdmissionConfig, FairnessConfig},
    models::{ModelAnswers, ModelsConfig},
    pools::PoolConfig,
    session::SessionConfig,
};
use crate::work::Paths;

/// The longest part of a body that is buffered unless the configuration says otherwise, in bytes.
/// Envoy adds each piece to its buffer before it asks the filter, so `request_body_buffer_limit` has
/// to leave room for one more piece (docs/envoy.md).
pub const DEFAULT_CAP_BYTES: usize = 32 * 1024;
/// The most that may be configured: Envoy's default buffer limit.
pub const MAX_CAP_BYTES: usize = 1024 * 1024;
/// The longest name of a cluster, in bytes.
const MAX_CLUSTER_NAME_BYTES: usize = 256;

/// How the filter gets at the body before the headers are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// One filter that stops at the headers; needs `allow_on_headers_stop_iteration: true` on the filter.
    #[default]
    Single,
    /// The first of two adjacent filters of the same image, for places where that flag cannot be set (Istio's
    /// WasmPlugin): reads the body and decides.
    PairFirst,
    /// The second of them: holds the headers until the first has decided. Needs no other field.
    PairSecond,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the body is reached.
    pub mode: Mode,
    /// The Envoy cluster of `zerohop-agent`, HTTP/2. Without an agent the pools' `members` are all there is.
    pub agent_cluster: Option<String>,
    /// The pools; never empty except in [`Mode::PairSecond`].
    pub pools: Vec<PoolConfig>,
    /// How much of a body is read before the decision is taken with what is known, in bytes. Keep it below the
    /// route's `request_body_buffer_limit` (docs/envoy.md); larger bodies pass, they are just not read further.
    pub cap_bytes: usize,
    /// The networks that endpoints may lie in: where traffic may go at all. Without the list everything but
    /// loopback, link-local, multicast, unspecified and broadcast addresses.
    pub allowed: AllowedAddresses,
    /// The routing policy.
    pub picker: PickerConfig,
    /// Whether a JSON request of which the model stays unknown is answered with 400. Off, it is routed by load.
    pub strict_model: bool,
    /// Ends of paths, and what requests to them ask of a model server: `generate`, `encode`, `count` or `opaque`. They
    /// go before the known ends of the same length (docs/requests.md).
    pub paths: Paths,
    /// Whether the metadata of Envoy's routes may say it instead, before any path: `metadata: {filter_metadata:
    /// {zerohop: {work: encode}}}` on a route. Costs a host call a request.
    pub route_metadata: bool,
    /// Where requests may name their session.
    pub session: SessionConfig,
    /// Whether `x-gateway-destination-endpoint-subset` comes from somebody who may say where requests go. Then
    /// nothing outside it is picked, and 503 `no_endpoint_in_subset` is the answer when nothing of it is there.
    pub trust_subset_header: bool,
    /// Whether the dynamic metadata `envoy.lb.subset_hint`, key `x-gateway-destination-endpoint-subset` (a list, or
    /// a text in the form of the header), say the same. Only filters of this Envoy before ours write them, so they
    /// are obeyed unless switched off, and go before the header (docs/adr/0020-subset-metadata.md).
    pub trust_subset_metadata: bool,
    /// What is done by the model that a request names.
    pub models: ModelsConfig,
    /// Whether the client is told in `x-gateway-destination-endpoint-served` which endpoint answered. Costs 3 us a
    /// request.
    pub report_served: bool,
    /// Whether each decision is left in full for access logs, in the filter state `wasm.zerohop.decision`.
    pub explain_log: bool,
    /// Whether `x-zerohop-explain` comes from somebody who may know of decisions, and so of the addresses of pods:
    /// its answer then has `x-zerohop-decision`.
    pub trust_explain_header: bool,
    /// Whether nothing is changed, only decided and compared. Fields that would change something must then be
    /// absent.
    pub shadow: bool,
    /// Who waits and who is refused when a pool is full; `None` lets everybody through.
    pub admission: Option<AdmissionConfig>,
    /// Whether a client chooses endpoints by `test-epp-endpoint-selection` and reads
    /// `x-conformance-test-served-endpoint`, for the Gateway API Inference Extension's tests only.
    pub conformance_test: bool,
}

/// Every mistake of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} mistake(s): {}", .0.len(), .0.join("; "))]
pub struct Mistakes(pub Vec<String>);

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// All mistakes at once. JSON that cannot be read at all is one mistake, with line and column.
    pub fn parse(text: &[u8]) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let root = match json::parse(text, &mut mistakes) {
            Ok(root) => root,
            Err(error) => return Err(Mistakes(vec![format!("not valid JSON: {error}")])),
        };
        let config = Self::check(root, &mut mistakes);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(Mistakes(mistakes)),
        }
    }

    fn check(root: Value, mistakes: &mut Vec<String>) -> Option<Self> {
        let mut root = Table::new("", root, mistakes)?;
        let mode = match root.take("mode") {
            None => Mode::default(),
            Some(value) => mode(&value, mistakes),
        };
        let allowed = match root.take("allowed_cidrs") {
            None => AllowedAddresses::default(),
            Some(value) => AllowedAddresses::check("allowed_cidrs", value, mistakes),
        };
        let agent_cluster = root.take("agent").and_then(|value| agent(value, mistakes));
        let models = match root.take("models") {
            None => ModelsConfig::default(),
            Some(value) => models::check(value, mistakes),
        };
        let pools = match root.take("pools") {
            Some(value) => pools::check("pools", value, models.answers, &allowed, mistakes),
            None if mode == Mode::PairSecond => Vec::new(),
            None => {
                mistakes.push("pools: missing; a list of at least one pool is needed".to_owned());
                Vec::new()
            }
        };
        if root.saw("agent") {
            // A mistake within `agent` is reported there already.
        } else {
            pools::check_members_without_agent(&pools, mistakes);
        }
        let cap_bytes = match root.take("body") {
            None => DEFAULT_CAP_BYTES,
            Some(value) => body(value, mistakes),
        };
        let picker = match root.take("picker") {
            None => Some(PickerConfig::default()),
            Some(value) => picker_section(value, mistakes),
        };
        let strict_model = flag(&mut root, "strict_model", mistakes);
        let paths = match root.take("paths") {
            None => Paths::default(),
            Some(value) => paths::check(&value, mistakes),
        };
        let session = match root.take("session") {
            None => SessionConfig::default(),
            Some(value) => session::check(value, mistakes),
        };
        let trust_subset_header = flag(&mut root, "trust_subset_header", mistakes);
        let trust_subset_metadata = flag_or(true, &mut root, "trust_subset_metadata", mistakes);
        let flags = [
            "route_metadata",
            "report_served",
            "conformance_test",
            "explain_log",
            "trust_explain_header",
            "shadow",
        ];
        let flags = flags.map(|key| flag(&mut root, key, mistakes));
        let [
            route_metadata,
            report_served,
            conformance_test,
            explain_log,
            trust_explain_header,
            shadow,
        ] = flags;
        let admission = root.take("admission");
        let admission = admission.and_then(|value| admission::check(value, mistakes));
        if shadow {
            check_shadow(&root, &pools, mistakes);
        }
        root.finish(mistakes);
        Some(Self {
            mode,
            agent_cluster,
            pools,
            cap_bytes,
            allowed,
            picker: picker?,
            strict_model,
            paths,
            route_metadata,
            session,
            trust_subset_header,
            trust_subset_metadata,
            models,
            report_served,
            admission,
            conformance_test,
            explain_log,
            trust_explain_header,
            shadow,
        })
    }
}

/// In shadow mode nothing may be configured that changes a request or an answer.
fn check_shadow(root: &Table, pools: &[PoolConfig], mistakes: &mut Vec<String>) {
    const WHY: &str = ": must be absent in shadow mode, which changes nothing";
    for key in [
        "strict_model",
        "models",
        "trust_subset_header",
        "report_served",
        "conformance_test",
        "trust_explain_header",
        "admission",
    ] {
        if root.saw(key) {
            mistakes.push([key, WHY].concat());
        }
    }
    if pools
        .iter()
        .any(|pool| pool.models != ModelAnswers::default())
    {
        mistakes.push(["pools[].models", WHY].concat());
    }
}

/// A field that is `true` or `false`, by default `false`.
fn flag(table: &mut Table, key: &'static str, mistakes: &mut Vec<String>) -> bool {
    flag_or(false, table, key, mistakes)
}

/// A field that is `true` or `false`.
fn flag_or(
    default: bool,
    table: &mut Table,
    key: &'static str,
    mistakes: &mut Vec<String>,
) -> bool {
    let value = table.take(key);
    let flag = value.and_then(|value| table::boolean(key, &value, mistakes));
    flag.unwrap_or(default)
}

fn mode(value: &Value, mistakes: &mut Vec<String>) -> Mode {
    match value.as_str() {
        Some("single") => Mode::Single,
        Some("pair_first") => Mode::PairFirst,
        Some("pair_second") => Mode::PairSecond,
        _ => {
            let allowed = "one of single, pair_first, pair_second";
            mistakes.push(table::wrong("mode", allowed, value));
            Mode::default()
        }
    }
}

fn agent(value: Value, mistakes: &mut Vec<String>) -> Option<String> {
    let mut agent = Table::new("agent", value, mistakes)?;
    let cluster = match agent.take("cluster") {
        Some(value) => cluster_name("agent.cluster", &value, mistakes),
        None => {
            mistakes.push("agent.cluster: missing; the name of the agent's cluster".to_owned());
            None
        }
    };
    agent.finish(mistakes);
    cluster
}

fn body(value: Value, mistakes: &mut Vec<String>) -> usize {
    let Some(mut body) = Table::new("body", value, mistakes) else {
        return DEFAULT_CAP_BYTES;
    };
    let cap = match body.take("cap_bytes") {
        None => DEFAULT_CAP_BYTES,
        Some(value) => {
            let range = 1..=MAX_CAP_BYTES;
            table::integer("body.cap_bytes", &value, range, mistakes).unwrap_or(DEFAULT_CAP_BYTES)
        }
    };
    body.finish(mistakes);
    cap
}

fn picker_section(value: Value, mistakes: &mut Vec<String>) -> Option<PickerConfig> {
    match serde_json::from_value::<RawPickerConfig>(value) {
        Ok(raw) => raw.check("picker", mistakes),
        Err(error) => {
            mistakes.push(format!("picker: {error}"));
            None
        }
    }
}

/// A cluster's name: visible ASCII of bounded length.
fn cluster_name(path: &str, value: &Value, mistakes: &mut Vec<String>) -> Option<String> {
    let name = value.as_str().filter(|name| {
        (1..=MAX_CLUSTER_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic())
    });
    if name.is_none() {
        let allowed = "the name of a cluster, 1..256 bytes of visible ASCII";
        mistakes.push(table::wrong(path, allowed, value));
    }
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests;
