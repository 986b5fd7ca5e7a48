use super::*;
use crate::{
    root::{Root, Stream},
    testing::FakeEnvoy,
};

#[test]
fn the_load_of_other_workers_counts_in_the_pick() {
    let config = r#"{"pools": [{"name": "p", "members": ["10.0.0.1:80", "10.0.0.2:80"]}],
        "picker": {"policy": "least_in_flight"}}"#;
    let envoy = FakeEnvoy::new();
    let vms: Vec<_> = (0..4)
        .map(|_| {
            let host = envoy.vm().configured(config);
            let root = Root::configure(&host, 0).unwrap();
            (host, root)
        })
        .collect();
    let mut counts = std::collections::BTreeMap::new();
    for round in 0..100 {
        let (host, root) = &vms[round % vms.len()];
        let context = host.stream(&[]);
        let Stream::Request(mut request) = root.stream(context) else {
            panic!("this root context decides");
        };
        request.on_request_headers(host, true);
        let list = host.header_of(context, headers::DESTINATION).unwrap();
        let first = list.split(',').next().unwrap().to_owned();
        *counts.entry(first).or_insert(0u32) += 1;
        envoy.advance_ms(1);
        let (a, b) = (
            counts.get("10.0.0.1:80").copied().unwrap_or_default(),
            counts.get("10.0.0.2:80").copied().unwrap_or_default(),
        );
        assert!(
            a.abs_diff(b) <= 1,
            "after {round} picks of four workers: {a} and {b}"
        );
    }
}

#[test]
fn equal_destinations_are_written_in_order_of_the_decision() {
    let endpoint = |last: u8| {
        Endpoint::new(EndpointId {
            address: ([10, 0, 0, last], 80).into(),
            generation: 1,
        })
    };
    let endpoints = [endpoint(1), endpoint(2), endpoint(3)];
    let decision = Decision::new(Reason::BestScore, [2, 0, 9]);
    let (first, list) = listed(&endpoints, &decision).unwrap();
    assert_eq!(first, endpoints[2].id);
    assert_eq!(
        list, "10.0.0.3:80,10.0.0.1:80",
        "an index out of range is left out"
    );
    assert_eq!(
        listed(&endpoints, &Decision::none(Reason::NoEndpoints)),
        None
    );
}
