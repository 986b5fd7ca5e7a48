//! Our reader against Prometheus' Python client library, which
//! `scripts/exposition-differential.sh` installs: every sample of every captured page must be the
//! same, name, labels and all bits of the value.

#![allow(missing_docs, reason = "a test has no interface")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod scrape_support;

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use scrape_support::{ComparableSample, captures, every_sample};

fn read_by_prometheus_client() -> BTreeMap<String, Vec<ComparableSample>> {
    let script = format!(
        "{}/../scripts/exposition-differential.sh",
        env!("CARGO_MANIFEST_DIR")
    );
    let output = Command::new(&script)
        .args(captures().values())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed: {complaint}");

    let mut pages: BTreeMap<String, Vec<ComparableSample>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (page, name, labels, bits) = serde_json::from_str(line).unwrap();
        pages
            .entry(page)
            .or_default()
            .push(ComparableSample { name, labels, bits });
    }
    pages
}

#[test]
fn every_sample_of_every_capture_is_read_as_prometheus_client_reads_it() {
    let theirs = read_by_prometheus_client();
    let (mut compared, mut differences) = (0usize, Vec::new());
    for (name, path) in captures() {
        let (mut ours, bad) = every_sample(&std::fs::read(path).unwrap());
        assert!(bad.is_empty(), "{name}: {bad:?}");
        let mut theirs = theirs.get(&name).cloned().unwrap_or_default();
        assert!(ours.len() >= 30, "{name} has only {} samples", ours.len());
        // They group samples by family; the order of a page means nothing.
        ours.sort();
        theirs.sort();
        compared += ours.len();
        differences.extend(
            ours.iter()
                .filter(|one| !theirs.contains(one))
                .map(|one| format!("{name}: only we read {one:?}")),
        );
        differences.extend(
            theirs
                .iter()
                .filter(|one| !ours.contains(one))
                .map(|one| format!("{name}: only they read {one:?}")),
        );
        if ours != theirs && differences.is_empty() {
            differences.push(format!(
                "{name}: {} samples and {}",
                ours.len(),
                theirs.len()
            ));
        }
    }
    println!(
        "{compared} samples compared, {} differences",
        differences.len()
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 15_000, "only {compared} samples");
}
