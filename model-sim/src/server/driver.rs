//! The task that runs an engine in real time: one timer for all its requests.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::locked;
use super::shared::{ListenerMode, Shared};

/// Runs the engine until the instance stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut mode = shared.listener.subscribe();
    loop {
        let next: Option<Instant> = locked(&shared.process).advance();
        tokio::select! {
            () = shared.wake.notified() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            // A closed channel means the same as a stop.
            _stopped = mode.wait_for(|mode| *mode == ListenerMode::Stop) => return,
        }
    }
}
