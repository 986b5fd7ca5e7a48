//! What becomes of requests that were held.

use picker::{Decision, EndpointId};

use crate::refusal::Refusal;

/// A request that goes now. It is counted in the ledger and the others were told.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch<T> {
    /// The request.
    pub held: T,
    /// Where to try it, as positions in the view of the moment.
    pub decision: Decision,
    /// The first of these, where it is counted.
    pub endpoint: EndpointId,
    /// How long it was held, in milliseconds.
    pub waited_ms: u64,
}

/// What to do with a held request now.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<T> {
    /// Send it.
    Dispatch(Dispatch<T>),
    /// Answer it.
    Refuse {
        /// The request.
        held: T,
        /// The answer.
        refusal: Refusal,
        /// How long it was held, in milliseconds.
        waited_ms: u64,
    },
}
