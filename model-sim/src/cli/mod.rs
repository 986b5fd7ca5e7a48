//! The command line: many instances in one process.

mod args;
mod spec;

pub use args::Args;
pub use spec::{SpecError, instance_config};

use std::io::{self, Write};
use std::net::SocketAddr;

use serde_json::json;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::{Admin, Instance, SimError};

/// Why the program ended.
#[derive(Debug, Error)]
pub enum CliError {
    /// An argument is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// An instance could not start.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The system refused something.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        #[source]
        reason: io::Error,
    },
}

/// Runs the program on a runtime of its own until a signal ends it.
///
/// # Errors
/// As [`run`], or the runtime could not be started.
pub fn serve(args: &Args) -> Result<(), CliError> {
    let threads = usize::from(args.threads.max(1));
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|reason| CliError::System {
            what: "start the runtime",
            reason,
        })?
        .block_on(run(args))
}

/// Starts all instances, prints their addresses as a line of JSON, serves until SIGTERM or SIGINT.
///
/// # Errors
/// An argument is wrong, an instance could not start, or signals cannot be listened to.
pub async fn run(args: &Args) -> Result<(), CliError> {
    let system = |what| move |reason| CliError::System { what, reason };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listen to SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listen to SIGINT"))?;
    let mut instances = Vec::new();
    for config in args.configs()? {
        instances.push(Instance::start(config).await?);
    }
    let admin = match args.admin_port {
        Some(port) => Some(Admin::start(SocketAddr::from((args.host, port)), &instances).await?),
        None => None,
    };
    let addresses: Vec<SocketAddr> = instances.iter().map(Instance::address).collect();
    let ready = json!({ "addresses": addresses, "admin": admin.as_ref().map(Admin::address) });
    let mut stdout = io::stdout();
    writeln!(stdout, "{ready}")
        .and_then(|()| stdout.flush())
        .map_err(system("print"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    for instance in instances {
        instance.stop().await;
    }
    Ok(())
}
