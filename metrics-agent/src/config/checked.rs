//! The second stage: what the file means. Values of these types kept every rule; their
//! comments make `docs/configuration.md`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{
    api_key::ApiKeySource,
    scrape::{Dialect, dialect::CustomDialect},
};

/// Pools that one agent serves at most.
pub const MAX_POOLS: usize = 64;
/// Endpoints of all pools together at most.
pub const MAX_ENDPOINTS: usize = 10_000;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The agent's stable identity, by which gateways tell agents apart: two must not share it. The host's name if absent.
    pub agent_id: Option<String>,
    /// Where it listens. Fixed for the life of the process.
    pub listen: Listen,
    /// How metrics are fetched.
    pub scrape: ScrapeSettings,
    /// The directory of the inference APIs' resources (docs/policy.md); `--resources` goes first.
    pub resources: Option<PathBuf>,
    /// The pools, in the order of the file, names unique.
    pub pools: Vec<Pool>,
    /// The adapters to roll out, pools unique. A pool here need not be one of `pools`.
    pub adapters: Vec<PoolAdapters>,
    /// Where the key is that the engines ask for (vLLM's `--api-key`). It is sent as `Authorization: Bearer` to
    /// every endpoint of every pool, over plain HTTP.
    pub api_key: Option<ApiKeySource>,
}

/// The LoRA adapters that the pods of a pool shall have.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolAdapters {
    /// The pool's name, here or of the resources.
    pub pool: Arc<str>,
    /// What is loaded on every pod, names unique.
    pub present: Vec<Adapter>,
    /// What is unloaded, although this process never loaded it; never in `present`.
    pub absent: Vec<Arc<str>>,
    /// The share of the pool's ready pods that must have an adapter before rewrites draw it, 0.01
    /// to 1.
    pub ready_share: f64,
}

/// A LoRA adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// The model name that it is served under.
    pub name: Arc<str>,
    /// Where the engine finds it: a path on the pod, or a repository's name.
    pub source: Arc<str>,
}

/// Listening addresses and their protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where gateways connect (gRPC). Not loopback only with `tls` or `insecure`.
    pub grpc: SocketAddr,
    /// Where people and Prometheus connect: the status page, `/metrics`, `/healthz`, `/readyz`, `/debug/...`; plain
    /// HTTP, read only.
    pub admin: SocketAddr,
    /// Whether the operator accepts plaintext gRPC beyond loopback.
    pub insecure: bool,
    /// Certificates for gRPC.
    pub tls: Option<TlsFiles>,
}

/// PEM files for gRPC over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// A PEM file with the agent's certificate chain, read once at the start.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
    /// A PEM file; when given, gateways must show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// How metrics are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeSettings {
    /// Between two scrapes of an endpoint, with 10 % of jitter.
    pub interval: Duration,
    /// The same while no gateway follows this agent, at least `interval`. When the first comes, every endpoint is
    /// scraped anew within an `interval`.
    pub standby_interval: Duration,
    /// The most that a whole scrape may take.
    pub timeout: Duration,
    /// The most that connecting may take, at most `timeout`.
    pub connect_timeout: Duration,
    /// The most bytes of a page; a longer one is a failed scrape.
    pub max_bytes: usize,
    /// The most lines of a page; what follows is left unread.
    pub max_lines: usize,
    /// The most scrapes at work at a time. One that waits for its server for 100 ms no longer counts.
    pub concurrency: usize,
    /// An engine that runs requests without generating a token for so long counts as hung. Raise it when one step
    /// can take longer.
    pub hang_after: Duration,
}

impl Default for ScrapeSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(200),
            standby_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(200),
            max_bytes: 4 << 20,
            max_lines: 20_000,
            concurrency: 64,
            hang_after: Duration::from_millis(600),
        }
    }
}

/// An InferencePool.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// The name that gateways ask for.
    pub name: Arc<str>,
    /// Its endpoints; none is allowed (scaled to zero).
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint as configured: a DNS name stands for all its addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where the model server is.
    pub host: Host,
    /// Its port for requests.
    pub port: u16,
    /// Tells one life of an address from the next, like a pod UID; defaults to the address.
    pub name: Option<Arc<str>>,
    /// Relative capacity.
    pub weight: f32,
    /// Relative price of its time. Looked at only where gateways give it a weight (`picker.cost.price_weight`).
    pub price: f32,
    /// Shown at `/debug/pools`.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Whose metric names it speaks.
    pub engine: Engine,
    /// Where its metrics are.
    pub metrics: MetricsPlace,
}

/// An address or a DNS name in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address, never unspecified, multicast or IPv4-mapped.
    Ip(IpAddr),
    /// A name to resolve.
    Name(String),
}

/// Port and path of an endpoint's metrics where they differ from the engine's usual ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MetricsPlace {
    /// The port of the metrics.
    pub port: Option<u16>,
    /// The path of the metrics.
    pub path: Option<Arc<str>>,
}

/// Whose metric names an endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// A built-in name (see [`Dialect::BUILTIN`]) or one of the section `engines`.
    pub name: Arc<str>,
    /// The metric names of an engine that is not built in.
    pub custom: Option<Arc<CustomDialect>>,
}

impl Engine {
    /// Triton serves its metrics beside its API.
    const TRITON_METRICS_PORT: u16 = 8002;

    /// The engine that is recognised by its page.
    #[must_use]
    pub fn auto() -> Self {
        Self {
            name: Arc::from("auto"),
            custom: None,
        }
    }

    /// The reader for its pages.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        match &self.custom {
            Some(custom) => Some(Dialect::custom(&self.name, custom)),
            None => Dialect::builtin(&self.name),
        }
    }

    /// The port of its metrics, where that is not the port for requests.
    #[must_use]
    pub fn metrics_port(&self) -> Option<u16> {
        (&*self.name == "triton-tensorrt-llm").then_some(Self::TRITON_METRICS_PORT)
    }
}
