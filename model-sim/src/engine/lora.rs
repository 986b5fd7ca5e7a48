//! Adapter slots: which adapters are in memory, who uses them, which one has to go.

use super::request::LoraId;

#[derive(Clone, Copy, Debug)]
struct Slot {
    adapter: LoraId,
    users: u32,
    last_use: u64,
}

/// What it takes to run a request with an adapter now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is in memory.
    Loaded,
    /// It is not, but there is room: the step waits for the load.
    NeedsLoad,
    /// Every slot is in use by running requests: the request is deferred.
    NoRoom,
}

/// The adapter slots of one engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoraSlots {
    slots: Vec<Slot>,
    max: usize,
    clock: u64,
}

impl LoraSlots {
    pub(crate) fn new(max: u32) -> Self {
        LoraSlots {
            slots: Vec::new(),
            max: max as usize,
            clock: 0,
        }
    }

    pub(crate) fn admission(&self, adapter: LoraId) -> Admission {
        if self.slots.iter().any(|slot| slot.adapter == adapter) {
            Admission::Loaded
        } else if self.slots.len() < self.max || self.slots.iter().any(|slot| slot.users == 0) {
            Admission::NeedsLoad
        } else {
            Admission::NoRoom
        }
    }

    /// Counts a running request in; loads the adapter in place of the unused one whose last use
    /// is the longest ago. Call only when `admission` is not `NoRoom`.
    pub(crate) fn enter(&mut self, adapter: LoraId) {
        self.clock += 1;
        let last_use = self.clock;
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.adapter == adapter) {
            slot.users += 1;
            slot.last_use = last_use;
            return;
        }
        let slot = Slot {
            adapter,
            users: 1,
            last_use,
        };
        if self.slots.len() < self.max {
            self.slots.push(slot);
        } else if let Some(unused) = self
            .slots
            .iter_mut()
            .filter(|slot| slot.users == 0)
            .min_by_key(|slot| slot.last_use)
        {
            *unused = slot;
        }
    }

    /// Counts a running request out; the adapter stays in memory.
    pub(crate) fn leave(&mut self, adapter: LoraId) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.adapter == adapter) {
            slot.users = slot.users.saturating_sub(1);
        }
    }

    /// Adapters with running requests, in slot order.
    pub(crate) fn running(&self) -> impl Iterator<Item = LoraId> + '_ {
        self.slots
            .iter()
            .filter(|slot| slot.users > 0)
            .map(|slot| slot.adapter)
    }

    /// Adapters in memory, used or not, in slot order.
    pub(crate) fn resident(&self) -> impl Iterator<Item = LoraId> + '_ {
        self.slots.iter().map(|slot| slot.adapter)
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, LoraId, LoraSlots};

    #[test]
    fn slots_are_shared_and_the_longest_unused_adapter_goes_first() {
        let (a, b, c) = (LoraId(1), LoraId(2), LoraId(3));
        let mut slots = LoraSlots::new(2);
        assert_eq!(slots.admission(a), Admission::NeedsLoad);
        slots.enter(a);
        slots.enter(a);
        slots.enter(b);
        assert_eq!(slots.admission(a), Admission::Loaded);
        assert_eq!(slots.admission(c), Admission::NoRoom);
        slots.leave(a);
        assert_eq!(
            slots.admission(c),
            Admission::NoRoom,
            "one request with a still runs"
        );
        slots.leave(a);
        slots.leave(b);
        assert_eq!(slots.admission(c), Admission::NeedsLoad);
        slots.enter(c);
        assert_eq!(
            slots.resident().collect::<Vec<_>>(),
            [c, b],
            "a was unused for longer"
        );
        assert_eq!(slots.running().collect::<Vec<_>>(), [c]);
    }

    #[test]
    fn an_engine_without_slots_admits_nothing() {
        assert_eq!(LoraSlots::new(0).admission(LoraId(1)), Admission::NoRoom);
    }
}
