//! What came out of a load, as a table.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{fleet::Fleet, observe::Seen};
use crate::rig::{LoadReport, Response, label_of};

/// Prints one line per pod.
pub(super) fn pods(fleet: &Fleet, report: &LoadReport, seen: &BTreeMap<SocketAddr, Seen>) {
    println!(
        "  {:<17} {:>5} {:>7} {:>7} {:>8} {:>6}   {:>8} {:>8}   {:>8} {:>8}",
        "pod", "speed", "share", "queue", "running", "KV", "p50", "p90", "TTFT p50", "p90"
    );
    let total = report.per_upstream(..).values().sum::<u64>().max(1);
    for (number, address) in fleet.addresses().into_iter().enumerate() {
        let answers: Vec<&Response> = report
            .outcomes
            .iter()
            .filter_map(|outcome| outcome.result.as_ref().ok())
            .filter(|response| response.upstream() == Some(address))
            .collect();
        let share = 100.0 * answers.len() as f64 / total as f64;
        let totals = sorted(answers.iter().map(|response| response.total));
        let streamed = answers.iter().filter(|response| {
            response
                .header("content-type")
                .is_some_and(|text| text.starts_with("text/event-stream"))
        });
        let first = sorted(streamed.map(|response| response.first_byte));
        let means = seen.get(&address).and_then(|seen| seen.means());
        let [waiting, running, kv_usage] = match means {
            Some([waiting, running, kv_usage]) => [
                format!("{waiting:.1}"),
                format!("{running:.1}"),
                format!("{:.0}%", 100.0 * kv_usage),
            ],
            // Without an agent nobody looks.
            None => ["-", "-", "-"].map(str::to_owned),
        };
        println!(
            "  {:<17} {:>5} {share:>6.1}% {waiting:>7} {running:>8} {kv_usage:>6}   {:>8} {:>8}   {:>8} {:>8}",
            address.to_string(),
            fleet.speed(number),
            quantile(&totals, 0.5),
            quantile(&totals, 0.9),
            quantile(&first, 0.5),
            quantile(&first, 0.9),
        );
    }
}

/// Prints why the filter picked what it picked.
pub(super) fn reasons(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) {
    let counts: Vec<(&str, u64)> = after
        .iter()
        .filter_map(|(name, count)| {
            let reason = label_of(name, "reason")?;
            let count = count - before.get(name).copied().unwrap_or(0);
            (count > 0).then_some((reason, count))
        })
        .collect();
    let total = counts.iter().map(|(_, count)| count).sum::<u64>().max(1);
    let shares = counts
        .iter()
        .map(|(reason, count)| format!("{reason} {:.0} %", 100.0 * *count as f64 / total as f64));
    println!(
        "  reasons of the picks: {}",
        shares.collect::<Vec<_>>().join(", ")
    );
}

/// Prints how many were sent and which failed; whether none did.
pub(super) fn verdict(report: &LoadReport) -> bool {
    let failures = report.failures();
    println!(
        "  {} requests, {} failed, p50 {:.0} ms, p90 {:.0} ms",
        report.sent(),
        failures.len(),
        report.latency(0.5).as_secs_f64() * 1_000.0,
        report.latency(0.9).as_secs_f64() * 1_000.0
    );
    for failure in failures.iter().take(5) {
        println!("    {failure}");
    }
    failures.is_empty()
}

fn sorted(durations: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut all: Vec<Duration> = durations.collect();
    all.sort_unstable();
    all
}

fn quantile(sorted: &[Duration], share: f64) -> String {
    let at = (sorted.len() as f64 * share) as usize;
    match sorted.get(at.min(sorted.len().saturating_sub(1))) {
        Some(duration) => format!("{} ms", duration.as_millis()),
        None => "-".to_owned(),
    }
}
