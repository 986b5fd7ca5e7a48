//! A recorded trace under several policies (W9).

use std::time::Duration;

use super::{
    experiment::Experiment,
    scores::{Metric, Scores},
    table::{Table, number},
};
use crate::{
    PolicyUnderTest, Scenario,
    profile::Profile,
    simulate,
    workload::{Replay, Trace, TraceError, WorkloadName},
};

/// Replays a trace's text over ten pods, everything measured.
///
/// # Errors
/// With every mistake in the trace.
pub fn replay(
    text: &str,
    times_faster: f64,
    policies: &[PolicyUnderTest],
) -> Result<String, TraceError> {
    let trace = Trace::parse(text)?;
    let last = trace.lines().last().map_or(0.0, |line| line.timestamp);
    let length = Duration::from_secs_f64(last / 1_000.0 / times_faster.max(1e-3)) * 2;
    let mut table = Table::new(["policy"]);
    table
        .head
        .extend(Metric::ALL.map(|metric| metric.as_str().to_owned()));
    for policy in policies {
        let load = super::experiment::Load::Qps(0);
        let usual = Experiment::new(Profile::Llama2, WorkloadName::W1, *policy, load);
        let scenario = Scenario {
            warm_up: Duration::ZERO,
            duration: length + Duration::from_secs(1),
            cool_down: Duration::ZERO,
            ..usual.scenario(11, super::experiment::Seconds::default())
        };
        let mut requests = Replay::new(trace.clone(), 11, times_faster.max(1e-3));
        let scores = Scores::of(&simulate(&scenario, &mut requests));
        let mut row = vec![policy.as_str().to_owned()];
        row.extend(Metric::ALL.map(|metric| number(scores.get(metric))));
        table.rows.push(row);
    }
    Ok(format!(
        "{} requests, {} a second\n{}",
        trace.lines().len(),
        number(trace.requests_per_second() * times_faster),
        table.to_text()
    ))
}
