//! The in-flight counts of all workers: each writes its own table and adds up the others'.
//!
//! ```text
//!   worker 0: Ledger -> slot 00 --+                     a table counts while its beat is younger
//!   worker 1: Ledger -> slot 01 --+--> Others (sums)    than EXPIRY_MS; a dead worker's requests
//!   ...                    .. 63 -+                     vanish with it
//! ```

use hashbrown::HashMap;
use picker::{EndpointId, InFlight, Millis, ledger::Ledger};
use pool_state::slot::in_flight::{self, InFlightTable};

use crate::{host::Host, slots};

/// A table whose owner has not shown a sign of life for this long is ignored and free to take.
pub const EXPIRY_MS: u64 = 2_000;
/// The least time between two readings of the others' tables, in milliseconds.
pub const REFRESH_MS: u64 = 1;
/// How long a change may wait for the next one when there is no other worker to tell, in milliseconds:
/// only the thread that reports to the agent looks then.
pub const ALONE_MS: u64 = 20;
/// The most tables that one refresh reads; with more live workers the rest stays uncounted, so
/// that the cost of a refresh (about 1 us each) stays bounded.
pub const MAX_LIVE_TABLES: usize = 16;

/// What a change of the ledger means to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A request was sent: published at once, lest another worker sends its own to the same place.
    Sent,
    /// Something was finished: may wait as long as the others wait before they look again.
    Freed,
}

/// This worker's slot.
#[derive(Debug)]
pub struct OwnTable {
    owner: u64,
    keys: Vec<String>,
    slot: Option<usize>,
    written: Option<Millis>,
}

impl OwnTable {
    /// A table that has not claimed a slot yet; it does so when it is written first.
    #[must_use]
    pub fn new(owner: u64) -> Self {
        Self {
            owner,
            keys: slots::in_flight_keys(),
            slot: None,
            written: None,
        }
    }

    /// Who writes it.
    #[must_use]
    pub const fn owner(&self) -> u64 {
        self.owner
    }

    /// The number of the claimed slot, unique among the living workers of this process.
    #[must_use]
    pub const fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// The claimed slot's key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.keys.get(self.slot?).map(String::as_str)
    }

    /// The ledger changed: publishes it, unless that was done so lately that it can wait for the next
    /// change, or for the beat. `alone` says that no other worker lives.
    pub fn changed(
        &mut self,
        host: &dyn Host,
        ledger: &Ledger,
        now: Millis,
        change: Change,
        alone: bool,
    ) {
        let patience = match change {
            _ if alone => ALONE_MS,
            Change::Sent => 0,
            Change::Freed => REFRESH_MS,
        };
        let waited = self.written.map(|written| now.since(written));
        if waited.is_none_or(|waited| waited >= patience) {
            self.write(host, ledger, now);
        }
    }

    /// Publishes the ledger, with a fresh beat.
    pub fn write(&mut self, host: &dyn Host, ledger: &Ledger, now: Millis) {
        self.written = Some(now);
        let table = InFlightTable {
            owner: self.owner,
            beat: now,
            loads: ledger.iter().collect(),
        };
        let value = in_flight::encode(&table);
        match self.key() {
            Some(key) => {
                if let Err(error) = host.set_shared(key, &value) {
                    log::warn!("in-flight table {key} was not written: {error}");
                }
            }
            None => self.claim(host, &value, now),
        }
    }

    /// The heartbeat: shows that this worker lives, or notices that its slot was taken while it
    /// slept and claims another.
    ///
    /// A worker without requests claims a slot too. Otherwise the first one with requests would think
    /// itself alone, publish late, and meet the second one's first request at the same endpoint.
    pub fn beat(&mut self, host: &dyn Host, ledger: &Ledger, now: Millis) {
        if let Some(key) = self.key() {
            let table = in_flight::decode(&host.shared(key).value);
            if !table.is_ok_and(|table| table.owner == self.owner) {
                self.slot = None;
            }
        }
        self.write(host, ledger, now);
    }

    fn claim(&mut self, host: &dyn Host, value: &[u8], now: Millis) {
        for (slot, key) in self.keys.iter().enumerate() {
            let seen = host.shared(key);
            if live(&seen.value, now).is_none() && host.replace_shared(key, value, &seen).is_ok() {
                slots::bump(host, &slots::claims_key());
                self.slot = Some(slot);
                return;
            }
        }
        log::warn!("all {} in-flight slots are taken", slots::IN_FLIGHT_SLOTS);
    }
}

/// What the other workers have in flight.
#[derive(Debug)]
pub struct Others {
    owner: u64,
    keys: Vec<String>,
    claims_key: String,
    claims: Option<u64>,
    live: Vec<usize>,
    scanned: Option<Millis>,
    refreshed: Option<Millis>,
    sums: HashMap<EndpointId, InFlight>,
}

impl Others {
    /// The view of the worker `owner`, whose own table is left out.
    #[must_use]
    pub fn new(owner: u64) -> Self {
        Self {
            owner,
            keys: slots::in_flight_keys(),
            claims_key: slots::claims_key(),
            claims: None,
            live: Vec::new(),
            scanned: None,
            refreshed: None,
            sums: HashMap::new(),
        }
    }

    /// Lets the next [`Others::refresh`] read, however lately that was done before.
    pub fn forget_when(&mut self) {
        self.refreshed = None;
    }

    /// Reads the tables again unless that was done just now. Returns whether it did.
    pub fn refresh(&mut self, host: &dyn Host, now: Millis) -> bool {
        let due = |last: Option<Millis>, every| last.is_none_or(|last| now.since(last) >= every);
        if !due(self.refreshed, REFRESH_MS) {
            return false;
        }
        self.refreshed = Some(now);
        self.sums.clear();
        let claims = slots::version_of(host, &self.claims_key);
        if claims != self.claims || due(self.scanned, EXPIRY_MS) {
            self.claims = claims;
            self.scanned = Some(now);
            self.live = (0..self.keys.len()).collect();
        }
        let before = std::mem::take(&mut self.live);
        for slot in before {
            if self.live.len() < MAX_LIVE_TABLES && self.add(host, slot, now) {
                self.live.push(slot);
            }
        }
        true
    }

    /// The slots of the other workers that lived at the last refresh.
    #[must_use]
    pub fn live(&self) -> &[usize] {
        &self.live
    }

    /// The others' load at one endpoint.
    #[must_use]
    pub fn get(&self, endpoint: EndpointId) -> InFlight {
        self.sums.get(&endpoint).copied().unwrap_or_default()
    }

    /// Every endpoint with load of others.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, InFlight)> + '_ {
        self.sums.iter().map(|(id, load)| (*id, *load))
    }

    fn add(&mut self, host: &dyn Host, slot: usize, now: Millis) -> bool {
        let Some(key) = self.keys.get(slot) else {
            return false;
        };
        let Some(table) = live(&host.shared(key).value, now) else {
            return false;
        };
        if table.owner == self.owner {
            return false;
        }
        for (id, load) in table.loads {
            let sum = self.sums.entry(id).or_default();
            *sum = sum.plus(load);
        }
        true
    }
}

/// The table in a slot, if its owner lives. A beat from the far future was not written by us.
fn live(value: &[u8], now: Millis) -> Option<InFlightTable> {
    let table = in_flight::decode(value).ok()?;
    (now.since(table.beat) < EXPIRY_MS && table.beat.since(now) < EXPIRY_MS).then_some(table)
}

#[cfg(test)]
mod tests;
