//! What `/metrics` says of pools, models and endpoints, and that `docs/metrics.md` says the same.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::resources::ModelList;

/// As discovery in Kubernetes appends it to a pod's name.
const UID: &str = "/3f2b1c4e-9a6d-4c57-8b1e-0d2f5a7c9e31";

/// A pool of four: two at work, one stale, one draining.
fn four(hub: &Hub) {
    let member = |at: u8| Member {
        target: TargetId(at.into()),
        address: ([10, 0, 0, at], 8000).into(),
        name: Some(format!("pod-{at}{UID}").into()),
        weight: 1.0,
        price: 1.0,
        labels: Arc::default(),
    };
    hub.set_membership(&Membership {
        pools: vec![PoolMembers {
            name: Arc::from("default"),
            members: (1..=4).map(member).collect(),
            unresolved: 0,
        }],
    });
    told(hub, 1, Some(1.0), 0.2, 0, Health::Ready);
    told(hub, 2, Some(7.0), 0.6, 0, Health::Ready);
    told(hub, 3, Some(50.0), 0.9, 2_500, Health::Ready);
    told(hub, 4, Some(90.0), 0.9, 0, Health::Draining);
}

fn told(hub: &Hub, target: u64, waiting: Option<f32>, kv: f32, age_ms: u64, health: Health) {
    let now = hub.clock.now();
    let at = now.minus(age_ms);
    let observation = Observation {
        at: now,
        attempt: Attempt::Scraped,
        signals: Signals {
            waiting: waiting.map(|waiting| Signal::new(waiting, at)),
            running: Some(Signal::new(3.0, at)),
            kv_usage: Some(Signal::new(kv, at)),
            ..Signals::default()
        },
        health,
        reason: "scraped".into(),
        life: 1,
        tallies: Default::default(),
    };
    hub.observe(TargetId(target), observation);
}

fn lists(hub: &Hub, target: u64, models: &[&str]) {
    let list: ModelList = models.iter().map(|name| (Arc::from(*name), None)).collect();
    hub.set_models(TargetId(target), &list);
}

async fn lines(rig: &Rig) -> Vec<String> {
    let (status, page) = get(rig, "/metrics").await;
    assert_eq!(status, 200);
    page.lines().map(str::to_owned).collect()
}

fn value(lines: &[String], series: &str) -> Option<f64> {
    let mut found = lines.iter().filter_map(|line| line.strip_prefix(series));
    let value = found.find_map(|rest| rest.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}

fn close(lines: &[String], series: &str, expected: f64) {
    let got = value(lines, series).unwrap_or_else(|| panic!("{series} is missing"));
    assert!(
        (got - expected).abs() < 1e-6,
        "{series}: {got}, not {expected}"
    );
}

#[tokio::test]
async fn the_reference_s_series_have_its_meaning() {
    let rig = rig().await;
    four(&rig.hub);
    let lines = lines(&rig).await;
    let name = "{name=\"default\"}";
    // Of the two that are neither stale nor draining.
    close(&lines, &format!("llm_d_epp_average_queue_size{name}"), 4.0);
    close(&lines, &format!("llm_d_epp_std_dev_queue_size{name}"), 3.0);
    close(
        &lines,
        &format!("llm_d_epp_average_kv_cache_utilization{name}"),
        0.4,
    );
    close(
        &lines,
        &format!("llm_d_epp_average_running_requests{name}"),
        3.0,
    );
    close(
        &lines,
        &format!("llm_d_epp_std_dev_running_requests{name}"),
        0.0,
    );
    close(&lines, &format!("llm_d_epp_ready_endpoints{name}"), 2.0);
    let queue =
        "llm_d_epp_per_endpoint_queue_size{name=\"default\",model_server_endpoint=\"pod-2\"}";
    close(&lines, queue, 7.0);
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("model_server_endpoint=\"pod-3\""))
    );
    // max(1/5, .2/.8) = .25, max(7/5, .6/.8) = 1.4, and the stale one counts as saturated.
    let saturation =
        "llm_d_epp_flow_control_pool_saturation{inference_pool=\"default\",stage=\"effective\"}";
    close(&lines, saturation, (0.25 + 1.4 + 1.0) / 3.0);
    close(
        &lines,
        "llm_d_epp_flow_control_stale_endpoints{detector=\"utilization-detector\"}",
        1.0,
    );
}

