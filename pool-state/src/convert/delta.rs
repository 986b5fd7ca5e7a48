//! What changed between two publications.

use std::cmp::Ordering;

use picker::{Endpoint, EndpointId, Millis, PoolSnapshot};

use super::{endpoint_to_proto, id_to_proto, version_to_proto};
use crate::proto;

/// The message that turns `old` into `new` on the other side: the endpoints that are new, changed or
/// measured again (so that their ages are refreshed), and the ids that are gone. Both snapshots are
/// of the same pool, agent and epoch and sorted by id; one walk over both.
#[must_use]
pub fn delta_to_proto(old: &PoolSnapshot, new: &PoolSnapshot, now: Millis) -> proto::Delta {
    let mut upserts = Vec::new();
    let mut removals = Vec::new();
    walk(&old.endpoints, &new.endpoints, |change| match change {
        Change::Upsert(endpoint) => upserts.push(endpoint_to_proto(endpoint, now)),
        Change::Removal(id) => removals.push(id_to_proto(id)),
    });
    proto::Delta {
        pool: new.pool.clone(),
        version: Some(version_to_proto(new.version)),
        base_sequence: old.version.sequence,
        upserts,
        removals,
    }
}

enum Change<'a> {
    Upsert(&'a Endpoint),
    Removal(EndpointId),
}

fn walk<'a>(old: &'a [Endpoint], new: &'a [Endpoint], mut report: impl FnMut(Change<'a>)) {
    let mut old = old.iter().peekable();
    let mut new = new.iter().peekable();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.id.cmp(&new.id),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let came = if order.is_ge() { new.next() } else { None };
        match (gone, came) {
            (Some(before), Some(after)) if before == after => {}
            (_, Some(after)) => report(Change::Upsert(after)),
            (Some(before), None) => report(Change::Removal(before.id)),
            (None, None) => return,
        }
    }
}
