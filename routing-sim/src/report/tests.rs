//! The benchmark as a whole: the same ids for ever, the same results on any number of threads.

use super::{
    bench::Bench,
    experiment::Seconds,
    matrix::Matrix,
    policies::{BLEND, COST, ORACLE, ROUND_ROBIN},
    robustness::Robustness,
    runner::Runner,
    seed::SeedBenchmark,
};
use crate::{profile::Profile, workload::WorkloadName};

fn bench() -> Bench {
    Bench {
        matrices: vec![Matrix {
            profile: Profile::Llama2,
            policies: vec![ROUND_ROBIN, BLEND, COST, ORACLE],
            workloads: vec![WorkloadName::W1, WorkloadName::W2],
            loads: vec![90],
        }],
        robustness: Some(Robustness {
            workloads: vec![WorkloadName::W1],
        }),
        seed: Some(SeedBenchmark { qps: vec![100] }),
        ..Bench::default()
    }
}

fn runner(threads: usize) -> Runner {
    Runner {
        seeds: vec![11],
        seconds: Seconds {
            warm_up: 0,
            measured: 1,
        },
        threads,
    }
}

#[test]
fn ids_are_the_same_for_ever_and_results_the_same_on_any_number_of_threads() {
    let report = bench().run(&runner(1));
    let mut ids: Vec<&str> = report
        .figures
        .iter()
        .map(|figure| figure.id.as_str())
        .collect();
    for id in [
        "routing.w1.cost.ttft_p90@0.9",
        "routing.w2.oracle.hit@0.9",
        "routing.w1.rr.goodput@0.9",
        "routing.w1.blend.e2e_p90@0.9",
        "routing.w1.cost_over_oracle.ttft_p90@0.9",
        "routing.w1.cost_over_scraped.ttft_p90@0.9",
        "routing.w2.cost_over_oracle.hit@0.9",
        "routing.w2.cost_against_best.ntpot_p90@0.9",
        "routing.w1.cost_1s_over_50ms.ttft_p90@0.9",
        "routing.w1.cost_8gateways_over_1.ttft_p90@0.9",
        "routing.w1.cost_no_agent_over_50ms.ttft_p90@0.9",
        "routing.seed.gie-v0.3.throughput@100qps",
    ] {
        assert!(ids.contains(&id), "{id} is missing of {ids:?}");
    }
    let again = bench().run(&runner(3));
    assert_eq!(report.figures, again.figures);
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "a name is used twice");
    let goals = report.figures.iter();
    let goals = goals.filter(|figure| figure.goal.is_some()).count();
    let listed = report.measures.iter().map(|measure| measure.figures.len());
    assert_eq!(goals, listed.sum::<usize>(), "every goal is on the list");
    let text = report.to_text();
    assert!(
        text.contains("measure") && text.contains("W2: multi-turn chat"),
        "{text}"
    );
}