#[tokio::test]
async fn an_unknown_signal_is_left_out_of_the_mean_and_an_empty_pool_is_saturated() {
    let rig = rig().await;
    four(&rig.hub);
    told(&rig.hub, 1, None, 0.2, 0, Health::Ready);
    let page = lines(&rig).await;
    close(&page, "llm_d_epp_average_queue_size{name=\"default\"}", 7.0);
    let none = PoolMembers {
        name: Arc::from("default"),
        members: Vec::new(),
        unresolved: 0,
    };
    rig.hub.set_membership(&Membership { pools: vec![none] });
    let page = lines(&rig).await;
    assert_eq!(
        value(&page, "llm_d_epp_average_queue_size{name=\"default\"}"),
        None
    );
    close(&page, "llm_d_epp_ready_endpoints{name=\"default\"}", 0.0);
    let saturation =
        "llm_d_epp_flow_control_pool_saturation{inference_pool=\"default\",stage=\"effective\"}";
    close(&page, saturation, 1.0);
}

#[tokio::test]
async fn load_of_the_gateways_is_there_at_zero_and_goes_with_its_pod() {
    let rig = rig().await;
    four(&rig.hub);
    let series = |pod: &str, what: &str| {
        format!(
            "llm_d_epp_inflight_{what}{{endpoint_name=\"{pod}\",namespace=\"\",\
             producer_name=\"inflight-load-producer\",fairness_id=\"\",priority=\"\"}}"
        )
    };
    let page = lines(&rig).await;
    close(&page, &series("pod-1", "requests"), 0.0);
    let id = EndpointId {
        address: ([10, 0, 0, 1], 8000).into(),
        generation: crate::index::generation(
            ([10, 0, 0, 1], 8000).into(),
            Some(&format!("pod-1{UID}")),
            1,
        ),
    };
    let load = InFlight {
        requests: 3,
        tokens: 900,
        ..InFlight::default()
    };
    for (gateway, stream) in [("gw-1", 1), ("gw-2", 2)] {
        let report = pool_state::convert::Report {
            pool: "default".to_owned(),
            loads: vec![(id, load)],
        };
        rig.hub.report(&Arc::from(gateway), stream, report);
    }
    let page = lines(&rig).await;
    close(&page, &series("pod-1", "requests"), 6.0);
    close(&page, &series("pod-1", "tokens"), 1_800.0);
    rig.hub.set_membership(&Membership::default());
    let page = lines(&rig).await;
    assert_eq!(value(&page, &series("pod-1", "tokens")), None);
    assert!(
        !page
            .iter()
            .any(|line| line.contains("pod-1") || line.contains("10.0.0.1"))
    );
}

