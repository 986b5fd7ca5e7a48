//! Waiting for something to come true, with an end.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

use super::error::RigError;

const PAUSE: Duration = Duration::from_millis(10);

/// Asks `probe` every 10 ms until it answers true; how long that took.
///
/// # Errors
/// When it has not within `limit`.
pub async fn eventually<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<Duration, RigError> {
    let start = Instant::now();
    loop {
        if probe().await {
            return Ok(start.elapsed());
        }
        if start.elapsed() >= limit {
            return Err(RigError::TimedOut {
                what: what.to_owned(),
                waited: start.elapsed(),
            });
        }
        sleep(PAUSE).await;
    }
}
