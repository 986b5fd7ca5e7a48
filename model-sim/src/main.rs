//! `model-sim`: simulated model servers on the command line.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use model_sim::cli::{Args, serve};
use tracing::error;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    match serve(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!(
                because = reason.source().map(tracing::field::display),
                "{reason}"
            );
            ExitCode::FAILURE
        }
    }
}
