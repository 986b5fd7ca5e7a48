//! Errors in vLLM's words and shapes, taken from captures of version 0.32.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::request::Endpoint;
use crate::server::reply::Reply;

/// An error answer before it becomes JSON or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) kind: &'static str,
    pub(crate) param: Option<&'static str>,
    /// Overrides `param` where it depends on the request.
    pub(crate) place: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            status,
            message: message.into(),
            kind,
            param: None,
            place: None,
        }
    }

    fn at(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    pub(crate) fn unknown_model(model: &str, base: &str) -> Self {
        let message = format!("The model `{model}` does not exist. Valid aliases: {base}.");
        ApiError::new(StatusCode::NOT_FOUND, "NotFoundError", message).at("model")
    }

    pub(crate) fn bad_value(param: &'static str, message: &str, value: &str) -> Self {
        let message = format!("{message} (parameter={param}, value={value})");
        ApiError::new(StatusCode::BAD_REQUEST, "BadRequestError", message).at(param)
    }

    pub(crate) fn too_long(max_model_len: u64) -> Self {
        let least = max_model_len + 1;
        ApiError::bad_value(
            "input_tokens",
            &format!(
                "This model's maximum context length is {max_model_len} tokens. However, your \
                 prompt contains at least {least} input tokens, which exceeds this limit even \
                 without any output tokens. Please reduce the length of the input prompt."
            ),
            &least.to_string(),
        )
    }

    pub(crate) fn too_long_with_output(max_model_len: u64, prompt: u64, output: u64) -> Self {
        ApiError::bad_value(
            "input_tokens",
            &format!(
                "This model's maximum context length is {max_model_len} tokens. However, you \
                 requested {output} output tokens and your prompt contains {prompt} input tokens, \
                 for a total of {} tokens. Please reduce the length of the input prompt or the \
                 number of requested output tokens.",
                prompt + output
            ),
            &prompt.to_string(),
        )
    }

    /// A failed validation; `problem` is pydantic's dictionary without braces.
    pub(crate) fn validation(place: &str, problem: &str) -> Self {
        let message = format!("1 validation error:\n  {{{problem}}}");
        let mut error = ApiError::new(StatusCode::BAD_REQUEST, "Bad Request", message);
        error.place = Some(place.to_owned());
        error
    }

    pub(crate) fn missing(field: &str, given_fields: usize) -> Self {
        let place = format!("body.{field}");
        let problem = format!(
            "'type': 'missing', 'loc': '{place}', 'msg': 'Field required', \
             'input': '<dict of {given_fields} items>'"
        );
        ApiError::validation(&place, &problem)
    }

    pub(crate) fn wrong_type(field: &str, wanted: &str, got: &str) -> Self {
        let place = format!("body.{field}");
        let problem = format!(
            "'type': '{wanted}_type', 'loc': '{place}', 'msg': 'Input should be a valid {wanted}', \
             'input': '{got}'"
        );
        ApiError::validation(&place, &problem)
    }

    pub(crate) fn wrong_content_type() -> Self {
        let message =
            "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed";
        ApiError::new(StatusCode::BAD_REQUEST, "Bad Request", message)
    }

    pub(crate) fn busy() -> Self {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Service Unavailable",
            "The engine is currently busy and cannot accept new requests. Please try again later \
             or on a different instance.",
        )
    }

    pub(crate) fn engine_dead() -> Self {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        )
    }

    pub(crate) fn shutting_down() -> Self {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "cannot schedule new futures after shutdown",
        )
    }

    pub(crate) fn lora(status: StatusCode, kind: &'static str, message: String) -> Self {
        ApiError::new(status, kind, message)
    }

    pub(crate) fn reply(&self) -> Reply {
        let param = self.place.as_deref().or(self.param);
        let body = format!(
            r#"{{"error":{{"message":{},"type":{},"param":{},"code":{}}}}}"#,
            json!(self.message),
            json!(self.kind),
            json!(param),
            self.status.as_u16()
        );
        Reply::json(self.status, body)
    }

    /// The error in the shape that the endpoint has for it.
    pub(crate) fn reply_at(&self, endpoint: Endpoint) -> Reply {
        match endpoint {
            Endpoint::Messages => self.messages_reply(),
            Endpoint::Chat | Endpoint::Completions => self.reply(),
        }
    }

    pub(crate) fn messages_reply(&self) -> Reply {
        Reply::json(self.status, self.messages_body())
    }

    fn messages_body(&self) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":{},"message":{}}}}}"#,
            json!(self.kind),
            json!(self.message)
        )
    }

    /// The error as the event of a stream of this endpoint.
    pub(crate) fn event_at(&self, endpoint: Endpoint) -> String {
        match endpoint {
            Endpoint::Messages => super::messages::event("error", &self.messages_body()),
            Endpoint::Chat | Endpoint::Completions => self.event(),
        }
    }

    /// The error as the event that vLLM sends on a stream, whose spacing differs.
    fn event(&self) -> String {
        let param = self.place.as_deref().or(self.param);
        format!(
            "data: {{\"error\": {{\"message\": {}, \"type\": {}, \"param\": {}, \"code\": {}}}}}\n\n",
            json!(self.message),
            json!(self.kind),
            json!(param),
            self.status.as_u16()
        )
    }

    /// Status 200 and the error as the only event.
    pub(crate) fn event_reply(&self, endpoint: Endpoint) -> Reply {
        let end = match endpoint {
            Endpoint::Messages => "",
            Endpoint::Chat | Endpoint::Completions => "data: [DONE]\n\n",
        };
        Reply::events(self.event_at(endpoint) + end)
    }
}

/// FastAPI's answer to an unknown path.
pub(crate) fn not_found() -> Reply {
    Reply::json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#)
}

pub(crate) fn too_large(limit: u64) -> Reply {
    let message = format!("The request body is larger than {limit} bytes.");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", message).reply()
}

/// The answer of a fault that sets the status.
pub(crate) fn fault_status(status: StatusCode) -> Reply {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return ApiError::busy().reply();
    }
    let kind = status.canonical_reason().unwrap_or("Error");
    let reply = ApiError::new(status, kind, format!("simulated fault: {kind}")).reply();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return reply.header(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}
