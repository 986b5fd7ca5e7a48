//! Loading and unloading adapters at run time.

use http::StatusCode;
use http::request::Parts;

use super::errors::ApiError;
use super::request::{fields, string};
use crate::server::locked;
use crate::server::reply::Reply;
use crate::server::shared::Shared;

pub(crate) fn load_lora(shared: &Shared, parts: &Parts, body: &[u8]) -> Reply {
    load(shared, parts, body).unwrap_or_else(|error| error.reply())
}

pub(crate) fn unload_lora(shared: &Shared, parts: &Parts, body: &[u8]) -> Reply {
    unload(shared, parts, body).unwrap_or_else(|error| error.reply())
}

fn load(shared: &Shared, parts: &Parts, body: &[u8]) -> Result<Reply, ApiError> {
    let fields = fields(parts, body)?;
    let required =
        |name: &str| string(&fields, name)?.ok_or_else(|| ApiError::missing(name, fields.len()));
    let (name, path) = (required("lora_name")?, required("lora_path")?);
    let mut process = locked(&shared.process);
    if !process.loras.enabled() {
        let message = "LoRA is not enabled. Use `--enable-lora` to enable LoRA.".to_owned();
        return Err(ApiError::lora(
            StatusCode::BAD_REQUEST,
            "BadRequestError",
            message,
        ));
    }
    if name.is_empty() || path.is_empty() || name == shared.config.model {
        let message = "Both 'lora_name' and 'lora_path' must be provided.".to_owned();
        return Err(ApiError::lora(
            StatusCode::BAD_REQUEST,
            "InvalidUserInput",
            message,
        ));
    }
    if !process.loras.load(&name, &path) {
        let message = format!(
            "The lora adapter '{name}' has already been loaded. If you want to load the adapter \
             in place, set 'load_inplace' to True."
        );
        return Err(ApiError::lora(
            StatusCode::BAD_REQUEST,
            "InvalidUserInput",
            message,
        ));
    }
    let text = format!("Success: LoRA adapter '{name}' added successfully.");
    Ok(Reply::bare(StatusCode::OK, text))
}

fn unload(shared: &Shared, parts: &Parts, body: &[u8]) -> Result<Reply, ApiError> {
    let fields = fields(parts, body)?;
    let name = string(&fields, "lora_name")?
        .ok_or_else(|| ApiError::missing("lora_name", fields.len()))?;
    if !locked(&shared.process).loras.unload(&name) {
        let message = format!("The lora adapter '{name}' cannot be found.");
        return Err(ApiError::lora(
            StatusCode::NOT_FOUND,
            "NotFoundError",
            message,
        ));
    }
    let text = format!("Success: LoRA adapter '{name}' removed successfully.");
    Ok(Reply::bare(StatusCode::OK, text))
}
