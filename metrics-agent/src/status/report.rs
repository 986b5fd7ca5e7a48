//! From what the agent knows to the document.

use pool_state::policy::PolicyParts;

use super::{
    AdapterStatus, BUCKET_SECONDS, BUCKETS, GatewayStatus, Memory, ObjectiveStatus, PodStatus,
    PolicyStatus, PoolStatus, RuleStatus, Status, TargetStatus,
};
use crate::{
    hub::{Connected, Hub},
    index::{EndpointView, PoolView},
    resources::PolicyMessage,
};

use picker::Millis;

/// The state of the agent, with the last `buckets` columns of the load. `problems` are the reasons why
/// it is not ready.
#[must_use]
pub fn report(hub: &Hub, memory: &Memory, problems: Vec<String>, buckets: usize) -> Status {
    let now = hub.clock.now();
    let views = hub.index().view(now);
    let policies = hub.policies();
    let connected = hub.connected();
    let pools = views.iter().map(|view| {
        let policy = policies.get(&view.name);
        PoolStatus {
            policy: policy.map(|message| self::policy(message)),
            rollout: rollout(hub, view),
            ..pool(view, memory, &connected, now, buckets)
        }
    });
    Status {
        agent: hub.agent_id().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        unix_ms: hub.clock.unix_ms(),
        uptime_s: hub.clock.uptime_ms() / 1_000,
        problems,
        bucket: memory.bucket(),
        bucket_seconds: BUCKET_SECONDS,
        buckets: BUCKETS as u64,
        pools: pools.collect(),
    }
}

fn pool(
    view: &PoolView,
    memory: &Memory,
    connected: &[Connected],
    now: Millis,
    buckets: usize,
) -> PoolStatus {
    let minutes: Vec<_> = view
        .endpoints
        .iter()
        .map(|endpoint| memory.minute(endpoint.target))
        .collect();
    let finished = minutes.iter().filter_map(|minute| minute.finished);
    let finished = finished.reduce(|sum, finished| sum + finished);
    let rates = minutes
        .iter()
        .filter_map(|minute| Some(minute.finished? / minute.seconds));
    let rate = rates.reduce(|sum, rate| sum + rate);
    let pods = view.endpoints.iter().zip(&minutes);
    let pods = pods.map(|(endpoint, minute)| PodStatus {
        share: minute
            .finished
            .zip(finished.filter(|sum| *sum > 0.0))
            .map(|(own, sum)| (own / sum) as f32),
        prefix_hits: minute.prefix_hits,
        load: memory.load(endpoint.target, buckets),
        ..pod(endpoint, now)
    });
    PoolStatus {
        name: view.name.to_string(),
        sequence: view.version.map(|version| version.sequence),
        saturation: view.saturation(now),
        requests_per_second: rate.map(|rate| rate as f32),
        sheds: (view.sheds.gateways > 0).then(|| memory.sheds(view)),
        pods: pods.collect(),
        gateways: gateways(view, connected, now),
        policy: None,
        rollout: Vec::new(),
    }
}

fn pod(endpoint: &EndpointView, now: Millis) -> PodStatus {
    let fresh = endpoint.fresh(now);
    let reason = endpoint
        .latest
        .as_ref()
        .map(|latest| latest.reason.to_string());
    PodStatus {
        name: endpoint.shown_name(),
        address: endpoint.address.to_string(),
        state: endpoint.health().to_owned(),
        reason: reason.unwrap_or_else(|| "not scraped yet".to_owned()),
        held: endpoint.held,
        waiting: fresh.and_then(|signals| Some(signals.waiting?.value)),
        running: fresh.and_then(|signals| Some(signals.running?.value)),
        kv_usage: fresh.and_then(|signals| Some(signals.kv_usage?.value)),
        saturation: endpoint.saturation(now),
        age_ms: endpoint.age_ms(now),
        in_flight: endpoint.in_flight.requests,
        ..PodStatus::default()
    }
}

/// Those that are connected, with their load where they reported any.
fn gateways(view: &PoolView, connected: &[Connected], now: Millis) -> Vec<GatewayStatus> {
    let serving = connected
        .iter()
        .filter(|gateway| gateway.pools.contains(&view.name));
    serving
        .map(|gateway| {
            let reported = view.gateways.iter().find(|other| other.id == gateway.id);
            let load = reported
                .map(|gateway| gateway.in_flight)
                .unwrap_or_default();
            GatewayStatus {
                id: gateway.id.to_string(),
                connected_s: now.since(gateway.since) / 1_000,
                heard_age_ms: now.since(gateway.heard),
                in_flight: load.requests,
                tokens: load.tokens,
            }
        })
        .collect()
}

fn policy(message: &PolicyMessage) -> PolicyStatus {
    let PolicyParts {
        rules,
        objectives,
        models,
        fail_open,
        ..
    } = message.policy.parts();
    let rules = rules.iter().map(|rule| {
        let weights = rule.targets.iter().map(|target| target.weight.unwrap_or(1));
        let sum: u64 = weights.map(u64::from).sum();
        let targets = rule.targets.iter().map(|target| TargetStatus {
            model: target.model.clone(),
            share: target.weight.unwrap_or(1) as f32 / sum.max(1) as f32,
        });
        RuleStatus {
            model: rule.model.clone(),
            source: rule.source.clone(),
            priority: rule.priority,
            targets: targets.collect(),
        }
    });
    let objectives = objectives.iter().map(|(name, priority)| ObjectiveStatus {
        name: name.clone(),
        priority: *priority,
    });
    PolicyStatus {
        revision: format!("{:016x}", message.policy.revision()),
        fail_open: *fail_open,
        rules: rules.collect(),
        objectives: objectives.collect(),
        models: models.len(),
    }
}

/// How far the declared adapters of a pool are.
fn rollout(hub: &Hub, view: &PoolView) -> Vec<AdapterStatus> {
    let declared = hub.adapters.declaration();
    let Some(declared) = declared.iter().find(|declared| declared.pool == view.name) else {
        return Vec::new();
    };
    let models = hub.models();
    let ready: Vec<_> = view.endpoints.iter().filter(|pod| pod.is_ready()).collect();
    let status = |name: &str, wanted| {
        let having = ready.iter().filter(|pod| {
            let listed = models
                .get(&pod.target)
                .into_iter()
                .flat_map(|list| list.iter());
            listed.into_iter().any(|(model, _)| **model == *name)
        });
        AdapterStatus {
            name: name.to_owned(),
            wanted,
            having: having.count(),
            of: ready.len(),
            drawn: wanted && hub.adapters.is_ready(&view.name, name),
        }
    };
    let present = declared.present.iter();
    let present = present.map(|adapter| status(&adapter.name, true));
    let absent = declared.absent.iter().map(|name| status(name, false));
    present.chain(absent).collect()
}
