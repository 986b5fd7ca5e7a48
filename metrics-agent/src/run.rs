//! Wires the parts together and runs them.

use std::{
    fmt::Display, io, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration,
};

use arc_swap::ArcSwap;
use inference_api::Compiled;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};
use tracing::{error, info, warn};
use xxhash_rust::xxh64::xxh64;

use crate::{
    adapters::Rollout,
    admin::{self, Admin},
    api_key::{ApiKey, ApiKeyError},
    args::{Args, Command, LogFormat, RunArgs},
    clock::Clock,
    config::{self, Config},
    discovery::{ConfigState, ResourceState, Supervisor, dns::system_lookup, file::ConfigFile},
    explain,
    hub::Hub,
    index::Index,
    publish::{self, tls::TlsError},
    resources::{self, Directory, Update, combined},
    scheduler::Scheduler,
    shadow,
    shutdown::{self, Shutdown},
    telemetry::Telemetry,
    top,
};

/// Streams and requests that have not ended by then are cut off.
const STOP_WITHIN: Duration = Duration::from_millis(1_500);
/// A look-up in progress holds a thread; more threads than this never help.
const BLOCKING_THREADS: usize = 8;

/// Runs a command; the exit code is 0 for success, 1 for a bad configuration or a failure.
#[must_use]
pub fn execute(args: &Args) -> ExitCode {
    match &args.command {
        Command::Check { file, resources } => check(file, resources.as_deref()),
        Command::Run(args) => ended(run(args)),
        Command::Top(args) => ended(top::run(args)),
        Command::Explain(args) => ended(explain::run(args)),
        Command::Shadow(args) => ended(shadow::run(args)),
    }
}

fn ended(outcome: Result<(), impl Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut io::stderr(), format_args!("zerohop-agent: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Why the agent could not start or go on.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the configuration has mistakes\n{0}")]
    Config(config::Mistakes),
    #[error("the resources have mistakes\n{}", .0.join("\n"))]
    Resources(Vec<String>),
    #[error("there are no pools: neither `pools` in {0} nor a source of resources")]
    NoPools(String),
    #[cfg(feature = "kubernetes")]
    #[error("{0}: `resources` and --kubernetes are two sources of resources, only one can be")]
    TwoSources(String),
    #[cfg(feature = "kubernetes")]
    #[error(transparent)]
    Cluster(#[from] crate::kubernetes::ConnectError),
    #[error("the log filter `{filter}` is not understood: {why}")]
    LogFilter { filter: String, why: String },
    #[error("cannot listen on {address} ({field}): {source}")]
    Listen {
        address: SocketAddr,
        field: &'static str,
        source: io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("serving gateways failed: {0}")]
    Serve(tonic::transport::Error),
}

fn check(file: &Path, resources: Option<&Path>) -> ExitCode {
    match ConfigFile::open(file) {
        Ok((_, config)) => {
            if let Some(Err(error)) = config.listen.tls.as_ref().map(publish::tls::load) {
                say(
                    &mut io::stderr(),
                    format_args!("{}: {error}", file.display()),
                );
                return ExitCode::FAILURE;
            }
            if let Err(error) = ApiKey::open(config.api_key.as_ref()) {
                say(
                    &mut io::stderr(),
                    format_args!("{}: {error}", file.display()),
                );
                return ExitCode::FAILURE;
            }
            let (config, compiled) = match read_resources(file, config, resources) {
                Ok((config, resources)) => (config, resources.map(|(_, compiled)| compiled)),
                Err(error) => {
                    say(&mut io::stderr(), error);
                    return ExitCode::FAILURE;
                }
            };
            let (config, conflicts) = combined(&config, &compiled.unwrap_or_default());
            if !conflicts.is_empty() {
                say(&mut io::stderr(), conflicts.join("\n"));
                return ExitCode::FAILURE;
            }
            let endpoints: usize = config.pools.iter().map(|pool| pool.endpoints.len()).sum();
            let pools = counted(config.pools.len(), "pool");
            let endpoints = counted(endpoints, "endpoint");
            let file = file.display();
            say(
                &mut io::stdout(),
                format_args!("{file}: good, {pools} with {endpoints}"),
            );
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            say(&mut io::stderr(), &mistakes);
            ExitCode::FAILURE
        }
    }
}

