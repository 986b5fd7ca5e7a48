//! The agent's side: the picker's types into messages.

use std::sync::Arc;

use picker::{Endpoint, Health, InFlight, Millis, PoolSnapshot, Signal, StepModel};

use super::{id_to_proto, report::in_flight_to_proto, version_to_proto};
use crate::proto;

/// One endpoint as it travels at `now`: each signal with its age, saturating at 49 days.
#[must_use]
pub fn endpoint_to_proto(endpoint: &Endpoint, now: Millis) -> proto::Endpoint {
    let signals = &endpoint.signals;
    proto::Endpoint {
        id: Some(id_to_proto(endpoint.id)),
        health: health_to_proto(endpoint.health).into(),
        weight: endpoint.weight,
        price: endpoint.price,
        waiting: gauge(signals.waiting, now),
        running: gauge(signals.running, now),
        kv_usage: gauge(signals.kv_usage, now),
        lora: signals.lora.as_ref().map(|lora| proto::Lora {
            active: names(&lora.value.active),
            waiting: names(&lora.value.waiting),
            registered: names(&lora.value.registered),
            max: lora.value.max,
            age_ms: age_ms(lora.taken_at, now),
        }),
        others_in_flight: signals
            .others_in_flight
            .map(|others| others_to_proto(others, now)),
        step_model: signals.step_model.map(|model| step_model(model, now)),
        mean_output_tokens: gauge(signals.mean_output_tokens, now),
        kv_block_size: signals.kv_block_size,
        kv_blocks: signals.kv_blocks,
        max_model_len: signals.max_model_len,
    }
}

/// What the other gateways have in flight on an endpoint, as it travels at `now`.
#[must_use]
pub fn others_to_proto(others: Signal<InFlight>, now: Millis) -> proto::OthersInFlight {
    proto::OthersInFlight {
        load: Some(in_flight_to_proto(others.value)),
        age_ms: age_ms(others.taken_at, now),
    }
}

/// A pool's whole state as it travels at `now`.
#[must_use]
pub fn snapshot_to_proto(snapshot: &PoolSnapshot, now: Millis) -> proto::Snapshot {
    proto::Snapshot {
        pool: snapshot.pool.clone(),
        version: Some(version_to_proto(snapshot.version)),
        endpoints: snapshot
            .endpoints
            .iter()
            .map(|endpoint| endpoint_to_proto(endpoint, now))
            .collect(),
    }
}

fn health_to_proto(health: Health) -> proto::Health {
    match health {
        Health::Ready => proto::Health::Ready,
        Health::Draining => proto::Health::Draining,
        Health::Suspect => proto::Health::Suspect,
    }
}

fn gauge(signal: Option<Signal<f32>>, now: Millis) -> Option<proto::Gauge> {
    signal.map(|signal| proto::Gauge {
        value: signal.value,
        age_ms: age_ms(signal.taken_at, now),
    })
}

fn step_model(model: Signal<StepModel>, now: Millis) -> proto::StepModel {
    proto::StepModel {
        base_us: model.value.base_us,
        token_us: model.value.token_us,
        kv_token_us: model.value.kv_token_us,
        age_ms: age_ms(model.taken_at, now),
    }
}

fn age_ms(taken_at: Millis, now: Millis) -> u32 {
    u32::try_from(now.since(taken_at)).unwrap_or(u32::MAX)
}

fn names(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}
