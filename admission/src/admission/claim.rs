//! The claim: a number that moves with every plan that takes room.

use pool_state::slot::version;

use crate::site::{Guard, Shared, Site};

/// The claim as it was before a plan was drawn up.
#[derive(Debug)]
pub(super) struct Claim {
    next: u64,
    guard: Guard,
}

impl Claim {
    /// Reads it; before anything else is read that the plan rests on.
    pub(super) fn read<T>(site: &mut impl Site<T>) -> Self {
        let (bytes, guard) = site.read(Shared::Claim);
        // What cannot be read is replaced like any other value: the guard is what counts.
        let next = version::decode(&bytes).unwrap_or_default().wrapping_add(1);
        Self { next, guard }
    }

    /// Publishes the ledger with the plan in it, and moves the claim. Returns whether nobody else moved
    /// it since it was read; otherwise the plan must be taken back.
    pub(super) fn replace<T>(&self, site: &mut impl Site<T>) -> bool {
        site.publish();
        site.replace(Shared::Claim, &version::encode(self.next), self.guard)
    }
}
