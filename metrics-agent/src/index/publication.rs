//! One pool's state at one moment, ready to be told to any number of gateways.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use picker::{Millis, PoolSnapshot};
use pool_state::{convert::delta_to_proto, proto};

use super::Loads;

/// A publication. Gateways share its snapshot and, as long as no other gateway's load concerns
/// them, the encoded message too.
#[derive(Debug)]
pub struct Publication {
    /// The pool; `others_in_flight` is absent, because it differs among gateways.
    pub snapshot: Arc<PoolSnapshot>,
    /// The publication before, which most gateways hold.
    pub base: Option<Arc<PoolSnapshot>>,
    /// What the gateways have in flight.
    pub loads: Arc<Loads>,
    /// When it was made.
    pub at: Millis,
    /// DNS names of the pool that were never resolved so far: endpoints may be missing.
    pub unresolved: usize,
    delta: OnceLock<proto::Delta>,
    encoded: OnceLock<Bytes>,
}

impl Publication {
    /// A publication that follows `base`.
    #[must_use]
    pub const fn new(
        snapshot: Arc<PoolSnapshot>,
        base: Option<Arc<PoolSnapshot>>,
        loads: Arc<Loads>,
        at: Millis,
        unresolved: usize,
    ) -> Self {
        Self {
            snapshot,
            base,
            loads,
            at,
            unresolved,
            delta: OnceLock::new(),
            encoded: OnceLock::new(),
        }
    }

    /// The change from the publication before, with ages as of the making of this one; computed at
    /// most once. `None` for a pool's first publication.
    pub fn delta(&self) -> Option<&proto::Delta> {
        let base = self.base.as_ref()?;
        let make = || delta_to_proto(base, &self.snapshot, self.at);
        Some(self.delta.get_or_init(make))
    }

    /// [`Publication::delta`] as an encoded message of the agent; encoded at most once, by
    /// `encode`.
    pub fn encoded_delta(&self, encode: impl FnOnce(proto::Delta) -> Bytes) -> Option<Bytes> {
        let delta = self.delta()?;
        Some(self.encoded.get_or_init(|| encode(delta.clone())).clone())
    }
}
