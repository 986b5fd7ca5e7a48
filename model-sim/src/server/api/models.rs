//! `/v1/models`: the base model and the registered adapters, which name it as their parent.

use http::StatusCode;
use serde_json::json;

use crate::lengths::mix;
use crate::server::locked;
use crate::server::process::unix_seconds;
use crate::server::reply::Reply;
use crate::server::shared::Shared;

pub(crate) fn models(shared: &Shared) -> Reply {
    let created = unix_seconds() as u64;
    let base = &shared.config.model;
    let max_model_len = shared.config.engine_config().max_model_len;
    let entry = |id: &str, root: &str, parent: Option<&str>, max: Option<u32>| {
        let permission = mix(created ^ xxhash_rust::xxh64::xxh64(id.as_bytes(), 0));
        format!(
            r#"{{"id":{},"object":"model","created":{created},"owned_by":"vllm","root":{},"parent":{},"max_model_len":{},"permission":[{{"id":"modelperm-{permission:016x}","object":"model_permission","created":{created},"allow_create_engine":false,"allow_sampling":true,"allow_logprobs":true,"allow_search_indices":false,"allow_view":true,"allow_fine_tuning":false,"organization":"*","group":null,"is_blocking":false}}]}}"#,
            json!(id),
            json!(root),
            json!(parent),
            json!(max)
        )
    };
    let mut data = vec![entry(
        base,
        &format!("/models/{base}"),
        None,
        Some(max_model_len),
    )];
    for adapter in locked(&shared.process).loras.adapters() {
        data.push(entry(&adapter.name, &adapter.path, Some(base), None));
    }
    Reply::json(
        StatusCode::OK,
        format!(r#"{{"object":"list","data":[{}]}}"#, data.join(",")),
    )
}

pub(crate) fn version(shared: &Shared) -> Reply {
    let version = shared.config.dialect.version();
    Reply::json(StatusCode::OK, format!(r#"{{"version":"{version}"}}"#))
}
