//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Scrapes the metrics of model servers and pushes the state of their pools to gateways.
#[derive(Debug, Parser)]
#[command(name = "zerohop-agent", version, about)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM or SIGINT.
    Run(RunArgs),
    /// Read a configuration file and resources, and print every mistake with its place; exit code 0 when there is
    /// none, 1 otherwise.
    Check {
        /// The YAML file.
        file: PathBuf,
        /// The directory of the inference APIs' resources, if `run` will get one.
        #[arg(long, value_name = "DIR")]
        resources: Option<PathBuf>,
    },
    /// Show the pools of a running agent in a terminal, live; plain text, once, where there is none.
    Top(TopArgs),
    /// Say what would be picked for a request now, and what every endpoint would cost, term by term.
    Explain(ExplainArgs),
    /// Say what would have been different, from Envoys whose filter is in shadow mode.
    Shadow(ShadowArgs),
}

/// Where a running agent is.
const ADMIN: &str = "http://127.0.0.1:9090";

/// How to look at the pools.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// The admin endpoint of the agent.
    #[arg(long, env = "ZEROHOP_AGENT_ADMIN", value_name = "URL", default_value = ADMIN)]
    pub(crate) agent: String,
    /// The pool to begin with; without a terminal the only one to show.
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
    /// Print once as plain text.
    #[arg(long)]
    pub(crate) once: bool,
}

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The body of the request; `-` is standard input.
    pub(crate) file: PathBuf,
    /// The admin endpoint of the agent.
    #[arg(long, env = "ZEROHOP_AGENT_ADMIN", value_name = "URL", default_value = ADMIN)]
    pub(crate) agent: String,
    /// Explain from a saved answer of /debug/snapshot; no agent is asked then.
    #[arg(long, value_name = "FILE")]
    pub(crate) dump: Option<PathBuf>,
    /// Save what the explanation rests on, for `--dump`.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// The pool; not needed where there is one.
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
    /// The gateway through whose eyes; default is the one with the most requests in flight.
    #[arg(long, value_name = "ID")]
    pub(crate) gateway: Option<String>,
    /// The section `picker` of the filter's configuration, as JSON; default are its defaults.
    #[arg(long, value_name = "FILE")]
    pub(crate) picker: Option<PathBuf>,
    /// The most endpoints to list.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) rows: usize,
}

/// Whose comparisons to report.
#[derive(Debug, clap::Args)]
pub struct ShadowArgs {
    /// The admin interfaces of the Envoys, whose counts are added up.
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:9901")]
    pub(crate) envoys: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The YAML file; watched, and taken again when it changes.
    #[arg(long, env = "ZEROHOP_AGENT_CONFIG", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// A directory with the resources of the inference APIs as YAML documents; watched like the file.
    /// Overrides `resources` in the file.
    #[arg(long, env = "ZEROHOP_AGENT_RESOURCES", value_name = "DIR")]
    pub(crate) resources: Option<PathBuf>,
    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// The form of log lines on standard error.
    #[arg(long, env = "ZEROHOP_AGENT_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a filter such as `info,metrics_agent=debug`.
    #[arg(
        long,
        env = "ZEROHOP_AGENT_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    /// Threads that scrape and serve. One is enough for some hundred endpoints.
    #[arg(
        long,
        env = "ZEROHOP_AGENT_THREADS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub(crate) threads: u16,
    /// Write the names that metrics of the reference had before, `inference_pool_*`, beside today's.
    #[arg(long, env = "ZEROHOP_AGENT_FORMER_METRIC_NAMES")]
    pub(crate) former_metric_names: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The Kubernetes API as the source of resources.
#[cfg(feature = "kubernetes")]
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Take the resources of the inference APIs, and the pods of their pools, from Kubernetes.
    #[arg(long, env = "ZEROHOP_AGENT_KUBERNETES", conflicts_with = "resources")]
    pub(crate) kubernetes: bool,
    /// How to reach the API server; default is the service account of the pod.
    #[arg(long, value_name = "FILE", requires = "kubernetes")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The namespace of the pools and their pods; default is that of the account.
    #[arg(
        long,
        env = "ZEROHOP_AGENT_NAMESPACE",
        value_name = "NAME",
        requires = "kubernetes"
    )]
    pub(crate) namespace: Option<String>,
    /// The Gateway that routes to the pools: the parent in their status.
    #[arg(
        long,
        env = "ZEROHOP_AGENT_GATEWAY",
        value_name = "NAME",
        default_value = "inference-gateway"
    )]
    pub(crate) gateway: String,
}
