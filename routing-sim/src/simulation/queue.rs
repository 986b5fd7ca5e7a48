//! What happens when: the event queue.

use std::{cmp::Reverse, collections::BinaryHeap};

use model_sim::engine::SimTime;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A request reaches its gateway.
    Arrival(u32),
    /// A pod's engine has something to do.
    Wake(u32),
    /// The agent looks at a pod.
    Scrape(u32),
    /// A gateway reports its load to the agent.
    Report(u32),
    /// What the agent learned reaches the gateways.
    Push,
    /// The estimate says that a request, by its serial number, has its first token by now.
    FirstTokenExpected(u32, u64),
    /// A request is sent to the next pod of its list.
    Retry(u32),
    /// A worker's queue wakes it, by gateway and worker.
    Woken(u32, u32),
    /// A worker in which requests wait looks at them, by gateway and worker.
    Tick(u32, u32),
    /// An event of the scenario.
    Pod(u32),
}

/// Events in order of time; those of one moment in the order in which they were planned.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    heap: BinaryHeap<Reverse<(SimTime, u64, Event)>>,
    planned: u64,
}

impl EventQueue {
    pub(super) fn plan(&mut self, at: SimTime, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, event)));
    }

    pub(super) fn next(&mut self) -> Option<(SimTime, Event)> {
        let Reverse((at, _, event)) = self.heap.pop()?;
        Some((at, event))
    }
}
