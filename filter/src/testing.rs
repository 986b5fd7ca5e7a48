//! An Envoy for tests: VMs that share data, a clock that stands still until told, streams that end
//! when the test says so.
//!
//! ```text
//!   FakeEnvoy --vm()--> FakeHost (one VM) --stream()--> a context with headers, body, properties
//!      shared data, clock, metrics, gRPC streams
//! ```

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use picker::SplitMix64;

use crate::host::{QueueId, Refused};

mod host;

/// The ABI's "bad argument": what Envoy answers when a map or a context is gone.
const BAD_ARGUMENT: Refused = Refused(2);
/// The ABI's "parse failure": what Envoy answers for an unknown cluster.
const PARSE_FAILURE: Refused = Refused(4);

/// The process.
#[derive(Clone, Default)]
pub(crate) struct FakeEnvoy(Rc<Process>);

#[derive(Default)]
struct Process {
    nanos: Cell<u64>,
    /// How far each look moves the clock.
    nanos_a_look: Cell<u64>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    writes: Cell<u32>,
    metrics: RefCell<Vec<(String, u64)>>,
    metrics_refused: Cell<bool>,
    clusters: RefCell<BTreeSet<String>>,
    streams: RefCell<Vec<FakeStream>>,
    contexts: Cell<u32>,
    queues: RefCell<Vec<(String, u32)>>,
    seeds: Cell<u64>,
}

/// A gRPC stream as its server sees it.
#[derive(Clone, Default, Debug)]
pub(crate) struct FakeStream {
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) reset: bool,
}

impl FakeEnvoy {
    pub(crate) fn new() -> Self {
        let envoy = Self::default();
        envoy.0.nanos.set(1_000_000_000_000);
        envoy
    }

    /// Another VM of the same process.
    pub(crate) fn vm(&self) -> FakeHost {
        self.0.seeds.set(self.0.seeds.get() + 1);
        FakeHost {
            envoy: self.clone(),
            configuration: RefCell::default(),
            contexts: RefCell::default(),
            effective: Cell::new(0),
            entropy: RefCell::new(SplitMix64::new(self.0.seeds.get())),
            message: RefCell::default(),
            tick_ms: Cell::new(0),
            reads: Cell::new(0),
            calls: Cell::new(0),
        }
    }

    /// From now on each look at the clock moves it by so much.
    pub(crate) fn move_clock_by_looks(&self, nanos: u64) {
        self.0.nanos_a_look.set(nanos);
    }

    pub(crate) fn advance_ms(&self, millis: u64) {
        self.0.nanos.set(self.0.nanos.get() + millis * 1_000_000);
    }

    pub(crate) fn rewind_ms(&self, millis: u64) {
        self.0
            .nanos
            .set(self.0.nanos.get().saturating_sub(millis * 1_000_000));
    }

    /// What another plugin with the same `vm_id` can do.
    pub(crate) fn poison(&self, key: &str, value: &[u8]) {
        self.write(key, value);
    }

    pub(crate) fn peek(&self, key: &str) -> Option<Vec<u8>> {
        let shared = self.0.shared.borrow();
        shared.get(key).map(|(value, _)| value.clone())
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.shared.borrow().keys().cloned().collect()
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.0.metrics.borrow();
        let found = metrics.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no metric {name}")).1
    }

