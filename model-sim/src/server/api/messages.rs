//! Anthropic's messages as vLLM answers them: a document, or events with names.
//!
//! Text is as captured from 0.32; calls of tools were not captured and follow the API's definition.

use http::StatusCode;
use http::request::Parts;
use serde_json::{Map, Value, json};

use super::errors::ApiError;
use super::generation::{Choice, Generation, Header};
use super::prompt::Prompt;
use super::request::{described, fields};
use super::response::{cached_tokens, prompt_tokens};
use crate::server::reply::Reply;

/// The prompt: the system's text, then the messages, as a chat has them.
pub(crate) fn prompt(fields: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let messages = match fields.get("messages") {
        None => return Err(ApiError::missing("messages", fields.len())),
        Some(Value::Array(messages)) => messages,
        Some(other) => return Err(ApiError::wrong_type("messages", "list", &described(other))),
    };
    let system = fields.get("system").filter(|system| !system.is_null());
    let system = system.map(|system| json!({"role": "system", "content": system}));
    let all: Vec<Value> = system.into_iter().chain(messages.iter().cloned()).collect();
    Ok(Prompt::chat(&all, fields.get("tools")))
}

/// `/v1/messages/count_tokens`.
pub(crate) fn count_tokens(parts: &Parts, body: &[u8]) -> Reply {
    match fields(parts, body).and_then(|fields| prompt(&fields)) {
        Ok(prompt) => {
            let body = format!(r#"{{"input_tokens":{}}}"#, prompt.tokens());
            Reply::json(StatusCode::OK, body)
        }
        Err(error) => error.messages_reply(),
    }
}

/// The whole answer of a request that was not streamed.
pub(crate) fn finished(generation: &Generation) -> String {
    let Generation {
        header, choices, ..
    } = generation;
    let content: String = choices.iter().map(|choice| block(choice, true)).collect();
    let reason = choices.first().map_or("end_turn", stop_reason);
    format!(
        r#"{{"id":{},"type":"message","role":"assistant","content":[{content}],"model":{},"stop_reason":"{reason}","usage":{}}}"#,
        header.id,
        header.model,
        usage(header, choices)
    )
}

/// What a stream begins with.
pub(crate) fn beginning(header: &Header, choices: &[Choice]) -> [String; 2] {
    let message = format!(
        r#"{{"type":"message_start","message":{{"id":{},"type":"message","role":"assistant","content":[],"model":{},"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{},"output_tokens":0}}}}}}"#,
        header.id,
        header.model,
        prompt_tokens(header, choices)
    );
    let empty = choices.first().map(|choice| block(choice, false));
    let block = format!(
        r#"{{"type":"content_block_start","content_block":{},"index":0}}"#,
        empty.unwrap_or_default()
    );
    [
        event("message_start", &message),
        event("content_block_start", &block),
    ]
}

/// One token of a stream.
pub(crate) fn token(choice: &Choice, position: u32) -> String {
    let delta = match &choice.call {
        None => format!(
            r#"{{"type":"text_delta","text":"{}"}}"#,
            choice.token(position)
        ),
        Some(_) => format!(
            r#"{{"type":"input_json_delta","partial_json":{}}}"#,
            json!(choice.token(position))
        ),
    };
    let delta = format!(r#"{{"type":"content_block_delta","delta":{delta},"index":0}}"#);
    event("content_block_delta", &delta)
}

/// What a stream ends with.
pub(crate) fn end(header: &Header, choices: &[Choice]) -> [String; 3] {
    let reason = choices.first().map_or("end_turn", stop_reason);
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{}}}"#,
        usage(header, choices)
    );
    [
        event(
            "content_block_stop",
            r#"{"type":"content_block_stop","index":0}"#,
        ),
        event("message_delta", &delta),
        event("message_stop", r#"{"type":"message_stop"}"#),
    ]
}

/// An event with its name, as all of Anthropic's have one.
pub(crate) fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// The answer's one block of content, `full` or before its first token.
fn block(choice: &Choice, full: bool) -> String {
    match &choice.call {
        None if full => format!(r#"{{"type":"text","text":"{}"}}"#, choice.text()),
        None => r#"{"type":"text","text":""}"#.to_owned(),
        Some(call) => {
            let input = if full { call.arguments.as_str() } else { "{}" };
            format!(
                r#"{{"type":"tool_use","id":{},"name":{},"input":{input}}}"#,
                json!(choice.call_id()),
                json!(call.name)
            )
        }
    }
}

fn stop_reason(choice: &Choice) -> &'static str {
    match (&choice.call, choice.stops) {
        (_, false) => "max_tokens",
        (None, true) => "end_turn",
        (Some(_), true) => "tool_use",
    }
}

fn usage(header: &Header, choices: &[Choice]) -> String {
    let output: u32 = choices.iter().map(|choice| choice.output_tokens).sum();
    format!(
        r#"{{"input_tokens":{},"output_tokens":{output},"cache_creation_input_tokens":0,"cache_read_input_tokens":{}}}"#,
        prompt_tokens(header, choices),
        if header.details {
            cached_tokens(choices)
        } else {
            0
        }
    )
}
