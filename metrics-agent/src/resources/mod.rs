//! The resources of the inference APIs, from wherever they come.
//!
//! ```text
//!   directory (polled) --+                      +--> pools --> discovery (with those of the file)
//!                        +--Update--> Supervisor+
//!   Kubernetes (watch) --+                      +--> policies --> Hub --> gateways
//! ```
//!
//! A source hands over whole views: nothing half-read is ever in force.

mod directory;
mod policies;
mod pools;

use std::sync::Arc;

use inference_api::Compiled;
use tokio::{sync::mpsc, time::MissedTickBehavior};

pub use directory::{Directory, POLL};
pub use policies::{Catalogue, ModelList, Policies, PolicyMessage};
pub use pools::combined;

/// What a source says of its resources as they are now.
#[derive(Debug, Clone)]
pub struct Update {
    /// What is to be in force; `None` leaves what was before.
    pub compiled: Option<Arc<Compiled>>,
    /// Every mistake in the resources as they are now, a line each.
    pub mistakes: Vec<String>,
}

/// Tells of every change of a directory, for ever.
pub async fn follow(mut directory: Directory, updates: mpsc::Sender<Update>) {
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        poll.tick().await;
        // Parsing thousands of objects must not delay scrapes.
        let polled = tokio::task::spawn_blocking(move || {
            let update = directory.poll();
            (directory, update)
        });
        let Ok((back, update)) = polled.await else {
            return;
        };
        directory = back;
        if let Some(update) = update
            && updates.send(update).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
