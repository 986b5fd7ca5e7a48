//! The demo: unequal pods, the agent and Envoy with the filter; traffic; then faults.
//!
//! ```text
//!   fleet    simulated pods or real vLLM
//!   traffic  conversations, long prompts and adapters
//!   observe  what the agent sees of the pods meanwhile
//!   table    what came out, for people
//!   story    the order of events
//! ```

mod fleet;
mod observe;
mod story;
mod table;
mod traffic;

pub use story::run;

/// Returns when the process is asked to end.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            tokio::signal::ctrl_c().await.ok();
        }
    }
}
