//! How much a pool can serve: what loads are fractions of.
//!
//! The capacity is what [`crate::capacity::find`] finds: the greatest rate at which the oracle
//! answers nine in ten requests within the SLO. The constants are what `bench-routing
//! calibrate` printed; they need not be exact, since all policies are compared at the same rates.

use crate::{capacity, profile::Profile, workload::WorkloadName};

/// Requests per second that ten pods can serve.
pub fn of_ten(profile: Profile, workload: WorkloadName) -> f64 {
    let [multi_head, grouped_query] = match workload {
        WorkloadName::W1 | WorkloadName::W5 | WorkloadName::W7 => [332.0, 546.0],
        WorkloadName::W2 => [172.0, 472.0],
        WorkloadName::W2s => [75.0, 253.0],
        WorkloadName::W3 => [89.0, 177.0],
        WorkloadName::W4 => [331.0, 547.0],
        WorkloadName::W6 => [234.0, 411.0],
        WorkloadName::W8 => [300.0, 500.0],
    };
    match profile {
        Profile::Llama2 => multi_head,
        Profile::SeedH100 => multi_head * 1.3,
        Profile::GroupedQuery8b => grouped_query,
    }
}

/// Measures [`of_ten`] anew.
pub fn calibrate(profile: Profile, workload: WorkloadName) -> f64 {
    let seed = capacity::SEED;
    capacity::find(
        &capacity::pool(profile, 10, workload),
        |rate| workload.requests(seed, rate),
        of_ten(profile, workload),
    )
}