/// The directory and its content, if there is one.
type Resources = Option<(Directory, Arc<Compiled>)>;

/// Opens the directory that the command line or the file names.
fn read_resources(
    file: &Path,
    config: Config,
    directory: Option<&Path>,
) -> Result<(Config, Resources), RunError> {
    let directory = directory.or(config.resources.as_deref());
    let resources = directory.map(Directory::open).transpose();
    let resources = resources.map_err(RunError::Resources)?;
    if resources.is_none() && config.pools.is_empty() {
        return Err(RunError::NoPools(file.display().to_string()));
    }
    Ok((config, resources))
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Prints a line; that nobody reads it is no failure of ours.
fn say(to: &mut impl io::Write, line: impl Display) {
    drop(writeln!(to, "{line}"));
}

fn run(args: &RunArgs) -> Result<(), RunError> {
    start_logging(args)?;
    let (file, config) = ConfigFile::open(&args.config).map_err(RunError::Config)?;
    let runtime = runtime(args.threads).map_err(RunError::Runtime)?;
    let (config, source) = runtime.block_on(source(args, config))?;
    runtime.block_on(serve(file, config, source, args.former_metric_names))
}

/// Where resources come from.
enum Source {
    None,
    Directory(Directory, Arc<Compiled>),
    #[cfg(feature = "kubernetes")]
    Cluster(crate::kubernetes::Cluster),
}

impl Source {
    fn name(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Directory(directory, _) => Some(directory.path().display().to_string()),
            #[cfg(feature = "kubernetes")]
            Self::Cluster(cluster) => Some(cluster.name()),
        }
    }

    /// Whether mistakes in the resources make the agent unready. Those of a cluster are many
    /// people's, and told in events.
    const fn is_strict(&self) -> bool {
        match self {
            Self::None | Self::Directory(..) => true,
            #[cfg(feature = "kubernetes")]
            Self::Cluster(_) => false,
        }
    }
}

/// Opens the source of resources that the command line or the file names.
async fn source(args: &RunArgs, config: Config) -> Result<(Config, Source), RunError> {
    #[cfg(feature = "kubernetes")]
    if args.cluster.kubernetes {
        if config.resources.is_some() {
            return Err(RunError::TwoSources(args.config.display().to_string()));
        }
        let cluster = &args.cluster;
        let (file, namespace) = (cluster.kubeconfig.as_deref(), cluster.namespace.as_deref());
        let host = config.agent_id.clone().unwrap_or_else(host_name);
        let open = crate::kubernetes::Cluster::open(file, namespace, &cluster.gateway, &host);
        return Ok((config, Source::Cluster(open.await?)));
    }
    let directory = args.resources.as_deref();
    let (config, resources) = read_resources(&args.config, config, directory)?;
    let source = resources.map_or(Source::None, |(directory, compiled)| {
        Source::Directory(directory, compiled)
    });
    Ok((config, source))
}

fn start_logging(args: &RunArgs) -> Result<(), RunError> {
    let filter =
        tracing_subscriber::EnvFilter::try_new(&args.log).map_err(|error| RunError::LogFilter {
            filter: args.log.clone(),
            why: error.to_string(),
        })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match args.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            builder.with_ansi(colours).init();
        }
    }
    Ok(())
}

/// One thread by default: the work is many short waits, and a second thread would spend more on
/// waking the first than it takes off it.
fn runtime(threads: u16) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads.into());
    }
    builder
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
}

