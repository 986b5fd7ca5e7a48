//! `/debug/pools`: all that is known, as JSON. Its form may change with any release.

use picker::{Millis, Signal};
use serde_json::{Map, Value, json};

use crate::{
    discovery::{ConfigState, ResourceState},
    index::{EndpointView, GatewayView, Observation, PoolView},
    resources::{Policies, PolicyMessage},
};

pub(super) fn page(
    pools: &[PoolView],
    policies: &Policies,
    config: &ConfigState,
    now: Millis,
) -> Value {
    json!({
        "config": {
            "path": config.path.display().to_string(),
            "taken": config.taken,
            "taken_age_ms": now.since(config.taken_at),
            "mistakes": config.mistakes,
            "needs_restart": config.needs_restart,
        },
        "resources": config.resources.as_ref().map(|state| resources(state, now)),
        "pools": pools
            .iter()
            .map(|pool| self::pool(pool, policies.get(&pool.name), now))
            .collect::<Vec<_>>(),
    })
}

fn resources(state: &ResourceState, now: Millis) -> Value {
    json!({
        "source": state.source,
        "taken": state.taken,
        "taken_age_ms": now.since(state.taken_at),
        "mistakes": state.mistakes,
    })
}

fn policy(message: &PolicyMessage) -> Value {
    let parts = message.policy.parts();
    let rules = parts.rules.iter().map(|rule| {
        let targets = rule.targets.iter();
        json!({
            "model": rule.model,
            "source": rule.source,
            "priority": rule.priority,
            "targets": targets
                .map(|target| json!({"model": target.model, "weight": target.weight}))
                .collect::<Vec<_>>(),
        })
    });
    json!({
        "revision": format!("{:016x}", message.policy.revision()),
        "rules": rules.collect::<Vec<_>>(),
        "objectives": parts.objectives,
        "models": parts.models,
        "fail_open": parts.fail_open,
    })
}

fn pool(pool: &PoolView, policy: Option<&std::sync::Arc<PolicyMessage>>, now: Millis) -> Value {
    json!({
        "name": &*pool.name,
        // Hashes do not fit into JSON's numbers.
        "version": pool.version.map(|version| json!({
            "agent_id": format!("{:016x}", version.agent_id),
            "epoch": version.epoch,
            "sequence": version.sequence,
            "taken_at_unix_ms": version.taken_at_unix_ms,
        })),
        "policy": policy.map(|message| self::policy(message)),
        "endpoints": pool.endpoints.iter().map(|e| endpoint(e, now)).collect::<Vec<_>>(),
        "gateways": pool.gateways.iter().map(gateway).collect::<Vec<_>>(),
    })
}

fn gateway(gateway: &GatewayView) -> Value {
    json!({
        "id": &*gateway.id,
        "heard_age_ms": gateway.age_ms,
        "requests": gateway.in_flight.requests,
        "tokens": gateway.in_flight.tokens,
        "prefilling": gateway.in_flight.prefilling,
        "prefill_tokens": gateway.in_flight.prefill_tokens,
    })
}

fn endpoint(endpoint: &EndpointView, now: Millis) -> Value {
    let latest = endpoint.latest.as_ref();
    json!({
        "address": endpoint.address.to_string(),
        "name": endpoint.name.as_deref(),
        "labels": &*endpoint.labels,
        "weight": endpoint.weight,
        "price": endpoint.price,
        "generation": format!("{:016x}", endpoint.generation),
        "health": endpoint.health(),
        "reason": latest.map(|latest| &*latest.reason),
        "last_attempt_age_ms": latest.map(|latest| now.since(latest.at)),
        "attempts": endpoint.attempts,
        "failures": endpoint.failures,
        "signals": latest.map(|latest| signals(latest, now)),
    })
}

/// Unknown signals are null.
fn signals(observation: &Observation, now: Millis) -> Value {
    let signals = &observation.signals;
    let mut shown = Map::new();
    shown.insert("waiting".to_owned(), signal(signals.waiting.as_ref(), now));
    shown.insert("running".to_owned(), signal(signals.running.as_ref(), now));
    shown.insert(
        "kv_usage".to_owned(),
        signal(signals.kv_usage.as_ref(), now),
    );
    let mean = signal(signals.mean_output_tokens.as_ref(), now);
    shown.insert("mean_output_tokens".to_owned(), mean);
    let model = signals.step_model.as_ref().map(|model| {
        json!({
            "base_us": model.value.base_us,
            "token_us": model.value.token_us,
            "kv_token_us": model.value.kv_token_us,
            "age_ms": model.age_ms(now),
        })
    });
    shown.insert("step_model".to_owned(), json!(model));
    let lora = signals.lora.as_ref().map(|lora| {
        json!({
            "active": names(&lora.value.active),
            "waiting": names(&lora.value.waiting),
            "registered": names(&lora.value.registered),
            "max": lora.value.max,
            "age_ms": lora.age_ms(now),
        })
    });
    shown.insert("lora".to_owned(), json!(lora));
    shown.insert("kv_block_size".to_owned(), json!(signals.kv_block_size));
    shown.insert("kv_blocks".to_owned(), json!(signals.kv_blocks));
    shown.insert("max_model_len".to_owned(), json!(signals.max_model_len));
    Value::Object(shown)
}

fn signal(signal: Option<&Signal<f32>>, now: Millis) -> Value {
    signal.map_or(
        Value::Null,
        |signal| json!({"value": signal.value, "age_ms": signal.age_ms(now)}),
    )
}

fn names(names: &[std::sync::Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}
