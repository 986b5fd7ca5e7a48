//! What must hold of every simulation.

use std::time::Duration;

use picker::policy::PolicyName;
use routing_sim::{
    EngineConfig, Outcome, PodEvent, PodEventKind, PolicyUnderTest, Scenario, Status, simulate,
    workload::WorkloadName,
};

const RATE: f64 = 100.0;

/// Four pods, 12 s of arrivals, of which 6 s are measured.
fn small(policy: PolicyUnderTest) -> Scenario {
    Scenario {
        policy,
        endpoints: vec![EngineConfig::default(); 4],
        warm_up: Duration::from_secs(4),
        duration: Duration::from_secs(6),
        cool_down: Duration::from_secs(2),
        ..Scenario::default()
    }
}

fn run(scenario: &Scenario, workload: WorkloadName, rate: f64) -> Outcome {
    simulate(scenario, workload.requests(3, rate).as_mut())
}

fn policies() -> impl Iterator<Item = PolicyUnderTest> {
    let names = PolicyName::ALL.map(PolicyUnderTest::Picker);
    names.into_iter().chain([PolicyUnderTest::Oracle])
}

const fn named(name: PolicyName) -> PolicyUnderTest {
    PolicyUnderTest::Picker(name)
}

fn failure(pod: usize, fails: u64, returns: u64) -> [PodEvent; 2] {
    let event = |at, kind| PodEvent {
        at: Duration::from_secs(at),
        pod,
        kind,
    };
    [
        event(fails, PodEventKind::Fails),
        event(returns, PodEventKind::Returns),
    ]
}

/// Every arrival ended once, and nobody counts anything any more.
fn assert_conserved(outcome: &Outcome, what: &str) {
    assert_eq!(
        outcome.arrived,
        outcome.finished + outcome.refused + outcome.failed,
        "{what}"
    );
    assert_eq!(outcome.picks, outcome.arrived, "{what}");
    assert_eq!(outcome.left_in_ledgers, 0, "{what}");
    let by_pods: u64 = outcome.pods.iter().map(|pod| pod.finished).sum();
    assert_eq!(by_pods, outcome.finished, "{what}");
}

#[test]
fn equal_seeds_give_bit_identical_outcomes_and_other_seeds_others() {
    let scenario = Scenario {
        gateways: 2,
        workers: 3,
        streamed: false,
        events: failure(1, 5, 8).to_vec(),
        ..small(named(PolicyName::Scored))
    };
    let one = run(&scenario, WorkloadName::W2, 60.0);
    assert!(one.finished > 500, "{} finished", one.finished);
    // Not assert_eq: thousands of records help nobody.
    assert!(one == run(&scenario, WorkloadName::W2, 60.0));
    let other = Scenario {
        seed: 2,
        ..scenario.clone()
    };
    assert!(one != run(&other, WorkloadName::W2, 60.0));
}

#[test]
fn every_request_ends_once_under_every_policy() {
    for policy in policies() {
        for workload in [WorkloadName::W1, WorkloadName::W2s, WorkloadName::W4] {
            let mut scenario = small(policy);
            workload.prepare(&mut scenario);
            let outcome = run(&scenario, workload, 60.0);
            let what = format!("{} on {}", policy.as_str(), workload.as_str());
            assert_conserved(&outcome, &what);
            assert_eq!(outcome.failed, 0, "{what}");
            assert!(outcome.requests.len() > 200, "{what}");
        }
    }
}

#[test]
fn overload_is_served_in_the_end() {
    let outcome = run(
        &small(named(PolicyName::LeastInFlight)),
        WorkloadName::W1,
        400.0,
    );
    assert_conserved(&outcome, "overload");
    assert_eq!(outcome.finished, outcome.arrived);
    assert!(outcome.ttft_p90() > 2.0, "{}", outcome.ttft_p90());
    assert!(outcome.goodput() < 0.5, "{}", outcome.goodput());
}

#[test]
fn many_gateways_and_workers_route_to_the_same_pods() {
    for policy in [named(PolicyName::Scored), named(PolicyName::LeastInFlight)] {
        let scenario = Scenario {
            gateways: 3,
            workers: 4,
            ..small(policy)
        };
        let outcome = run(&scenario, WorkloadName::W1, RATE);
        assert_conserved(&outcome, policy.as_str());
        assert_eq!(outcome.finished, outcome.arrived);
        for pod in &outcome.pods {
            let share = pod.finished as f64 / outcome.finished as f64;
            assert!((0.2..0.3).contains(&share), "{}: {share}", policy.as_str());
        }
    }
}

#[test]
fn a_failing_pod_loses_nothing_that_had_not_begun() {
    for streamed in [true, false] {
        let scenario = Scenario {
            streamed,
            events: failure(2, 6, 9).to_vec(),
            ..small(named(PolicyName::Scored))
        };
        let outcome = run(&scenario, WorkloadName::W1, RATE);
        assert_conserved(&outcome, "a failing pod");
        let moved = outcome
            .requests
            .iter()
            .filter(|request| request.retries > 0);
        assert!(moved.count() > 5, "streamed: {streamed}");
        // Streamed answers that had begun cannot be tried again; all others are.
        if streamed {
            assert!((1..100).contains(&outcome.failed), "{}", outcome.failed);
        } else {
            assert_eq!(outcome.failed, 0);
        }
        let after = outcome.requests.iter().filter(|request| {
            request.arrived_at.as_seconds() > 9.5 && request.status == Status::Finished
        });
        let returned = after.filter(|request| request.pod == Some(2)).count();
        assert!(returned > 0, "the pod that came back is used again");
    }
}

