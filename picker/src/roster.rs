//! Small stable numbers for endpoints.
//!
//! A view lists endpoints by position, and positions shift with every change of membership. What
//! the picker remembers of an endpoint from pick to pick (cached prefixes, counts at the last
//! scrape) is filed under its slot, which stays the same as long as the endpoint lives.

use hashbrown::{HashMap, HashSet};

use crate::endpoint::{Endpoint, EndpointId};

/// The slots of all endpoints seen, and those of the last view by position.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    slots: HashMap<EndpointId, u32>,
    free: Vec<u32>,
    /// The identities of the last view, position by position.
    ids: Vec<EndpointId>,
    /// The slots of the last view, position by position.
    aligned: Vec<u32>,
}

impl Roster {
    /// Makes [`Roster::aligned`] fit `endpoints`; unseen endpoints get a slot. Comparing identities
    /// in place keeps the usual case, an unchanged membership, free of hashing. Returns whether the
    /// list differs from the one before.
    pub(crate) fn align(&mut self, endpoints: &[Endpoint]) -> bool {
        let same = self.ids.len() == endpoints.len()
            && self
                .ids
                .iter()
                .zip(endpoints)
                .all(|(id, endpoint)| *id == endpoint.id);
        if same {
            return false;
        }
        self.ids.clear();
        self.aligned.clear();
        for endpoint in endpoints {
            let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            let free = &mut self.free;
            let slot = *self
                .slots
                .entry(endpoint.id)
                .or_insert_with(|| free.pop().unwrap_or(next));
            self.ids.push(endpoint.id);
            self.aligned.push(slot);
        }
        true
    }

    /// The slots of the last view, position by position.
    pub(crate) fn aligned(&self) -> &[u32] {
        &self.aligned
    }

    /// The slot of an endpoint, if it was seen.
    pub(crate) fn slot(&self, id: EndpointId) -> Option<u32> {
        self.slots.get(&id).copied()
    }

    /// How many slots are taken.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// One more than the greatest slot ever given away and not yet out of use.
    pub(crate) fn bound(&self) -> usize {
        self.slots.len() + self.free.len()
    }

    /// Takes the slots of all endpoints that are not in `live` and hands them to `freed`.
    pub(crate) fn retain(&mut self, live: &[Endpoint], mut freed: impl FnMut(u32)) {
        let live: HashSet<EndpointId> = live.iter().map(|endpoint| endpoint.id).collect();
        let free = &mut self.free;
        self.slots.retain(|id, slot| {
            let keep = live.contains(id);
            if !keep {
                free.push(*slot);
                freed(*slot);
            }
            keep
        });
        self.ids.clear();
        self.aligned.clear();
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn endpoint(number: u16) -> Endpoint {
        Endpoint::new(EndpointId {
            address: ([10, 0, 0, 1], number).into(),
            generation: 0,
        })
    }

    #[test]
    fn an_endpoint_keeps_its_slot_wherever_it_stands() {
        let mut roster = Roster::default();
        roster.align(&[endpoint(1), endpoint(2), endpoint(3)]);
        assert_eq!(roster.aligned(), [0, 1, 2]);
        roster.align(&[endpoint(0), endpoint(2), endpoint(3)]);
        assert_eq!(roster.aligned(), [3, 1, 2]);
        assert_eq!(roster.slot(endpoint(1).id), Some(0), "not forgotten yet");
    }

    #[test]
    fn slots_are_used_again_but_never_twice_at_once() {
        let mut roster = Roster::default();
        for round in 0..100u16 {
            let view: Vec<_> = (round..round + 7).map(endpoint).collect();
            roster.align(&view);
            let mut slots = roster.aligned().to_vec();
            slots.sort_unstable();
            slots.dedup();
            assert_eq!(slots.len(), view.len(), "round {round}: shared slot");
            let mut freed = Vec::new();
            roster.retain(&view, |slot| freed.push(slot));
            assert_eq!(freed.len(), usize::from(round > 0), "round {round}");
            assert!(roster.bound() <= 8, "round {round}: slots leak");
        }
    }
}
