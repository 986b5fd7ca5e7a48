//! Measures the capacities that `routing_sim::capacity` remembers.
//!
//! `cargo run --release -p routing-sim --example capacity -- [profile] [workload ...]`

use routing_sim::{
    capacity::{find, pool},
    profile::Profile,
    workload::WorkloadName,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let profile = arguments.next().and_then(|name| Profile::parse(&name));
    let profile = profile.unwrap_or(Profile::Llama2);
    let wanted: Vec<String> = arguments.collect();
    for workload in WorkloadName::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == workload.as_str()) {
            continue;
        }
        let scenario = pool(profile, 10, workload);
        let found = find(
            &scenario,
            |rate| workload.requests(scenario.seed, rate),
            300.0,
        );
        println!("{} {} {found:.1}", profile.as_str(), workload.as_str());
    }
}
