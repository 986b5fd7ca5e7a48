//! `/tokenize`: numbers for the four-byte tokens of the estimate.

use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};

use super::errors::ApiError;
use super::prompt::Prompt;
use super::request::fields;
use crate::server::reply::Reply;
use crate::server::shared::Shared;

pub(crate) fn tokenize(shared: &Shared, parts: &Parts, body: &[u8]) -> Reply {
    match tokens(parts, body) {
        Ok(tokens) => {
            let max_model_len = shared.config.engine_config().max_model_len;
            let count = tokens.len();
            let tokens = json!(tokens);
            Reply::json(
                StatusCode::OK,
                format!(
                    r#"{{"count":{count},"max_model_len":{max_model_len},"tokens":{tokens},"token_strs":null}}"#
                ),
            )
        }
        Err(error) => error.reply(),
    }
}

fn tokens(parts: &Parts, body: &[u8]) -> Result<Vec<u64>, ApiError> {
    let fields = fields(parts, body)?;
    let prompt = match (fields.get("prompt"), fields.get("messages")) {
        (Some(Value::String(text)), _) => Prompt::text(text),
        (_, Some(Value::Array(messages))) => Prompt::chat(messages, fields.get("tools")),
        _ => return Err(ApiError::missing("prompt", fields.len())),
    };
    let hash = |piece: &[u8]| xxhash_rust::xxh64::xxh64(piece, 0) % 32_000;
    Ok(prompt.bytes.chunks(4).map(hash).collect())
}
