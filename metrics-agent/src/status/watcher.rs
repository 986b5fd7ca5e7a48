//! Keeps the memory, and tells viewers what is new every second.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{BUCKETS, Memory, Status, report};
use crate::{admin::Readiness, hub::Hub, shutdown::Shutdown};

/// How often viewers hear.
const TICK: Duration = Duration::from_secs(1);
/// Viewers of the page at a time; each holds one of the admin server's connections.
const MAX_VIEWERS: usize = 16;

/// A stream of server-sent events.
pub type Events = ReceiverStream<Result<Frame<Bytes>, Infallible>>;

/// The history, and those who watch.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    readiness: Readiness,
    memory: Mutex<Memory>,
    updates: watch::Sender<Arc<Update>>,
    viewers: Arc<Semaphore>,
}

/// What is sent to all viewers in one second.
#[derive(Debug, Default)]
struct Update {
    bucket: u64,
    event: Bytes,
}

impl Watcher {
    /// A watcher that remembers nothing so far.
    #[must_use]
    pub fn new(hub: Arc<Hub>, readiness: Readiness) -> Self {
        Self {
            hub,
            readiness,
            memory: Mutex::default(),
            updates: watch::Sender::default(),
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
        }
    }

    /// Remembers and tells, for ever.
    pub async fn run(&self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.observe();
            if self.updates.receiver_count() > 0 {
                let status = self.status(1);
                self.updates.send_replace(Arc::new(Update {
                    bucket: status.bucket,
                    event: event("update", &status),
                }));
            }
        }
    }

    /// Takes what is known now into the memory.
    pub fn observe(&self) {
        let now = self.hub.clock.now();
        let pools = self.hub.index().view(now);
        self.memory().observe(&pools, now);
    }

    /// Goes on from a memory that was made elsewhere.
    pub fn remember(&self, memory: Memory) {
        *self.memory() = memory;
    }

    /// The state now, with the whole history.
    #[must_use]
    pub fn whole(&self) -> Status {
        self.status(BUCKETS)
    }

    /// A stream of events for one viewer: everything first, then every second what is new; `None` when
    /// too many watch already.
    #[must_use]
    pub fn events(self: &Arc<Self>, mut shutdown: Shutdown) -> Option<Events> {
        let permit = Arc::clone(&self.viewers).try_acquire_owned().ok()?;
        let (sender, events) = mpsc::channel(1);
        let watcher = Arc::clone(self);
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = watcher.tell(&sender) => {}
                () = sender.closed() => {}
                () = shutdown.requested() => {}
            }
        });
        Some(ReceiverStream::new(events))
    }

    /// Tells one viewer until it leaves. One that reads slowly misses updates; where that tears its
    /// history, it gets everything again.
    async fn tell(&self, viewer: &mpsc::Sender<Result<Frame<Bytes>, Infallible>>) {
        let mut updates = self.updates.subscribe();
        let mut last = None;
        loop {
            let update = Arc::clone(&updates.borrow_and_update());
            let follows = last.is_some_and(|last: u64| update.bucket <= last.saturating_add(1));
            let (bucket, event) = if follows {
                (update.bucket, update.event.clone())
            } else {
                let whole = self.whole();
                (whole.bucket, event("whole", &whole))
            };
            last = Some(bucket);
            if viewer.send(Ok(Frame::data(event))).await.is_err()
                || updates.changed().await.is_err()
            {
                return;
            }
        }
    }

    fn status(&self, buckets: usize) -> Status {
        let problems = self.readiness.reasons();
        report(&self.hub, &self.memory(), problems, buckets)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// JSON has no line breaks, so that one line of data holds it.
fn event(name: &str, status: &Status) -> Bytes {
    let data = serde_json::to_string(status).unwrap_or_else(|_| "{}".to_owned());
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