    pub(crate) fn metric_names(&self) -> Vec<String> {
        let metrics = self.0.metrics.borrow();
        metrics.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn refuse_metrics(&self) {
        self.0.metrics_refused.set(true);
    }

    pub(crate) fn add_cluster(&self, name: &str) {
        self.0.clusters.borrow_mut().insert(name.to_owned());
    }

    /// The queues in which something waits.
    pub(crate) fn rung(&self) -> Vec<QueueId> {
        let queues = self.0.queues.borrow();
        let rung = (0..)
            .zip(queues.iter())
            .filter(|(_, (_, count))| *count > 0);
        rung.map(|(id, _)| QueueId(id)).collect()
    }

    pub(crate) fn streams(&self) -> Vec<FakeStream> {
        self.0.streams.borrow().clone()
    }

    fn write(&self, key: &str, value: &[u8]) {
        self.0.writes.set(self.0.writes.get() + 1);
        let entry = (value.to_vec(), self.0.writes.get());
        self.0.shared.borrow_mut().insert(key.to_owned(), entry);
    }
}

/// One VM's host.
pub(crate) struct FakeHost {
    envoy: FakeEnvoy,
    configuration: RefCell<Vec<u8>>,
    contexts: RefCell<BTreeMap<u32, Context>>,
    effective: Cell<u32>,
    entropy: RefCell<SplitMix64>,
    message: RefCell<Vec<u8>>,
    tick_ms: Cell<u32>,
    reads: Cell<u32>,
    calls: Cell<u32>,
}

/// Headers in the ABI's form.
pub(crate) fn serialised(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let size = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
    let mut bytes = size(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&size(name.len()));
        bytes.extend_from_slice(&size(value.len()));
    }
    for text in pairs
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value])
    {
        bytes.extend_from_slice(text);
        bytes.push(0);
    }
    bytes
}

type Pairs = Vec<(String, Vec<u8>)>;

/// One filter's view of an HTTP stream.
#[derive(Default)]
struct Context {
    /// `None` once they were passed on.
    request_headers: Option<Pairs>,
    passed_on: Option<Pairs>,
    body: Vec<u8>,
    response_body: Vec<u8>,
    response_headers: Pairs,
    properties: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    reply: Option<u32>,
    reply_headers: Pairs,
    reply_body: Vec<u8>,
    resumed: bool,
}

impl FakeHost {
    pub(crate) fn envoy(&self) -> &FakeEnvoy {
        &self.envoy
    }

    pub(crate) fn configured(self, text: &str) -> Self {
        *self.configuration.borrow_mut() = text.as_bytes().to_vec();
        self
    }

    /// A new HTTP stream with these headers; its context is the effective one.
    pub(crate) fn stream(&self, headers: &[(&str, &[u8])]) -> u32 {
        let contexts = &self.envoy.0.contexts;
        contexts.set(contexts.get() + 1);
        let id = contexts.get();
        let pairs = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        let context = Context {
            request_headers: Some(pairs.collect()),
            ..Context::default()
        };
        self.contexts.borrow_mut().insert(id, context);
        self.effective.set(id);
        id
    }

    /// The context of the next filter for the stream of `first`, to which its headers go.
    pub(crate) fn next_filter(&self, first: u32) -> u32 {
        let id = self.stream(&[]);
        let mut contexts = self.contexts.borrow_mut();
        let before = contexts.get_mut(&first).unwrap();
        let headers = before.passed_on.take();
        let properties = Rc::clone(&before.properties);
        let context = contexts.get_mut(&id).unwrap();
        context.request_headers = headers;
        context.properties = properties;
        id
    }

    /// The callback of this context runs.
    pub(crate) fn enter(&self, context: u32) {
        self.effective.set(context);
    }

    /// The headers go on to the next filter: this one cannot touch them any more.
    pub(crate) fn pass_headers_on(&self, context: u32) {
        let mut contexts = self.contexts.borrow_mut();
        let context = contexts.get_mut(&context).unwrap();
        if let Some(headers) = context.request_headers.take() {
            context.passed_on = Some(headers);
        }
    }

    /// The headers as the next filter gets them, or as they are now.
    pub(crate) fn headers_of(&self, context: u32) -> Vec<(String, Vec<u8>)> {
        let contexts = self.contexts.borrow();
        let context = &contexts[&context];
        let headers = context
            .request_headers
            .as_ref()
            .or(context.passed_on.as_ref());
        headers.cloned().unwrap_or_default()
    }

    pub(crate) fn header_of(&self, context: u32, name: &str) -> Option<String> {
        let headers = self.headers_of(context);
        let mut found = headers.iter().filter(|(known, _)| known == name);
        let value = found
            .next()
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        assert!(found.next().is_none(), "{name} has one value at most");
        value
    }

