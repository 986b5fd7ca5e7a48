//! `make demo`: routing and faults, shown on simulated pods or (`--vllm`) on real vLLM.

use std::process::ExitCode;

use e2e::demo;

#[tokio::main]
async fn main() -> ExitCode {
    let vllm = std::env::args().any(|argument| argument == "--vllm");
    let keep = std::env::var("KEEP").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    // Ending by return drops, and so ends, everything that was started, also after Ctrl-C.
    tokio::select! {
        outcome = demo::run(vllm, keep) => match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("demo: {error}");
                ExitCode::FAILURE
            }
        },
        () = demo::interrupted() => ExitCode::from(130),
    }
}
