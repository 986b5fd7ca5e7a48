//! The wish to stop, made once and heard everywhere.

use tokio::sync::watch;

/// Makes the wish. Dropping it counts as making it.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Hears the wish.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and its listener; clone the listener at will.
#[must_use]
pub fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(sender), Shutdown(receiver))
}

impl ShutdownTrigger {
    /// Asks everything to stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits for the wish; cancel safe.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, which is a wish to stop too.
        drop(self.0.wait_for(|requested| *requested).await);
    }

    /// Whether it was made.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