    pub(crate) fn buffer(&self, context: u32, chunk: &[u8]) -> usize {
        let mut contexts = self.contexts.borrow_mut();
        let context = contexts.get_mut(&context).unwrap();
        context.body.extend_from_slice(chunk);
        context.body.len()
    }

    /// As when nobody holds the body back: only the present chunk is shown.
    pub(crate) fn replace_body(&self, context: u32, chunk: &[u8]) {
        let mut contexts = self.contexts.borrow_mut();
        contexts.get_mut(&context).unwrap().body = chunk.to_vec();
    }

    /// The chunk of the answer that passes now; its size.
    pub(crate) fn chunk(&self, context: u32, chunk: &[u8]) -> usize {
        let mut contexts = self.contexts.borrow_mut();
        contexts.get_mut(&context).unwrap().response_body = chunk.to_vec();
        chunk.len()
    }

    /// How often bytes of answers were read.
    pub(crate) fn reads(&self) -> u32 {
        self.reads.get()
    }

    pub(crate) fn respond_with(&self, context: u32, status: &[u8], upstream: Option<&[u8]>) {
        let mut contexts = self.contexts.borrow_mut();
        let context = contexts.get_mut(&context).unwrap();
        context.response_headers = vec![(":status".to_owned(), status.to_vec())];
        if let Some(upstream) = upstream {
            let mut properties = context.properties.borrow_mut();
            properties.insert("upstream\0address".to_owned(), upstream.to_vec());
        }
    }

    /// One more header of the answer.
    pub(crate) fn respond_header(&self, context: u32, name: &str, value: &[u8]) {
        let mut contexts = self.contexts.borrow_mut();
        let context = contexts.get_mut(&context).unwrap();
        let pair = (name.to_owned(), value.to_vec());
        context.response_headers.push(pair);
    }

    pub(crate) fn property_of(&self, context: u32, path: &[&str], value: &[u8]) {
        let contexts = self.contexts.borrow();
        let mut properties = contexts[&context].properties.borrow_mut();
        properties.insert(path.join("\0"), value.to_vec());
    }

    pub(crate) fn end(&self, context: u32) {
        self.contexts.borrow_mut().remove(&context);
    }

    pub(crate) fn reply_of(&self, context: u32) -> Option<u32> {
        self.contexts.borrow()[&context].reply
    }

    /// A header of the answer that the filter gave itself.
    pub(crate) fn reply_header_of(&self, context: u32, name: &str) -> Option<String> {
        let contexts = self.contexts.borrow();
        let headers = &contexts[&context].reply_headers;
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The body of the answer that the filter gave itself.
    pub(crate) fn reply_body_of(&self, context: u32) -> String {
        String::from_utf8(self.contexts.borrow()[&context].reply_body.clone()).unwrap()
    }

    /// The body as the next filter gets it.
    pub(crate) fn body_of(&self, context: u32) -> Vec<u8> {
        self.contexts.borrow()[&context].body.clone()
    }

    /// The present chunk of the answer as the client gets it.
    pub(crate) fn chunk_of(&self, context: u32) -> Vec<u8> {
        self.contexts.borrow()[&context].response_body.clone()
    }

    /// A header of the answer as the client gets it.
    pub(crate) fn response_header_of(&self, context: u32, name: &str) -> Option<String> {
        let contexts = self.contexts.borrow();
        let headers = &contexts[&context].response_headers;
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn resumed(&self, context: u32) -> bool {
        self.contexts.borrow()[&context].resumed
    }

    pub(crate) fn incoming(&self, message: Vec<u8>) -> usize {
        let length = message.len();
        *self.message.borrow_mut() = message;
        length
    }

    pub(crate) fn tick_ms(&self) -> u32 {
        self.tick_ms.get()
    }

    /// How often the filter asked for anything of a stream, the clock, shared data, queues or metrics.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.get()
    }

    fn called(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    fn with_context<T>(&self, act: impl FnOnce(&mut Context) -> T) -> Option<T> {
        self.called();
        self.contexts
            .borrow_mut()
            .get_mut(&self.effective.get())
            .map(act)
    }
}
