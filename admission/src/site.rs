//! What admission asks of the worker it lives in.

use picker::{Decision, EndpointId, Estimate, PoolView};

/// A value of one pool that all workers of an Envoy share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shared {
    /// Who holds requests back ([`pool_state::slot::board`]).
    Board,
    /// Moves with every plan that takes room ([`pool_state::slot::version`]).
    Claim,
}

/// What guards the replacement of a value that was read; `None` when there was none.
pub type Guard = Option<u32>;

/// One worker's surroundings: shared data, the other workers, the picker and the ledger. The filter
/// implements it over Envoy, the simulator and the tests over memory. `T` is a held request.
pub trait Site<T> {
    /// Reads a shared value; empty when there is none.
    fn read(&mut self, value: Shared) -> (Vec<u8>, Guard);

    /// Replaces a shared value unless somebody else wrote it since it was read with `guard`. Returns
    /// whether it was replaced.
    fn replace(&mut self, value: Shared, bytes: &[u8], guard: Guard) -> bool;

    /// Wakes the root context that registered this shared queue, soon and in its own time.
    fn wake(&mut self, queue: u32);

    /// The shared queue that wakes this worker; `None` when it has none, so that only its tick does.
    fn queue(&self) -> Option<u32>;

    /// Takes over what the other workers have in flight now, however lately that was done before.
    fn look_around(&mut self);

    /// Decides where a request would go, with what is in flight now, and remembers nothing of it.
    fn consider(&mut self, held: &T) -> Decision;

    /// The pool as [`Site::consider`] sees it.
    fn view(&self) -> PoolView<'_>;

    /// Counts a request at an endpoint, in this worker's own ledger.
    fn begin(&mut self, endpoint: EndpointId, estimate: Estimate);

    /// Takes back what [`Site::begin`] counted.
    fn undo(&mut self, endpoint: EndpointId, estimate: Estimate);

    /// Shows the other workers this worker's ledger, at once.
    fn publish(&mut self);
}
