//! The series of the reference's endpoint picker, with its names, labels and meaning.

use std::collections::BTreeMap;

use super::{Counting, Gauge, KV_USAGE, RUNNING, Series, WAITING, ready, spread};
use crate::{
    index::PoolView,
    telemetry::{
        Telemetry,
        family::{Family, Kind, Labels},
        spread::Spread,
    },
};

/// What the reference calls its scraper, its reader of pages, its measure of saturation and its
/// counter of load: rules in the wild select by them.
const SOURCE: &str = "metrics-data-source";
const EXTRACTOR: &str = "core-metrics-extractor";
const DETECTOR: &str = "utilization-detector";
const PRODUCER: &str = "inflight-load-producer";

pub(super) fn families(series: &Series<'_>, telemetry: &Telemetry) -> Vec<Family> {
    let pools: Vec<(&PoolView, Vec<Counting<'_>>)> = series
        .pools
        .iter()
        .map(|pool| (pool, series.counting(pool.endpoints.iter())))
        .collect();
    let each = |value: &dyn Fn(&[Counting<'_>]) -> Option<f64>| -> Vec<(Labels, f64)> {
        let pools = pools.iter();
        pools
            .filter_map(|(pool, counting)| Some((vec![named(pool)], value(counting)?)))
            .collect()
    };
    let mean = |gauge: Gauge| each(&|counting| Some(spread(counting, gauge)?.mean));
    let deviation = |gauge: Gauge| each(&|counting| Some(deviation_of(spread(counting, gauge)?)));
    let ready = || each(&|counting| Some(ready(counting)));
    let queues = || {
        pools
            .iter()
            .flat_map(|(pool, each)| queues(pool, each))
            .collect()
    };

    let mut families = vec![
        Family::gauge(
            "llm_d_epp_average_kv_cache_utilization",
            "Mean KV-cache utilization of a pool's endpoints, 0 to 1",
            mean(KV_USAGE),
        ),
        Family::gauge(
            "llm_d_epp_average_queue_size",
            "Mean of the requests that wait at a pool's endpoints",
            mean(WAITING),
        ),
        Family::gauge(
            "llm_d_epp_average_running_requests",
            "Mean of the requests that run at a pool's endpoints",
            mean(RUNNING),
        ),
        Family::gauge(
            "llm_d_epp_std_dev_kv_cache_utilization",
            "Standard deviation of the KV-cache utilization of a pool's endpoints",
            deviation(KV_USAGE),
        ),
        Family::gauge(
            "llm_d_epp_std_dev_queue_size",
            "Standard deviation of the requests that wait at a pool's endpoints",
            deviation(WAITING),
        ),
        Family::gauge(
            "llm_d_epp_std_dev_running_requests",
            "Standard deviation of the requests that run at a pool's endpoints",
            deviation(RUNNING),
        ),
        Family::gauge(
            "llm_d_epp_ready_endpoints",
            "Endpoints of a pool that are ready and whose signals are not stale",
            ready(),
        ),
        Family::gauge(
            "llm_d_epp_per_endpoint_queue_size",
            "Requests that wait at an endpoint",
            queues(),
        ),
        saturation(series),
        stale(series),
        in_flight(series, "llm_d_epp_inflight_requests", |load| {
            f64::from(load.requests)
        }),
        in_flight(series, "llm_d_epp_inflight_tokens", |load| {
            load.tokens as f64
        }),
        Family {
            name: "llm_d_epp_datalayer_poll_errors",
            help: "Scrapes that brought no page",
            kind: Kind::Counter,
            series: vec![(
                vec![("source_type", SOURCE.to_owned())],
                telemetry.poll_errors.get() as f64,
            )],
        },
        Family {
            name: "llm_d_epp_datalayer_extract_errors",
            help: "Pages that could not be read in full",
            kind: Kind::Counter,
            series: vec![(
                vec![
                    ("source_type", SOURCE.to_owned()),
                    ("extractor_type", EXTRACTOR.to_owned()),
                ],
                telemetry.extract_errors.get() as f64,
            )],
        },
        info(),
    ];
    if series.former_names {
        families.extend([
            Family::gauge(
                "inference_pool_average_kv_cache_utilization",
                "Former name of llm_d_epp_average_kv_cache_utilization",
                mean(KV_USAGE),
            ),
            Family::gauge(
                "inference_pool_average_queue_size",
                "Former name of llm_d_epp_average_queue_size",
                mean(WAITING),
            ),
            Family::gauge(
                "inference_pool_average_running_requests",
                "Former name of llm_d_epp_average_running_requests",
                mean(RUNNING),
            ),
            Family::gauge(
                "inference_pool_ready_pods",
                "Former name of llm_d_epp_ready_endpoints",
                ready(),
            ),
            Family::gauge(
                "inference_pool_per_pod_queue_size",
                "Former name of llm_d_epp_per_endpoint_queue_size",
                renamed(queues(), "model_server_endpoint", "model_server_pod"),
            ),
        ]);
    }
    families
}

fn named(pool: &PoolView) -> (&'static str, String) {
    ("name", pool.name.to_string())
}

const fn deviation_of(spread: Spread) -> f64 {
    spread.deviation
}

/// One series a pod: the ports of one pod are one to whoever scales pods.
fn queues(pool: &PoolView, counting: &[Counting<'_>]) -> Vec<(Labels, f64)> {
    let mut queues = BTreeMap::<String, f64>::new();
    for each in counting {
        if let Some(waiting) = each.signals.waiting {
            *queues.entry(each.endpoint.shown_name()).or_default() += f64::from(waiting.value);
        }
    }
    let labels = |endpoint| vec![named(pool), ("model_server_endpoint", endpoint)];
    let queues = queues.into_iter();
    queues.map(|(name, queue)| (labels(name), queue)).collect()
}

fn renamed(
    mut series: Vec<(Labels, f64)>,
    from: &'static str,
    to: &'static str,
) -> Vec<(Labels, f64)> {
    for (name, _) in series.iter_mut().flat_map(|(labels, _)| labels) {
        if *name == from {
            *name = to;
        }
    }
    series
}

fn saturation(series: &Series<'_>) -> Family {
    let pools = series.pools.iter().map(|pool| {
        let labels = vec![
            ("inference_pool", pool.name.to_string()),
            ("stage", "effective".to_owned()),
        ];
        (labels, f64::from(pool.saturation(series.now)))
    });
    Family::gauge(
        "llm_d_epp_flow_control_pool_saturation",
        "Mean over a pool's endpoints of the greater of queue / 5 and KV-cache utilization / 0.8",
        pools.collect(),
    )
}

fn stale(series: &Series<'_>) -> Family {
    let endpoints = series.pools.iter().flat_map(|pool| &pool.endpoints);
    let stale = endpoints.filter(|each| !each.is_draining() && each.fresh(series.now).is_none());
    Family::gauge(
        "llm_d_epp_flow_control_stale_endpoints",
        "Endpoints that count as saturated because their signals are stale or unknown",
        vec![(
            vec![("detector", DETECTOR.to_owned())],
            stale.count() as f64,
        )],
    )
}

fn in_flight(
    series: &Series<'_>,
    name: &'static str,
    value: fn(&picker::InFlight) -> f64,
) -> Family {
    let mut loads = BTreeMap::<String, f64>::new();
    for endpoint in series.pools.iter().flat_map(|pool| &pool.endpoints) {
        *loads.entry(endpoint.shown_name()).or_default() += value(&endpoint.in_flight);
    }
    let labels = |endpoint| {
        vec![
            ("endpoint_name", endpoint),
            ("namespace", String::new()),
            ("producer_name", PRODUCER.to_owned()),
            ("fairness_id", String::new()),
            ("priority", String::new()),
        ]
    };
    let loads = loads.into_iter();
    Family::gauge(
        name,
        "What the gateways sent to an endpoint and have not seen end",
        loads.map(|(name, load)| (labels(name), load)).collect(),
    )
}

fn info() -> Family {
    let labels = vec![
        (
            "commit",
            option_env!("ZEROHOP_COMMIT")
                .unwrap_or("unknown")
                .to_owned(),
        ),
        ("build_ref", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    Family::gauge("llm_d_epp_info", "What was built", vec![(labels, 1.0)])
}
