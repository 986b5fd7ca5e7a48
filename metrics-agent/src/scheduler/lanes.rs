//! How many scrapes are at work at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Two queues for scrapes. Who failed or was slow last time waits in the second, where waiting
/// hurts nobody.
#[derive(Debug)]
pub(super) struct Lanes {
    prompt: Semaphore,
    slow: Semaphore,
}

impl Lanes {
    /// `concurrency` scrapes at a time in each lane.
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            prompt: Semaphore::new(concurrency.max(1)),
            slow: Semaphore::new(concurrency.max(1)),
        }
    }

    /// Waits for a turn; it ends when the permit is dropped. `None` never comes, as the lanes are
    /// never closed.
    pub(super) async fn enter(&self, slow: bool) -> Option<SemaphorePermit<'_>> {
        let lane = if slow { &self.slow } else { &self.prompt };
        lane.acquire().await.ok()
    }
}
