//! [`Host`] on Envoy.

use std::hash::{BuildHasher, RandomState};

use proxy_wasm::hostcalls;

use super::{Host, MetricId, MetricKind, QueueId, Refused, Shared, StreamToken, WriteError};
use crate::{
    abi::{self, Buffer, Map},
    headers::HeaderMap,
};

/// The status of the ABI for a lost race on a shared value.
const CAS_MISMATCH: u32 = 8;

/// Envoy as seen from the VM of this thread. Stateless: the host knows which context is running.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnvoyHost;

impl Host for EnvoyHost {
    fn monotonic_nanos(&self) -> u64 {
        abi::monotonic_nanos()
    }

    fn random(&self) -> u64 {
        // The standard library seeds each `RandomState` from WASI's `random_get`.
        RandomState::new().hash_one(self.monotonic_nanos())
    }

    fn configuration(&self) -> Vec<u8> {
        abi::buffer(Buffer::Configuration, 0, usize::MAX)
    }

    fn tick_every(&self, period_ms: u32) {
        if let Err(error) = abi::set_tick_period(period_ms) {
            log::error!("no tick every {period_ms} ms: {error}");
        }
    }

    fn request_headers(&self) -> HeaderMap {
        HeaderMap::new(abi::headers(Map::RequestHeaders))
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        abi::header(Map::RequestHeaders, name)
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        abi::replace_header(Map::RequestHeaders, name, value)
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        abi::remove_header(Map::RequestHeaders, name)
    }

    fn request_body(&self, start: usize, length: usize) -> Vec<u8> {
        abi::buffer(Buffer::RequestBody, start, length)
    }

    fn response_body(&self, start: usize, length: usize) -> Vec<u8> {
        abi::buffer(Buffer::ResponseBody, start, length)
    }

    fn replace_request_body(&self, length: usize, bytes: &[u8]) -> Result<(), Refused> {
        abi::replace_begin(Buffer::RequestBody, length, bytes)
    }

    fn replace_response_body(&self, length: usize, bytes: &[u8]) -> Result<(), Refused> {
        abi::replace_begin(Buffer::ResponseBody, length, bytes)
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        abi::replace_header(Map::ResponseHeaders, name, value)
    }

    fn remove_response_header(&self, name: &str) -> Result<(), Refused> {
        abi::remove_header(Map::ResponseHeaders, name)
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        abi::header(Map::ResponseHeaders, name)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        abi::property(path.join("\0").as_bytes())
    }

    fn set_property(&self, path: &[&str], value: &[u8]) -> Result<(), Refused> {
        abi::set_property(path.join("\0").as_bytes(), value)
    }

    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Refused> {
        abi::local_response(status, &serialised(headers), body)
    }

    fn enter_context(&self, context: u32) -> Result<(), Refused> {
        abi::set_effective_context(context)
    }

    fn resume_request(&self) -> Result<(), Refused> {
        abi::continue_request()
    }

    fn shared(&self, key: &str) -> Shared {
        let (value, guard) = abi::shared(key);
        Shared { value, guard }
    }

    fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), Refused> {
        abi::set_shared(key, value, 0)
    }

    fn replace_shared(&self, key: &str, value: &[u8], seen: &Shared) -> Result<(), WriteError> {
        match abi::set_shared(key, value, seen.guard.unwrap_or(0)) {
            Err(Refused(CAS_MISMATCH)) => Err(WriteError::Conflict),
            other => Ok(other?),
        }
    }

    fn register_queue(&self, name: &str) -> Result<QueueId, Refused> {
        abi::register_queue(name).map(QueueId)
    }

    fn enqueue(&self, queue: QueueId) -> Result<(), Refused> {
        abi::enqueue(queue.0, b"wake")
    }

    fn dequeue(&self, queue: QueueId) -> bool {
        abi::dequeue(queue.0).is_some()
    }

    fn open_stream(
        &self,
        cluster: &str,
        service: &str,
        method: &str,
    ) -> Result<StreamToken, Refused> {
        // Through the SDK, because only its dispatcher can give the stream's callbacks to this
        // context. Envoy answers with one of the three statuses that the SDK knows here.
        let target = grpc_service(cluster);
        let target = target.as_deref().unwrap_or(cluster);
        hostcalls::open_grpc_stream(target, service, method, Vec::new())
            .map(StreamToken)
            .map_err(|status| Refused(status as u32))
    }

    fn send(&self, stream: StreamToken, message: &[u8]) -> Result<(), Refused> {
        abi::grpc_send(stream.0, message)
    }

    fn stream_message(&self, length: usize) -> Vec<u8> {
        abi::buffer(Buffer::StreamMessage, 0, length)
    }

    fn reset_stream(&self, stream: StreamToken) {
        if let Err(error) = abi::grpc_cancel(stream.0) {
            log::debug!("gRPC stream {} was gone already: {error}", stream.0);
        }
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused> {
        let kind = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
            MetricKind::Histogram => 2,
        };
        abi::define_metric(kind, name).map(MetricId)
    }

    fn increment(&self, metric: MetricId, by: u32) {
        if let Err(error) = abi::increment_metric(metric.0, i64::from(by)) {
            log::debug!("metric {} was not incremented: {error}", metric.0);
        }
    }

    fn adjust(&self, metric: MetricId, by: i32) {
        if let Err(error) = abi::increment_metric(metric.0, i64::from(by)) {
            log::debug!("metric {} was not adjusted: {error}", metric.0);
        }
    }

    fn record(&self, metric: MetricId, value: u64) {
        if let Err(error) = abi::record_metric(metric.0, value) {
            log::debug!("metric {} was not recorded: {error}", metric.0);
        }
    }

    fn metric(&self, metric: MetricId) -> Option<u64> {
        abi::metric(metric.0)
    }
}

/// Header pairs in the ABI's form: count, then the sizes, then the strings, each closed by a zero.
fn serialised(pairs: &[(&str, &str)]) -> Vec<u8> {
    let size = |length: usize| u32::try_from(length).unwrap_or(0).to_le_bytes();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&size(pairs.len()));
    for (name, value) in pairs {
        bytes.extend_from_slice(&size(name.len()));
        bytes.extend_from_slice(&size(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// A serialised `envoy.config.core.v3.GrpcService` for a cluster, which Envoy takes in place of the
/// cluster's name. By name alone Envoy sends the name as `:authority`, and Istio's names
/// (`outbound|9002||...`) are no valid authority: HTTP/2 servers reset such streams.
///
/// `None` for names so long that a length takes two bytes: then the message is no UTF-8, which the
/// SDK insists on.
fn grpc_service(cluster: &str) -> Option<String> {
    const AUTHORITY: &str = "zerohop-agent";
    const LENGTH_DELIMITED: usize = 2;
    let field = |number: usize, content: &str| {
        let tag = char::from(u8::try_from(number << 3 | LENGTH_DELIMITED).ok()?);
        let length = u8::try_from(content.len()).ok().filter(u8::is_ascii)?;
        Some(format!("{tag}{}{content}", char::from(length)))
    };
    // GrpcService { envoy_grpc: { cluster_name, authority } }; parts of one message field are merged.
    let name = field(1, &field(1, cluster)?)?;
    let authority = field(1, &field(2, AUTHORITY)?)?;
    Some(format!("{name}{authority}"))
}