#[tokio::test]
async fn models_have_means_over_those_that_list_them_and_their_number_is_bounded() {
    let rig = rig().await;
    four(&rig.hub);
    lists(&rig.hub, 1, &["base", "sql"]);
    lists(
        &rig.hub,
        2,
        &["base", "a name \"that\nno model can have\u{1}"],
    );
    let page = lines(&rig).await;
    let series = |what: &str, model: &str| {
        format!("zerohop_agent_model_{what}{{pool=\"default\",model_name=\"{model}\"}}")
    };
    close(&page, &series("ready_endpoints", "base"), 2.0);
    close(&page, &series("average_queue_size", "base"), 4.0);
    close(&page, &series("average_queue_size", "sql"), 1.0);
    close(&page, &series("average_queue_size", "other"), 7.0);
    let names: Vec<String> = (0..3_000).map(|at| format!("model-{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    lists(&rig.hub, 1, &names);
    let page = lines(&rig).await;
    let prefix = "zerohop_agent_model_ready_endpoints{";
    let count = page.iter().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(count, 1_001);
}

#[tokio::test]
async fn a_hostile_name_stays_within_its_label() {
    let rig = rig().await;
    members(&rig.hub);
    lists(&rig.hub, 1, &["a\"} 1\nzerohop_evil{x=\""]);
    scraped(&rig.hub);
    let page = lines(&rig).await;
    assert!(
        page.iter().all(|line| !line.starts_with("zerohop_evil")),
        "{page:?}"
    );
}

#[tokio::test]
async fn former_names_are_there_when_asked_for() {
    let rig = rig().await;
    four(&rig.hub);
    let page = lines(&rig).await;
    assert!(
        !page
            .iter()
            .any(|line| line.contains("inference_pool_average"))
    );
    let (_, shutdown) = shutdown::channel();
    let admin = Admin::new(Arc::clone(&rig.hub), Arc::clone(&rig.config), shutdown);
    let request = http::Request::get("/metrics").body(()).unwrap();
    let response = admin.with_former_names(true).answer(&request);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    let page = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert!(
        page.contains("inference_pool_average_queue_size{name=\"default\"} 4"),
        "{page}"
    );
    let pod = "inference_pool_per_pod_queue_size{name=\"default\",model_server_pod=\"pod-1\"} 1";
    assert!(page.contains(pod), "{page}");
}

/// A metric as the page or the docs describe it: its type and the names of its labels.
type Catalogue = BTreeMap<String, (String, BTreeSet<String>)>;

fn emitted(page: &[String]) -> Catalogue {
    let mut emitted = Catalogue::new();
    for line in page {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let metric = (kind.to_owned(), BTreeSet::new());
            emitted.insert(format!("{name}{suffix}"), metric);
        } else if let Some((name, rest)) = line.split_once('{') {
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            let labels = rest.split("=\"").filter_map(|part| {
                let name = part.rsplit(['{', ',']).next()?;
                let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                (!name.is_empty() && is_name(name)).then(|| name.to_owned())
            });
            let labels = labels.filter(|label| label != "le");
            emitted.get_mut(name).expect("a TYPE line").1.extend(labels);
        }
    }
    emitted
}

/// The rows of the tables in the part of the docs that is about the agent.
fn documented() -> Catalogue {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let (_, agent) = docs.split_once("\n## From the agent\n").unwrap();
    let agent = agent.split("\n## ").next().unwrap();
    let words = |cell: &str| -> BTreeSet<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let mut documented = Catalogue::new();
    for row in agent.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, names, kind, labels, ..] = cells.as_slice() else {
            panic!("not a row: {row}");
        };
        for name in words(names) {
            documented.insert(name, ((*kind).to_owned(), words(labels)));
        }
    }
    documented
}

#[tokio::test]
async fn the_docs_name_exactly_what_is_emitted() {
    let rig = rig().await;
    members(&rig.hub);
    scraped_with_everything(&rig.hub);
    lists(&rig.hub, 1, &["base"]);
    let target = "10.0.0.1:8000".parse().unwrap();
    drop(rig.hub.telemetry.scrape_counters(target));
    rig.hub.telemetry.published([Arc::from("default")].iter());
    let emitted = emitted(&lines(&rig).await);
    let documented = documented();
    let names = |catalogue: &Catalogue| catalogue.keys().cloned().collect::<BTreeSet<_>>();
    let (left, right) = (names(&emitted), names(&documented));
    let undocumented: Vec<_> = left.difference(&right).collect();
    let invented: Vec<_> = right.difference(&left).collect();
    assert!(
        undocumented.is_empty(),
        "docs/metrics.md lacks {undocumented:?}"
    );
    assert!(
        invented.is_empty(),
        "docs/metrics.md has {invented:?}, which nobody emits"
    );
    for (name, what) in &emitted {
        assert_eq!(Some(what), documented.get(name), "{name}");
    }
}

fn scraped_with_everything(hub: &Hub) {
    let at = hub.clock.now();
    let observation = Observation {
        at,
        attempt: Attempt::Scraped,
        signals: Signals {
            waiting: Some(Signal::new(1.0, at)),
            running: Some(Signal::new(1.0, at)),
            kv_usage: Some(Signal::new(0.5, at)),
            step_model: Some(Signal::new(StepModel::default(), at)),
            mean_output_tokens: Some(Signal::new(225.0, at)),
            ..Signals::default()
        },
        health: Health::Ready,
        reason: "scraped".into(),
        life: 1,
        tallies: Default::default(),
    };
    hub.observe(TargetId(1), observation);
}
