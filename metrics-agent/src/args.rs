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
