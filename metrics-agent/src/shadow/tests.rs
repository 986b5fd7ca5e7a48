use std::collections::BTreeMap;

use super::{compared::add, *};

fn page(pool: &str, families: &[(&str, &str, u64)]) -> String {
    let line = |(family, result, value): &(&str, &str, u64)| {
        format!("wasmcustom.pool=.={pool};.;result=.={result};.;zerohop_shadow_{family}: {value}\n")
    };
    families.iter().map(line).collect()
}

const PREDICTED: &str = "predicted_ttft_milliseconds_total";
const MEASURED: &str = "measured_ttft_milliseconds_total";

#[test]
fn pools_of_several_envoys_are_added_up_and_the_prediction_is_corrected() {
    let one = page(
        "chat",
        &[
            ("total", "agree", 600),
            ("total", "differ", 390),
            ("total", "unknown", 10),
            (PREDICTED, "agree", 10_000),
            (MEASURED, "agree", 12_000),
            (PREDICTED, "differ", 5_000),
            (MEASURED, "differ", 9_000),
        ],
    );
    let two = page(
        "chat",
        &[("total", "agree", 1_000), (MEASURED, "differ", 1_000)],
    );
    let mut pools = BTreeMap::new();
    assert!(add(&mut pools, &one));
    assert!(add(&mut pools, &two));
    assert_eq!(pools["chat"].agree.requests, 1_600);
    assert_eq!(
        text(&pools),
        "\
pool chat: 2000 requests compared since the Envoys started
  served where we would have sent them            1600    80.0 %
  served elsewhere                                 390    19.5 %
  served by nobody, or nobody knows                 10     0.5 %
  first tokens of the streams served elsewhere, all waits added up
    measured there                                10.0 s
    expected at our choice                         6.0 s  40.0 % less
    (predictions times 1.20, as measured where both agree)

"
    );
}

#[test]
fn what_is_not_known_is_said() {
    let mut pools = BTreeMap::new();
    add(&mut pools, &page("p", &[("total", "agree", 0)]));
    let report = text(&pools);
    assert!(report.contains("p: 0 requests"), "{report}");
    assert!(
        report.contains("nothing is known of first tokens"),
        "{report}"
    );
    assert!(report.contains("fewer than 1000 requests"), "{report}");
    let streams = [
        ("total", "differ", 2_000),
        (PREDICTED, "differ", 3_000),
        (MEASURED, "differ", 2_000),
    ];
    add(&mut pools, &page("p", &streams));
    let report = text(&pools);
    assert!(report.contains("3.0 s  50.0 % more"), "{report}");
    assert!(report.contains("predictions as they are"), "{report}");
    assert!(!report.contains("fewer than"), "{report}");
}

#[test]
fn foreign_lines_are_passed_over_and_names_command_no_terminal() {
    let mut pools = BTreeMap::new();
    for line in [
        "",
        "no stats matched",
        "cluster.zerohop_shadow.upstream_rq_total: 7",
        "wasmcustom.pool=.=p;.;result=.=agree;.;zerohop_shadow_total: many",
        "wasmcustom.pool=.=p;.;result=.=maybe;.;zerohop_shadow_total: 7",
        "wasmcustom.pool=.=p;.;result=.=agree;.;zerohop_shadow_other: 7",
    ] {
        assert!(!add(&mut pools, line), "{line}");
    }
    let most = page(
        "p\u{1b}[2J",
        &[("total", "agree", u64::MAX), ("total", "differ", 1)],
    );
    assert!(add(&mut pools, &most));
    let report = text(&pools);
    assert!(!report.contains('\u{1b}'), "{report}");
}
