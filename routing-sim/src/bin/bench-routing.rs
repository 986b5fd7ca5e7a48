//! `bench-routing`: see [`routing_sim::report`].

use std::process::ExitCode;

fn main() -> ExitCode {
    routing_sim::report::cli::main()
}