#[test]
fn a_pod_that_is_away_is_soon_left_alone() {
    let scenario = Scenario {
        events: failure(0, 2, 100).to_vec(),
        ..small(named(PolicyName::Scored))
    };
    let outcome = run(&scenario, WorkloadName::W1, RATE);
    assert!(outcome.requests.iter().all(|request| request.retries == 0));
    let nowhere = Scenario {
        agent_alive: false,
        ..scenario
    };
    let outcome = run(&nowhere, WorkloadName::W1, RATE);
    let retried = outcome
        .requests
        .iter()
        .filter(|request| request.retries > 0);
    let retried = retried.count();
    // Without the agent the breaker finds out, and tries again now and then.
    assert!((1..60).contains(&retried), "{retried}");
    assert_eq!(outcome.finished + outcome.failed, outcome.arrived);
}

#[test]
fn what_a_dead_agent_told_of_adapters_still_counts() {
    let ttft = |agent_alive, agent_dies_at| {
        let scenario = Scenario {
            agent_alive,
            agent_dies_at,
            adapters: 15,
            warm_up: Duration::from_secs(15),
            ..small(named(PolicyName::Cost))
        };
        run(&scenario, WorkloadName::W4, RATE).ttft_p90()
    };
    let alive = ttft(true, None);
    let dead = ttft(true, Some(Duration::from_secs(5)));
    let never = ttft(false, None);
    assert!(dead < 2.0 * alive, "{dead} s, {alive} s with an agent");
    assert!(dead < 0.5 * never, "{dead} s, {never} s without one ever");
}

#[test]
fn the_oracle_is_hard_to_beat_on_plain_chat() {
    let load = 0.9 * 332.0 * 0.4;
    let seconds = |policy| {
        let scenario = Scenario {
            duration: Duration::from_secs(15),
            warm_up: Duration::from_secs(15),
            ..small(policy)
        };
        run(&scenario, WorkloadName::W1, load)
    };
    let oracle = seconds(PolicyUnderTest::Oracle);
    for policy in policies() {
        let outcome = seconds(policy);
        assert!(
            oracle.ttft_p90() <= 1.1 * outcome.ttft_p90(),
            "{}: {} s, oracle {} s",
            policy.as_str(),
            outcome.ttft_p90(),
            oracle.ttft_p90()
        );
        let (own, best) = (outcome.mean(|r| r.e2e), oracle.mean(|r| r.e2e));
        assert!(
            best <= 1.02 * own,
            "{}: {own} s, oracle {best} s",
            policy.as_str()
        );
    }
}

#[test]
fn engines_find_repeated_prefixes_and_affinity_makes_them_find_more() {
    let hits = |policy| run(&small(policy), WorkloadName::W2s, 25.0).hit_ratio();
    let (affine, blind) = (
        hits(named(PolicyName::Scored)),
        hits(named(PolicyName::RoundRobin)),
    );
    assert!(blind > 0.05, "{blind}");
    assert!(affine > 1.1 * blind, "{affine} against {blind}");
}

#[test]
fn adapters_must_be_looked_for() {
    let p90 = |policy| {
        let mut scenario = Scenario {
            endpoints: vec![EngineConfig::default(); 10],
            ..small(policy)
        };
        WorkloadName::W4.prepare(&mut scenario);
        run(&scenario, WorkloadName::W4, 220.0).ttft_p90()
    };
    let affine = p90(named(PolicyName::Scored));
    let blind = p90(named(PolicyName::RoundRobin));
    assert!(2.0 * affine < blind, "{affine} s against {blind} s");
}

#[test]
fn old_signals_make_those_who_trust_them_herd() {
    let p90 = |milliseconds| {
        let scenario = Scenario {
            scrape_interval: Duration::from_millis(milliseconds),
            endpoints: vec![EngineConfig::default(); 10],
            ..small(named(PolicyName::Blend))
        };
        run(&scenario, WorkloadName::W1, 290.0).ttft_p90()
    };
    let (fresh, old) = (p90(20), p90(1_000));
    assert!(old > 2.0 * fresh, "{old} s against {fresh} s");
}

#[test]
fn gateways_that_see_whole_conversations_find_more_of_them_cached() {
    let hits = |conversations_stay| {
        let scenario = Scenario {
            gateways: 8,
            conversations_stay,
            ..small(named(PolicyName::Scored))
        };
        run(&scenario, WorkloadName::W2, 30.0).hit_ratio()
    };
    let (whole, parts) = (hits(true), hits(false));
    assert!(whole > 1.1 * parts, "{whole} against {parts}");
}
