//! Reading a completion request as vLLM does: JSON, then fields, then limits.

use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde_json::{Map, Value};

use super::errors::ApiError;
use super::messages;
use super::prompt::Prompt;
use super::tool::ToolCall;

/// Which of the endpoints that generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
    /// Anthropic's.
    Messages,
}

/// A completion request, checked as far as it can be without knowing the models.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompletionRequest {
    pub(crate) model: Option<String>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) max_tokens: Option<u64>,
    /// The call of a tool that is generated in place of a text.
    pub(crate) call: Option<ToolCall>,
    pub(crate) n: u32,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
    /// `X-Request-Id`, which becomes part of the id.
    pub(crate) request_id: Option<String>,
}

/// More choices than this in one request are refused.
const MAX_CHOICES: u64 = 1_024;

/// Parses the body into its fields; the last of two equal keys wins, as in Python.
pub(crate) fn fields(parts: &Parts, body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let media_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("");
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::wrong_content_type());
    }
    if body.is_empty() {
        return Err(ApiError::validation(
            "body",
            "'type': 'missing', 'loc': 'body', 'msg': 'Field required', 'input': 'None'",
        ));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| bad_json(body, &error))?;
    match value {
        Value::Object(fields) => Ok(fields),
        other => {
            let problem = format!(
                "'type': 'model_attributes_type', 'loc': 'body', 'msg': 'Input should be a valid \
                 dictionary or object to extract fields from', 'input': '{}'",
                described(&other)
            );
            Err(ApiError::validation("body", &problem))
        }
    }
}

fn bad_json(body: &[u8], error: &serde_json::Error) -> ApiError {
    // Python counts characters from the start, serde_json lines and columns.
    let lines_before: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let column = if error.is_eof() {
        error.column()
    } else {
        error.column().saturating_sub(1)
    };
    let place = format!("body.{}", lines_before + column);
    let problem = format!(
        "'type': 'json_invalid', 'loc': '{place}', 'msg': 'JSON decode error', \
         'input': '<dict of 0 items>', 'ctx': {{'error': 'Expecting value'}}"
    );
    ApiError::validation(&place, &problem)
}

/// A value as vLLM shows it in validation errors: its kind and size, never its contents.
pub(crate) fn described(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "<str>".to_owned(),
        Value::Array(items) => format!("<list of {} items>", items.len()),
        Value::Object(fields) => format!("<dict of {} items>", fields.len()),
    }
}

impl CompletionRequest {
    pub(crate) fn read(endpoint: Endpoint, parts: &Parts, body: &[u8]) -> Result<Self, ApiError> {
        let fields = fields(parts, body)?;
        let prompts = match endpoint {
            Endpoint::Chat => vec![chat_prompt(&fields)?],
            Endpoint::Completions => prompts(&fields)?,
            Endpoint::Messages => vec![messages::prompt(&fields)?],
        };
        let call = match endpoint {
            Endpoint::Chat => ToolCall::of_chat(&fields),
            Endpoint::Completions => None,
            Endpoint::Messages => ToolCall::of_messages(&fields),
        };
        let stream_options = present(&fields, "stream_options");
        let option = |name: &str| {
            stream_options
                .and_then(|options| options.get(name))
                .and_then(Value::as_bool)
        };
        if let Some(temperature) = number(&fields, "temperature")?
            && temperature < 0.0
        {
            let value = format!("{temperature:?}");
            let message = format!("temperature must be non-negative, got {value}.");
            return Err(ApiError::bad_value("temperature", &message, &value));
        }
        let n = at_least_one(&fields, "n")?.unwrap_or(1);
        if n.saturating_mul(prompts.len() as u64) > MAX_CHOICES {
            let message = format!("n must be at most {MAX_CHOICES}, got {n}.");
            return Err(ApiError::bad_value("n", &message, &n.to_string()));
        }
        let max_tokens = match endpoint {
            Endpoint::Chat => match at_least_one(&fields, "max_completion_tokens")? {
                Some(tokens) => Some(tokens),
                None => at_least_one(&fields, "max_tokens")?,
            },
            // vLLM's completions stop after 16 tokens by default; here the length is drawn.
            Endpoint::Completions => at_least_one(&fields, "max_tokens")?,
            Endpoint::Messages => match at_least_one(&fields, "max_tokens")? {
                None => return Err(ApiError::missing("max_tokens", fields.len())),
                given => given,
            },
        };
        let request_id = parts
            .headers
            .get("x-request-id")
            .and_then(|value| value.to_str().ok());
        Ok(CompletionRequest {
            model: string(&fields, "model")?,
            prompts,
            max_tokens,
            call,
            n: n as u32,
            stream: boolean(&fields, "stream")?.unwrap_or(false),
            include_usage: option("include_usage").unwrap_or(false),
            continuous_usage: option("continuous_usage_stats").unwrap_or(false),
            request_id: request_id.map(str::to_owned),
        })
    }
}

fn chat_prompt(fields: &Map<String, Value>) -> Result<Prompt, ApiError> {
    match fields.get("messages") {
        None => Err(ApiError::missing("messages", fields.len())),
        Some(Value::Array(messages)) => Ok(Prompt::chat(messages, fields.get("tools"))),
        Some(other) => Err(ApiError::wrong_type("messages", "list", &described(other))),
    }
}

/// A text, token numbers, or a list of either.
fn prompts(fields: &Map<String, Value>) -> Result<Vec<Prompt>, ApiError> {
    let wrong = |value: &Value| ApiError::wrong_type("prompt", "string", &described(value));
    match fields.get("prompt") {
        None => Err(ApiError::missing("prompt", fields.len())),
        Some(Value::String(text)) => Ok(vec![Prompt::text(text)]),
        Some(value @ Value::Array(items)) => {
            if let Some(ids) = token_ids(items) {
                return Ok(vec![Prompt::token_ids(&ids)]);
            }
            items
                .iter()
                .map(|item| match item {
                    Value::String(text) => Ok(Prompt::text(text)),
                    Value::Array(items) => token_ids(items)
                        .map(|ids| Prompt::token_ids(&ids))
                        .ok_or_else(|| wrong(item)),
                    _ => Err(wrong(value)),
                })
                .collect()
        }
        Some(other) => Err(wrong(other)),
    }
}

fn token_ids(items: &[Value]) -> Option<Vec<u64>> {
    if items.is_empty() {
        return None;
    }
    items.iter().map(Value::as_u64).collect()
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

pub(crate) fn string(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(ApiError::wrong_type(name, "string", &described(other))),
    }
}

fn boolean(fields: &Map<String, Value>, name: &str) -> Result<Option<bool>, ApiError> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(ApiError::wrong_type(name, "boolean", &described(other))),
    }
}

fn number(fields: &Map<String, Value>, name: &str) -> Result<Option<f64>, ApiError> {
    match present(fields, name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| ApiError::wrong_type(name, "number", &described(value))),
    }
}

fn at_least_one(fields: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, ApiError> {
    let Some(value) = present(fields, name) else {
        return Ok(None);
    };
    let Some(integer) = value.as_i64() else {
        return Err(ApiError::wrong_type(name, "integer", &described(value)));
    };
    match u64::try_from(integer) {
        Ok(positive) if positive > 0 => Ok(Some(positive)),
        _ => {
            let message = format!("{name} must be at least 1, got {integer}.");
            Err(ApiError::bad_value(name, &message, &integer.to_string()))
        }
    }
}
