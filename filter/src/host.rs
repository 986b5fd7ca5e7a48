//! What the filter asks of its host, in the filter's own words.
//!
//! ```text
//!   request, root, worker, ...  ->  trait Host  <-  EnvoyHost (host/envoy.rs, wasm only)
//!                                              <-  FakeHost  (testing.rs, tests only)
//! ```
//!
//! No method panics, whatever the host answers: "not there" is `None`, "refused" is an error that
//! the caller may count and otherwise ignore.

#[cfg(target_arch = "wasm32")]
mod envoy;

use picker::Millis;
use thiserror::Error;

use crate::headers::HeaderMap;

#[cfg(target_arch = "wasm32")]
pub use envoy::EnvoyHost;

/// A status other than success, as the host gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the host answered with status {0}")]
pub struct Refused(pub u32);

/// Why a shared value was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Somebody else wrote since the value was read: read again and decide anew.
    #[error("another writer was faster")]
    Conflict,
    /// The host refused for another reason.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// A shared value and the token that guards its replacement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shared {
    /// The value; empty when the key exists without one, or does not exist.
    pub value: Vec<u8>,
    /// Guards a later [`Host::replace_shared`]; `None` when the key does not exist.
    pub guard: Option<u32>,
}

/// A gRPC stream of this context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamToken(pub u32);

/// The kinds of metric that Envoy knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Shows the last value written by any worker.
    Gauge,
    /// Collects values in Envoy's fixed buckets.
    Histogram,
}

/// A queue that wakes this context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueueId(pub u32);

/// A defined metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MetricId(pub u32);

/// The host of the filter: Envoy, or a fake in tests.
///
/// Methods about "the request" concern the effective context: the one of the running callback
/// unless [`Host::enter_context`] chose another.
pub trait Host {
    /// Nanoseconds on a clock that never steps back and is the same for every thread of this
    /// process. Its origin is unspecified.
    fn monotonic_nanos(&self) -> u64;

    /// 64 random bits for seeds and identities; not for the hot path.
    fn random(&self) -> u64;

    /// The plugin's configuration as it was written, empty when there is none.
    fn configuration(&self) -> Vec<u8>;

    /// Asks for a tick every so many milliseconds.
    fn tick_every(&self, period_ms: u32);

    /// All request headers. Only meaningful until the headers were passed on.
    fn request_headers(&self) -> HeaderMap;

    /// The first value of a request header. Only meaningful until the headers were passed on.
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;

    /// Sets a request header to exactly one value, replacing all.
    ///
    /// # Errors
    /// When the headers were passed on already.
    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Removes every value of a request header; not an error when there is none.
    ///
    /// # Errors
    /// When the headers were passed on already.
    fn remove_request_header(&self, name: &str) -> Result<(), Refused>;

    /// Up to `length` bytes of the request body that is buffered now, from `start`.
    fn request_body(&self, start: usize, length: usize) -> Vec<u8>;

    /// Up to `length` bytes of the chunk of the response body that passes now, from `start`.
    fn response_body(&self, start: usize, length: usize) -> Vec<u8>;

    /// Puts `bytes` in place of the first `length` bytes of the request body that is buffered now.
    ///
    /// # Errors
    /// When there is no such body now.
    fn replace_request_body(&self, length: usize, bytes: &[u8]) -> Result<(), Refused>;

    /// Puts `bytes` in place of the first `length` bytes of the chunk of the response body that passes
    /// now.
    ///
    /// # Errors
    /// When there is no such chunk now.
    fn replace_response_body(&self, length: usize, bytes: &[u8]) -> Result<(), Refused>;

    /// Sets a response header to exactly one value. Only meaningful in the response headers callback.
    ///
    /// # Errors
    /// When the headers were passed on already.
    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Removes every value of a response header; not an error when there is none.
    ///
    /// # Errors
    /// When the headers were passed on already.
    fn remove_response_header(&self, name: &str) -> Result<(), Refused>;

    /// The first value of a response header. Only meaningful in the response headers callback.
    fn response_header(&self, name: &str) -> Option<Vec<u8>>;

    /// An attribute of the stream, in the encoding that Envoy documents for it.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// Leaves a value for later filters of the same stream, to be read with [`Host::property`].
    ///
    /// # Errors
    /// When the host does not allow it here.
    fn set_property(&self, path: &[&str], value: &[u8]) -> Result<(), Refused>;

    /// Answers the request of the running callback without an upstream.
    ///
    /// # Errors
    /// When an answer has begun already.
    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Refused>;

    /// Makes another context of this VM the effective one.
    ///
    /// # Errors
    /// When that context no longer exists.
    fn enter_context(&self, context: u32) -> Result<(), Refused>;

    /// Lets the effective context's paused request go on, after the running callback returned.
    ///
    /// # Errors
    /// When it cannot go on.
    fn resume_request(&self) -> Result<(), Refused>;

    /// Reads a value shared by all VMs of this process with the same `vm_id`.
    fn shared(&self, key: &str) -> Shared;

    /// Writes a shared value, whatever it was before.
    ///
    /// # Errors
    /// When the host refuses.
    fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), Refused>;

    /// Writes a shared value if nobody wrote it since `seen` was read.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] when somebody did.
    fn replace_shared(&self, key: &str, value: &[u8], seen: &Shared) -> Result<(), WriteError>;

    /// Takes the queue of this name over: what is put into it wakes this root context.
    ///
    /// # Errors
    /// When the host refuses.
    fn register_queue(&self, name: &str) -> Result<QueueId, Refused>;

    /// Asks to be woken through a queue, as soon as the running callback has returned.
    ///
    /// # Errors
    /// When the queue is unknown.
    fn enqueue(&self, queue: QueueId) -> Result<(), Refused>;

    /// Takes one wake-up out of a queue; `false` when there is none.
    fn dequeue(&self, queue: QueueId) -> bool;

    /// Opens a bidirectional gRPC stream to a cluster.
    ///
    /// # Errors
    /// When the cluster is unknown (it may appear later) or the stream cannot start.
    fn open_stream(
        &self,
        cluster: &str,
        service: &str,
        method: &str,
    ) -> Result<StreamToken, Refused>;

    /// Sends one message on a stream.
    ///
    /// # Errors
    /// When the stream is gone.
    fn send(&self, stream: StreamToken, message: &[u8]) -> Result<(), Refused>;

    /// The message of the running stream callback.
    fn stream_message(&self, length: usize) -> Vec<u8>;

    /// Resets a stream; no callback follows.
    fn reset_stream(&self, stream: StreamToken);

    /// Defines a metric; the same name gives the same metric in every VM.
    ///
    /// # Errors
    /// When the host does not take the name.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused>;

    /// Adds to a counter. Metrics never fail a request, so nothing is returned.
    fn increment(&self, metric: MetricId, by: u32);

    /// Adds to a gauge, or takes away from it.
    fn adjust(&self, metric: MetricId, by: i32);

    /// Sets a gauge or records a value in a histogram.
    fn record(&self, metric: MetricId, value: u64);

    /// The value of a counter or gauge now, over all workers of this Envoy; `None` when the host does not
    /// know the metric.
    fn metric(&self, metric: MetricId) -> Option<u64>;

    /// [`Host::monotonic_nanos`] in the picker's unit.
    fn now(&self) -> Millis {
        Millis(self.monotonic_nanos() / 1_000_000)
    }
}
