//! Who feeds a pool: a lease in shared data, taken and renewed by compare-and-swap.
//!
//! ```text
//!   every tick of every root context (main thread and workers):
//!     mine             -> renew for LEASE_MS
//!     vacant           -> take, if it is our turn
//!     somebody else's  -> wait
//! ```
//!
//! A holder that dies (its VM panicked, its listener went away) is replaced one lease later. The
//! lease is per pool, because two plugins with different configurations can share a pool; those
//! with the same configuration end up with one holder for all pools, and so one stream, because
//! nobody takes a later pool before the earlier ones unless it has long been vacant.

use picker::Millis;
use pool_state::slot::lease::{self, Lease};

use crate::{
    host::Host,
    slots::{self, PoolKeys},
};

/// How often root contexts tick, in milliseconds.
pub const TICK_MS: u32 = 100;
/// How long a lease lasts without renewal, in milliseconds: six ticks.
pub const LEASE_MS: u64 = 6 * TICK_MS as u64;
/// How long a pool must have been vacant before one who does not hold the earlier ones takes it.
const STRAY_MS: u64 = 2 * LEASE_MS;

/// One root context's part in the leases of its pools.
#[derive(Debug)]
pub struct Leases {
    owner: u64,
    agent_cluster: String,
    seats: Vec<Seat>,
}

#[derive(Debug)]
struct Seat {
    keys: PoolKeys,
    held: bool,
    vacant_since: Option<Millis>,
}

impl Leases {
    /// Takes part for `pools`, in their order.
    #[must_use]
    pub fn new(owner: u64, agent_cluster: &str, pools: impl IntoIterator<Item = PoolKeys>) -> Self {
        let seat = |keys| Seat {
            keys,
            held: false,
            vacant_since: None,
        };
        Self {
            owner,
            agent_cluster: agent_cluster.to_owned(),
            seats: pools.into_iter().map(seat).collect(),
        }
    }

    /// Renews, takes and gives up leases.
    pub fn tick(&mut self, host: &dyn Host, now: Millis) {
        let mut holds_all_before = true;
        for seat in &mut self.seats {
            // After an update that names another agent, the root contexts of the old configuration
            // live on until their last request ends. They must not hold the pool meanwhile.
            if slots::is_agent(host, &seat.keys, &self.agent_cluster) {
                seat.tick(host, self.owner, now, holds_all_before);
            } else {
                seat.release(host, self.owner, now);
            }
            holds_all_before &= seat.held;
        }
    }

    /// Gives up everything, so that others need not wait for the expiry.
    pub fn release(&mut self, host: &dyn Host, now: Millis) {
        for seat in &mut self.seats {
            seat.release(host, self.owner, now);
        }
    }

    /// Whether the pool at `index` is ours to feed.
    #[must_use]
    pub fn holds(&self, index: usize) -> bool {
        self.seats.get(index).is_some_and(|seat| seat.held)
    }
}

impl Seat {
    fn tick(&mut self, host: &dyn Host, owner: u64, now: Millis, holds_all_before: bool) {
        let seen = host.shared(&self.keys.lease);
        let current = lease::decode(&seen.value)
            .ok()
            .filter(|lease| is_running(lease, now));
        match current {
            Some(lease) if lease.owner != owner => {
                self.held = false;
                self.vacant_since = None;
                return;
            }
            Some(_) => {}
            None => {
                let since = *self.vacant_since.get_or_insert(now);
                if !holds_all_before && now.since(since) < STRAY_MS {
                    self.held = false;
                    return;
                }
            }
        }
        let renewed = Lease {
            owner,
            expires: now.plus(LEASE_MS),
        };
        self.held = host
            .replace_shared(&self.keys.lease, &lease::encode(&renewed), &seen)
            .is_ok();
        self.vacant_since = None;
    }

    fn release(&mut self, host: &dyn Host, owner: u64, now: Millis) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        let seen = host.shared(&self.keys.lease);
        if lease::decode(&seen.value).is_ok_and(|lease| lease.owner == owner) {
            let ended = Lease {
                owner,
                expires: now,
            };
            let key = &self.keys.lease;
            if let Err(error) = host.replace_shared(key, &lease::encode(&ended), &seen) {
                log::debug!("lease {key} was not given up: {error}");
            }
        }
    }
}

/// Whether a lease still runs. One that claims to run longer than any lease lasts was not written
/// by us.
fn is_running(lease: &Lease, now: Millis) -> bool {
    lease.expires > now && lease.expires.since(now) <= LEASE_MS
}

#[cfg(test)]
mod tests;
