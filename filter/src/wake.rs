//! The queue that wakes a worker's root context.
//!
//! ```text
//!   a callback of this worker (something may go on)  \
//!                                                     +--> shared queue --> on_queue_ready, soon
//!   another worker (room was freed)                  /
//! ```
//!
//! One queue a root context, for whatever there is to do: who is woken looks around. What may only be done
//! from a root context (an answer to another stream than the one whose callback runs, letting go what a
//! pair holds at its end) is done then. A wake-up that is lost costs a tick.

use crate::{
    host::{Host, QueueId},
    slots,
};

/// The most wake-ups that one callback takes out of its queue.
const MAX_WAKE_UPS: usize = 10_000;

/// This root context's queue.
#[derive(Debug, Default)]
pub struct Wake(Option<(String, QueueId)>);

impl Wake {
    /// The queue, registered when it is asked for first. `slot` is the key of this worker's in-flight
    /// slot: the queues are numbered like the slots, so that there is a fixed number of them.
    pub(crate) fn queue(&mut self, host: &dyn Host, slot: Option<&str>) -> Option<QueueId> {
        let slot = slot?;
        if let Some((owner, queue)) = &self.0
            && owner == slot
        {
            return Some(*queue);
        }
        match host.register_queue(&slots::queue_name(slot)) {
            Ok(queue) => {
                self.0 = Some((slot.to_owned(), queue));
                Some(queue)
            }
            Err(error) => {
                log::warn!("no queue, what is held waits for the tick: {error}");
                None
            }
        }
    }

    /// Takes all wake-ups out of the queue that woke this root context: one look answers them all.
    pub(crate) fn drain(host: &dyn Host, queue: QueueId) {
        for _ in 0..MAX_WAKE_UPS {
            if !host.dequeue(queue) {
                break;
            }
        }
    }
}

/// Asks for a root context to be woken through its queue.
pub(crate) fn ring(host: &dyn Host, queue: QueueId) {
    if let Err(error) = host.enqueue(queue) {
        log::warn!("not woken, what is held waits for the tick: {error}");
    }
}
