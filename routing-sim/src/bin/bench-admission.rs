//! `bench-admission`: see [`routing_sim::report::admission`].

use std::process::ExitCode;

fn main() -> ExitCode {
    routing_sim::report::admission::cli::main()
}
