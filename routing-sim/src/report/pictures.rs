//! The pictures of the matrix: a small chart for every workload.

use super::{
    matrix::Matrix,
    plot::{Panel, Series, Sheet},
    policies::{BLEND, COST, GIE_V03, ORACLE, ROUND_ROBIN},
    runner::Results,
    scores::Metric,
    seed::FOOTNOTE,
};
use crate::{PolicyUnderTest, workload::WorkloadName};
use picker::policy::PolicyName;

/// The lines: more could not be told apart.
const POLICIES: [PolicyUnderTest; 7] = [
    COST,
    ORACLE,
    ROUND_ROBIN,
    GIE_V03,
    BLEND,
    PolicyUnderTest::Picker(PolicyName::Sticky),
    PolicyUnderTest::Picker(PolicyName::Higress),
];

/// The p90 time to the first token over the load, a chart for each workload.
pub fn first_token(matrix: &Matrix, results: &Results) -> Sheet {
    let panels = matrix.workloads.iter().map(|workload| Panel {
        logarithmic: true,
        // What is beyond has collapsed; the rest of the chart would be flat.
        ceiling: Some(10.0),
        y: "p90 TTFT (s)".to_owned(),
        ..panel(matrix, results, *workload, Metric::TtftP90)
    });
    sheet("p90 time to the first token", panels.collect())
}

/// The prefix hits over the load, for the workloads in which prompts share anything.
pub fn hits(matrix: &Matrix, results: &Results) -> Sheet {
    let shares =
        |workload: &&WorkloadName| matches!(workload, WorkloadName::W2 | WorkloadName::W2s);
    let panels = matrix
        .workloads
        .iter()
        .filter(shares)
        .map(|workload| Panel {
            y: "share of prompt tokens".to_owned(),
            ..panel(matrix, results, *workload, Metric::Hit)
        });
    sheet("Prompt tokens found in prefix caches", panels.collect())
}

fn sheet(title: &str, panels: Vec<Panel>) -> Sheet {
    Sheet {
        title: format!("{title}, 10 pods (simulated)"),
        footnote: FOOTNOTE.to_owned(),
        columns: 3,
        panel_size: (250.0, 170.0),
        panels,
    }
}

fn panel(matrix: &Matrix, results: &Results, workload: WorkloadName, metric: Metric) -> Panel {
    let series = POLICIES.iter().map(|policy| Series {
        name: policy.as_str().to_owned(),
        points: matrix.points(results, workload, *policy, metric),
    });
    Panel {
        title: workload.title().to_owned(),
        x: "load, as a share of capacity".to_owned(),
        y: String::new(),
        logarithmic: false,
        ceiling: None,
        series: series.collect(),
    }
}
