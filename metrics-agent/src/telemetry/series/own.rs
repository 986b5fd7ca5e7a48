//! What the reference's series lack: pools by health, models, and what is known of each endpoint.

use std::collections::{BTreeMap, BTreeSet};

use pool_state::limits;

use super::{Counting, Gauge, KV_USAGE, RUNNING, Series, WAITING, ready, spread};
use crate::{
    index::{EndpointView, PoolView},
    telemetry::family::{Family, Labels},
};

/// Models with series of their own over all pools, as many as the reference has; the rest, and names
/// that no model can have, are `other`.
const MAX_MODELS: usize = 1_000;
const OTHER: &str = "other";

const HEALTHS: [&str; 4] = ["ready", "draining", "suspect", "pending"];

pub(super) fn families(series: &Series<'_>) -> Vec<Family> {
    let mut families = vec![endpoints(series)];
    families.extend(models(series));
    families.extend(of_each(series));
    families
}

fn endpoints(series: &Series<'_>) -> Family {
    let pools = series.pools.iter().flat_map(|pool| {
        HEALTHS.map(|health| {
            let count = pool.endpoints.iter().filter(|each| each.health() == health);
            let labels = vec![pool_label(pool), ("health", health.to_owned())];
            (labels, count.count() as f64)
        })
    });
    Family::gauge(
        "zerohop_agent_endpoints",
        "Endpoints by pool and health",
        pools.collect(),
    )
}

fn models(series: &Series<'_>) -> [Family; 4] {
    let mut named = BTreeSet::new();
    let mut serving = BTreeMap::<(usize, &str), Vec<Counting<'_>>>::new();
    for (at, pool) in series.pools.iter().enumerate() {
        for endpoint in &pool.endpoints {
            let listed = series.models.get(&endpoint.target);
            let listed = listed.into_iter().flat_map(|list| list.iter());
            let mut names: BTreeSet<&str> = BTreeSet::new();
            for (name, _) in listed {
                let known = named.contains(&**name);
                let has_place = known || (named.len() < MAX_MODELS && limits::is_model_name(name));
                if has_place {
                    named.insert(&**name);
                }
                names.insert(if has_place { name } else { OTHER });
            }
            for name in names {
                let counting = series.counting(std::iter::once(endpoint));
                serving.entry((at, name)).or_default().extend(counting);
            }
        }
    }
    let each = |value: &dyn Fn(&[Counting<'_>]) -> Option<f64>| -> Vec<(Labels, f64)> {
        let serving = serving.iter();
        serving
            .filter_map(|((at, model), counting)| {
                let pool = series.pools.get(*at)?;
                let labels = vec![pool_label(pool), ("model_name", (*model).to_owned())];
                Some((labels, value(counting)?))
            })
            .collect()
    };
    let mean = |gauge: Gauge| each(&|counting| Some(spread(counting, gauge)?.mean));
    [
        Family::gauge(
            "zerohop_agent_model_ready_endpoints",
            "Ready endpoints that list a model or adapter",
            each(&|counting| Some(ready(counting))),
        ),
        Family::gauge(
            "zerohop_agent_model_average_queue_size",
            "Mean of the requests that wait at the endpoints that list a model",
            mean(WAITING),
        ),
        Family::gauge(
            "zerohop_agent_model_average_running_requests",
            "Mean of the requests that run at the endpoints that list a model",
            mean(RUNNING),
        ),
        Family::gauge(
            "zerohop_agent_model_average_kv_cache_utilization",
            "Mean KV-cache utilization of the endpoints that list a model, 0 to 1",
            mean(KV_USAGE),
        ),
    ]
}

fn of_each(series: &Series<'_>) -> [Family; 5] {
    let each = |value: &dyn Fn(&EndpointView) -> Option<f64>| -> Vec<(Labels, f64)> {
        let pools = series.pools.iter();
        let endpoints =
            pools.flat_map(|pool| pool.endpoints.iter().map(move |endpoint| (pool, endpoint)));
        endpoints
            .filter_map(|(pool, endpoint)| {
                let labels = vec![pool_label(pool), ("endpoint", endpoint.address.to_string())];
                Some((labels, value(endpoint)?))
            })
            .collect()
    };
    let gauge = |gauge: Gauge| {
        each(&|endpoint| {
            let signal = gauge(endpoint.fresh(series.now)?)?;
            Some(f64::from(signal.value))
        })
    };
    [
        Family::gauge(
            "zerohop_agent_signal_age_seconds",
            "Age of the oldest load signal of an endpoint",
            each(&|endpoint| Some(endpoint.age_ms(series.now)? as f64 / 1e3)),
        ),
        Family::gauge(
            "zerohop_agent_running_requests",
            "Requests that run at an endpoint",
            gauge(RUNNING),
        ),
        Family::gauge(
            "zerohop_agent_kv_cache_utilization",
            "KV-cache utilization of an endpoint, 0 to 1",
            gauge(KV_USAGE),
        ),
        Family::gauge(
            "zerohop_agent_mean_output_tokens",
            "Learned mean length of an engine's answers",
            each(&|endpoint| {
                let mean = endpoint.latest.as_ref()?.signals.mean_output_tokens?;
                Some(f64::from(mean.value))
            }),
        ),
        steps(series),
    ]
}

fn steps(series: &Series<'_>) -> Family {
    let endpoints = series.pools.iter().flat_map(|pool| {
        let endpoints = pool.endpoints.iter();
        endpoints.filter_map(move |endpoint| {
            let model = endpoint.latest.as_ref()?.signals.step_model?.value;
            Some((pool, endpoint, model))
        })
    });
    let parts = endpoints.flat_map(|(pool, endpoint, model)| {
        let parts = [
            ("base", model.base_us),
            ("token", model.token_us),
            ("kv_token", model.kv_token_us),
        ];
        parts.map(|(part, micros)| {
            let labels = vec![
                pool_label(pool),
                ("endpoint", endpoint.address.to_string()),
                ("part", part.to_owned()),
            ];
            (labels, f64::from(micros) / 1e6)
        })
    });
    Family::gauge(
        "zerohop_agent_step_seconds",
        "Learned cost of an engine's step: fixed, per token computed, per KV-cache token",
        parts.collect(),
    )
}

fn pool_label(pool: &PoolView) -> (&'static str, String) {
    ("pool", pool.name.to_string())
}