async fn serve(
    file: ConfigFile,
    config: Config,
    source: Source,
    former_names: bool,
) -> Result<(), RunError> {
    let (trigger, shutdown) = shutdown::channel();
    let tls = match &config.listen.tls {
        Some(files) => Some(publish::tls::load(files)?),
        None => None,
    };
    let grpc = bind(config.listen.grpc, "listen.grpc").await?;
    let admin = bind(config.listen.admin, "listen.admin").await?;
    let api_key = ApiKey::open(config.api_key.as_ref())?;
    let following_key = tokio::spawn(api_key.clone().follow());
    let hub = Arc::new(new_hub(&config).with_api_key(api_key));
    let state = Arc::new(ArcSwap::from_pointee(ConfigState {
        path: file.path().to_owned(),
        resources: source.name().map(|name| ResourceState {
            source: name,
            strict: source.is_strict(),
            ..ResourceState::default()
        }),
        ..ConfigState::default()
    }));
    info!(
        grpc = %address(&grpc),
        admin = %address(&admin),
        pools = config.pools.len(),
        "zerohop-agent is listening"
    );
    let scheduler = Scheduler::new(Arc::clone(&hub), &config.scrape);
    let mut supervisor = Supervisor::new(
        Arc::clone(&hub),
        Arc::clone(&state),
        scheduler,
        system_lookup(),
        config,
    );
    let (updates, updated) = mpsc::channel(1);
    let following = match source {
        Source::None => None,
        Source::Directory(directory, compiled) => {
            supervisor.take_resources(Update {
                compiled: Some(compiled),
                mistakes: Vec::new(),
            });
            Some(tokio::spawn(resources::follow(directory, updates)))
        }
        #[cfg(feature = "kubernetes")]
        Source::Cluster(cluster) => Some(tokio::spawn(cluster.follow(updates))),
    };
    let supervising = tokio::spawn(supervisor.run(file, updated));
    let rolling_out = tokio::spawn(Rollout::new(Arc::clone(&hub)).run());
    let announcer = Arc::clone(&hub);
    let announcing = tokio::spawn(async move {
        tokio::join!(announcer.follow_adapters(), announcer.end_of_start());
    });
    let publisher = Arc::clone(&hub);
    let publishing = tokio::spawn(async move { publisher.publish_changes().await });
    let answers = Admin::new(Arc::clone(&hub), state, shutdown.clone());
    let answers = Arc::new(answers.with_former_names(former_names));
    let mut admins = tokio::spawn(admin::serve(admin, answers, shutdown.clone()));
    let mut gateways = tokio::spawn(publish::serve(grpc, tls, hub, shutdown.clone()));

    let served = tokio::select! {
        () = stop_signal(shutdown) => None,
        ended = &mut gateways => Some(ended),
    };
    trigger.request();
    let stopped = timeout(STOP_WITHIN, async {
        drop((&mut admins).await);
        match served {
            Some(ended) => Some(ended),
            None => Some((&mut gateways).await),
        }
    });
    let ended = stopped.await.unwrap_or_else(|_| {
        warn!("some connections did not end in time and were cut off");
        None
    });
    if let Some(following) = following {
        following.abort();
    }
    following_key.abort();
    supervising.abort();
    rolling_out.abort();
    announcing.abort();
    publishing.abort();
    info!("zerohop-agent has stopped");
    match ended {
        Some(Ok(Err(error))) => Err(RunError::Serve(error)),
        _ => Ok(()),
    }
}

fn new_hub(config: &Config) -> Hub {
    let clock = Clock::start();
    let agent_id = config.agent_id.clone().unwrap_or_else(host_name);
    let hash = xxh64(agent_id.as_bytes(), 0);
    let epoch = clock.unix_ms();
    info!(agent_id, epoch, "identity");
    // Two rounds of time-outs: one that waits for the first lane, one that scrapes.
    let grace = config.scrape.timeout.saturating_mul(2) + Duration::from_millis(200);
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    Hub::new(
        clock,
        Index::new(hash, epoch, grace_ms),
        Arc::new(Telemetry::new()),
    )
    .named(agent_id)
    .starting()
}

/// The host's name: in Kubernetes the pod's, so that replicas differ.
fn host_name() -> String {
    let from_file = |path: &str| std::fs::read_to_string(path).ok();
    let name = from_file("/proc/sys/kernel/hostname").or_else(|| from_file("/etc/hostname"));
    let name = name.map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "zerohop-agent".to_owned())
}

async fn bind(address: SocketAddr, field: &'static str) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen {
            address,
            field,
            source,
        })
}

fn address(listener: &TcpListener) -> String {
    listener
        .local_addr()
        .map_or_else(|_| "unknown".to_owned(), |address| address.to_string())
}

/// Waits for SIGTERM or SIGINT.
async fn stop_signal(mut shutdown: Shutdown) {
    let (terminate, interrupt) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        error!("cannot listen for signals, only a kill will stop this process");
        return shutdown.requested().await;
    };
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM, stopping"),
        _ = interrupt.recv() => info!("SIGINT, stopping"),
    }
}
