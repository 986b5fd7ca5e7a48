//! The `zerohop-agent` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    metrics_agent::run::execute(&metrics_agent::args::Args::parse())
}
