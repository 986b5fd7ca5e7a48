use super::*;
use crate::testing::FakeEnvoy;

const CONFIG: &str =
    r#"{"agent": {"cluster": "agent"}, "pools": [{"name": "p"}, {"name": "q", "cluster": "c"}]}"#;

fn config(pools: usize) -> String {
    let pool = |index| format!(r#"{{"name": "p{index}", "cluster": "c{index}"}}"#);
    let pools: Vec<_> = (0..pools).map(pool).collect();
    format!(
        r#"{{"agent": {{"cluster": "agent"}}, "pools": [{}]}}"#,
        pools.join(",")
    )
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let envoy = FakeEnvoy::new();
    let host = envoy.vm().configured(CONFIG);
    let Mistakes(mistakes) = Root::configure(&host, 0).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(envoy.keys().is_empty(), "no key was created");
    assert!(envoy.metric_names().is_empty(), "no metric was defined");
    assert_eq!(host.tick_ms(), 0);
}

#[test]
fn the_keys_are_created_with_the_configuration_and_never_after() {
    let envoy = FakeEnvoy::new();
    let host = envoy.vm().configured(&config(3));
    let mut root = Root::configure(&host, 0).unwrap();
    assert_eq!(host.tick_ms(), TICK_MS);
    let keys = envoy.keys();
    assert_eq!(keys.len(), 3 * 9 + 2 * slots::IN_FLIGHT_SLOTS + 3);
    assert!(
        keys.iter().all(|key| key.starts_with("zerohop/v1/")),
        "{keys:?}"
    );
    let mut metrics = 0;
    for round in 0..100 {
        if round == 10 {
            // What is gathered is shown for the first time when there is something to show.
            metrics = envoy.metric_names().len();
        }
        let context = host.stream(&[]);
        host.property_of(context, &["xds", "cluster_name"], b"c1");
        let Stream::Request(mut request) = root.stream(context) else {
            panic!("this root context decides");
        };
        request.on_request_headers(&host, true);
        request.on_log(&host);
        root.tick(&host);
        envoy.advance_ms(500);
    }
    assert_eq!(envoy.keys(), keys);
    assert_eq!(envoy.metric_names().len(), metrics);
}

#[test]
fn configuring_another_vm_wipes_nothing() {
    let envoy = FakeEnvoy::new();
    let host = envoy.vm().configured(&config(1));
    let mut root = Root::configure(&host, 0).unwrap();
    root.tick(&host);
    let value = |key: &str| envoy.peek(key).unwrap();
    let lease = value("zerohop/v1/pool/p0/lease");
    let process = value("zerohop/v1/process");
    assert!(!lease.is_empty() && !process.is_empty());
    let other = envoy.vm().configured(&config(1));
    let _root = Root::configure(&other, 0).unwrap();
    assert_eq!(value("zerohop/v1/pool/p0/lease"), lease);
    assert_eq!(value("zerohop/v1/process"), process);
}

#[test]
fn a_clock_that_steps_back_or_far_ahead_ends_nothing() {
    let envoy = FakeEnvoy::new();
    let host = envoy
        .vm()
        .configured(r#"{"pools": [{"name": "p", "members": ["10.0.0.1:80"]}]}"#);
    let mut root = Root::configure(&host, 0).unwrap();
    let jumps: [(bool, u64); 4] = [
        (false, 3_600_000),
        (true, 3_600_000),
        (false, 365 * 86_400_000),
        (true, 400 * 86_400_000),
    ];
    for (back, millis) in jumps {
        if back {
            envoy.rewind_ms(millis);
        } else {
            envoy.advance_ms(millis);
        }
        root.tick(&host);
        let context = host.stream(&[]);
        let Stream::Request(mut request) = root.stream(context) else {
            panic!("this root context decides");
        };
        request.on_request_headers(&host, true);
        let destination = host.header_of(context, crate::headers::DESTINATION);
        assert_eq!(destination.as_deref(), Some("10.0.0.1:80"));
        request.on_log(&host);
    }
    assert!(root.worker().unwrap().borrow().ledger().is_empty());
}

/// An endpoint at 10.0.0.1.
fn endpoint() -> picker::Endpoint {
    picker::Endpoint::new(picker::EndpointId {
        address: ([10, 0, 0, 1], 80).into(),
        generation: 1,
    })
}

#[test]
fn the_gauges_of_a_pool_move_on_without_an_agent() {
    let envoy = FakeEnvoy::new();
    let config = r#"{"agent": {"cluster": "agent"}, "pools": [
        {"name": "p", "cluster": "c"},
        {"name": "q", "cluster": "d", "members": ["10.0.0.1:80"]}
    ]}"#;
    let host = envoy.vm().configured(config);
    let mut root = Root::configure(&host, 0).unwrap();
    root.tick(&host);
    let gauge = |family: &str, pool| {
        let name = crate::metrics::series(family, &[("pool", pool)]);
        envoy.metric(&name)
    };
    assert_eq!(gauge("zerohop_endpoints", "q"), 1, "configured");
    let Root::Deciding(deciding) = &root else {
        panic!("this root context decides");
    };
    deciding.worker.borrow_mut().publish(
        &host,
        0,
        &picker::PoolSnapshot {
            pool: "p".to_owned(),
            version: picker::SnapshotVersion {
                agent_id: 9,
                epoch: 1,
                sequence: 1,
                taken_at_unix_ms: 0,
            },
            endpoints: vec![endpoint()],
        },
    );
    // The agent never answers.
    let successor = envoy.vm().configured(config);
    let mut next = Root::configure(&successor, 0).unwrap();
    for seconds in 0..5 {
        root.tick(&host);
        next.tick(&successor);
        assert_eq!(gauge("zerohop_endpoints", "p"), 1);
        assert_eq!(gauge("zerohop_snapshot_age_ms", "p"), seconds * 1_000);
        envoy.advance_ms(1_000);
    }
    for seconds in 5..9 {
        next.tick(&successor);
        assert_eq!(gauge("zerohop_snapshot_age_ms", "p"), seconds * 1_000);
        envoy.advance_ms(1_000);
    }
}
