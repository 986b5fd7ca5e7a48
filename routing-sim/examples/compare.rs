//! A first look: policies side by side on one workload.
//!
//! `cargo run --release -p routing-sim --example compare -- [workload] [requests/s] [seed] [policy ...]`

use std::time::{Duration, Instant};

use picker::policy::PolicyName;
use routing_sim::{PolicyUnderTest, Scenario, simulate, workload::WorkloadName};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().and_then(|name| WorkloadName::parse(&name));
    let workload = workload.unwrap_or(WorkloadName::W1);
    let mut number = |default: f64| {
        let given = arguments.next().and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let rate = number(292.0);
    let seed = number(1.0) as u64;
    let wanted: Vec<String> = arguments.collect();
    let policies = PolicyName::ALL.map(PolicyUnderTest::Picker);
    println!(
        "policy            ttft p50   ttft p90  ntpot p90    e2e p90  goodput   hit  req/s  x real"
    );
    for policy in policies.into_iter().chain([PolicyUnderTest::Oracle]) {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == policy.as_str()) {
            continue;
        }
        let mut scenario = Scenario {
            seed,
            policy,
            duration: Duration::from_secs(60),
            ..Scenario::default()
        };
        workload.prepare(&mut scenario);
        let began = Instant::now();
        let outcome = simulate(&scenario, workload.requests(seed, rate).as_mut());
        println!(
            "{:16} {:9.4}  {:9.4}  {:9.4}  {:9.3}  {:7.3}  {:4.2}  {:5.0}  {:6.0}",
            policy.as_str(),
            outcome.quantile(0.5, |request| request.ttft),
            outcome.ttft_p90(),
            outcome.ntpot_p90(),
            outcome.e2e_p90(),
            outcome.goodput(),
            outcome.hit_ratio(),
            outcome.throughput,
            outcome.simulated_seconds_per_second(began.elapsed()),
        );
    }
}
