//! `/sim/...`: faults, lies and counts of an instance over HTTP.
//!
//! | path | GET | PUT | POST |
//! | --- | --- | --- | --- |
//! | `/sim/faults` | the faults in force | replace all faults | |
//! | `/sim/metrics` | the lies in force | replace all lies | |
//! | `/sim/stats` | what the instance has seen | | |
//! | `/sim/engine` | the engine's true state | | |
//! | `/sim/restart` | | | a new process: cold cache, counters from 0 |

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::incoming::{Keep, receive};
use super::locked;
use super::reply::Reply;
use super::shared::Shared;

const LIMIT: u64 = 1 << 20;

/// Answers a request for `/sim/...`.
pub(crate) async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Reply {
    let received = receive(request, Keep::UpTo(LIMIT)).await;
    let path = received
        .parts
        .uri
        .path()
        .trim_start_matches("/sim/")
        .to_owned();
    order(shared, &received.parts.method, &path, &received.body)
}

/// Carries out one order; `path` is what follows `/sim/`.
pub(crate) fn order(shared: &Arc<Shared>, method: &Method, path: &str, body: &[u8]) -> Reply {
    match (method.as_str(), path) {
        ("GET", "faults") => shown(shared.faults().as_ref()),
        ("PUT", "faults") => match parsed(body) {
            Ok(faults) => match shared.set_faults(faults) {
                Ok(()) => shown(shared.faults().as_ref()),
                Err(error) => refused(&error.to_string()),
            },
            Err(reply) => reply,
        },
        ("GET", "metrics") => shown(shared.overrides().as_ref()),
        ("PUT", "metrics") => match parsed(body) {
            Ok(overrides) => {
                shared.override_metrics(overrides);
                shown(shared.overrides().as_ref())
            }
            Err(reply) => reply,
        },
        ("GET", "stats") => shown(&shared.stats.snapshot()),
        ("GET", "engine") => engine(shared),
        ("POST", "restart") => {
            shared.restart_process();
            shown(&json!({"restarted": true}))
        }
        (_, "faults" | "metrics" | "stats" | "engine" | "restart") => Reply::json(
            StatusCode::METHOD_NOT_ALLOWED,
            format!(r#"{{"error":"method {method} is not supported for this path"}}"#),
        ),
        _ => Reply::json(
            StatusCode::NOT_FOUND,
            r#"{"error":"unknown path, known are faults, metrics, stats, engine and restart"}"#,
        ),
    }
}

fn engine(shared: &Shared) -> Reply {
    let process = locked(&shared.process);
    let (live, counters) = (process.engine.live(), process.engine.counters());
    shown(&json!({
        "address": shared.address,
        "running": live.running,
        "waiting": live.waiting,
        "waiting_deferred": live.waiting_deferred,
        "kv_blocks_used": live.kv_blocks_used,
        "kv_blocks": live.kv_blocks,
        "pending_tokens": process.engine.pending_tokens(),
        "steps": counters.steps,
        "busy_seconds": counters.busy_seconds,
        "finished": counters.finished,
        "aborted": counters.aborted,
        "preemptions": counters.preemptions,
        "lora_loads": counters.lora_loads,
    }))
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body).map_err(|error| refused(&error.to_string()))
}

fn refused(reason: &str) -> Reply {
    let body = json!({ "error": reason });
    Reply::json(StatusCode::BAD_REQUEST, body.to_string())
}

fn shown(value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => Reply::json(StatusCode::OK, body),
        Err(reason) => Reply::bare(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot show: {reason}"),
        ),
    }
}
