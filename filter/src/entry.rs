//! Between the SDK's callbacks and ours.
#![allow(
    unsafe_code,
    reason = "the entry point that `proxy_wasm::main!` exports; nothing else here is unsafe"
)]

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, LogLevel},
};

use crate::{
    host::{EnvoyHost, QueueId, StreamToken},
    request::Flow,
    root::{Root, Stream},
};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context| Box::new(RootShell { context, root: None }));
}}

const HOST: EnvoyHost = EnvoyHost;

struct RootShell {
    context: u32,
    root: Option<Root>,
}

impl Context for RootShell {
    fn on_grpc_stream_message(&mut self, token: u32, length: usize) {
        if let Some(root) = &mut self.root {
            root.stream_message(&HOST, StreamToken(token), length);
        }
    }

    fn on_grpc_stream_close(&mut self, token: u32, status: u32) {
        if let Some(root) = &mut self.root {
            root.stream_closed(&HOST, StreamToken(token), status);
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some(root) = &mut self.root {
            root.shut_down(&HOST);
        }
        true
    }
}

impl RootContext for RootShell {
    fn on_configure(&mut self, _size: usize) -> bool {
        match Root::configure(&HOST, self.context) {
            Ok(root) => {
                self.root = Some(root);
                true
            }
            Err(mistakes) => {
                for mistake in &mistakes.0 {
                    log::error!("configuration refused: {mistake}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(root) = &mut self.root {
            root.tick(&HOST);
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        if let Some(root) = &mut self.root {
            root.queue_ready(&HOST, QueueId(queue));
        }
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        let stream = self.root.as_ref().map(|root| root.stream(context));
        Some(Box::new(StreamShell(stream)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct StreamShell(Option<Stream>);

impl StreamShell {
    fn request(&mut self) -> Option<&mut crate::request::Request> {
        match &mut self.0 {
            Some(Stream::Request(request)) => Some(request),
            Some(Stream::Second(_)) | None => None,
        }
    }
}

impl Context for StreamShell {}

impl HttpContext for StreamShell {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        match &mut self.0 {
            Some(Stream::Request(request)) => {
                action(request.on_request_headers(&HOST, end_of_stream))
            }
            Some(Stream::Second(second)) => action(second.on_request_headers(&HOST)),
            None => Action::Continue,
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match self.request() {
            Some(request) => action(request.on_request_body(&HOST, size, end_of_stream)),
            None => Action::Continue,
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        match self.request() {
            Some(request) => action(request.on_request_trailers(&HOST)),
            None => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if let Some(request) = self.request() {
            request.on_response_headers(&HOST);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Some(request) = self.request() {
            request.on_response_body(&HOST, size, end_of_stream);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Some(request) = self.request() {
            request.on_log(&HOST);
        }
    }
}

const fn action(flow: Flow) -> Action {
    match flow {
        Flow::Continue => Action::Continue,
        Flow::Pause => Action::Pause,
    }
}
