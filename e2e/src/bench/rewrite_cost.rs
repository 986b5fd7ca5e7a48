//! CPU that the rewriting of a model adds to a request: the same filter with a policy whose rule
//! changes the name, beside one whose rule leaves it. The bodies have the model at their end, where it
//! costs most, and the answers say it, so that it is put back.
//!
//! Rounds alternate between the two Envoys, and the figure is the median of the differences. One process may
//! be 30 us a request quicker than another of the same configuration for as long as it lives, so every few
//! rounds both are started anew.

use std::{net::SocketAddr, time::Duration};

use pool_state::policy::{ModelRule, Policy, PolicyParts, Target};

use super::{
    body,
    figures::Figure,
    filter_cost::{median, quiet},
    upstream::Upstream,
    wire,
};
use crate::rig::{Envoy, FakeAgent, RigError, base_config, eventually, proc};

const UPSTREAMS: usize = 4;
const CONNECTIONS: usize = 16;
/// Pairs of Envoys that share the rounds.
const PAIRS: usize = 5;
const VARIANTS: usize = 64;
const TARGET: &str = "tiny-canary";

/// One size of request.
struct Case {
    id: &'static str,
    body_bytes: usize,
    requests: usize,
    goal: f64,
}

const CASES: [Case; 2] = [
    Case {
        id: "20k",
        body_bytes: 20_000,
        requests: 1_600,
        goal: 20.0,
    },
    Case {
        id: "400k",
        body_bytes: 400_000,
        requests: 240,
        goal: 250.0,
    },
];

/// What a request took in either Envoy, in microseconds of CPU.
struct Round {
    pass: f64,
    rewrite: f64,
}

/// Runs the bench with about `rounds` rounds per case.
///
/// # Errors
/// When something does not start, a request fails or no model is rewritten.
pub async fn run(rounds: usize) -> Result<Vec<Figure>, RigError> {
    let mut upstreams = Vec::new();
    for _ in 0..UPSTREAMS {
        upstreams.push(Upstream::start().await?);
    }
    let members: Vec<_> = upstreams.iter().map(Upstream::address).collect();
    let rounds = rounds.div_ceil(PAIRS);
    let mut results: [Vec<Round>; CASES.len()] = Default::default();
    for _ in 0..PAIRS {
        compare(&members, rounds, &mut results).await?;
    }
    println!(
        "CPU of the Envoy process per request, medians of {rounds} rounds with each of {PAIRS} pairs of Envoys, us\n\n\
         {:<6} {:>8} {:>10} {:>10}",
        "", "pass", "rewrite", "added"
    );
    let mut figures = Vec::new();
    for (case, results) in CASES.iter().zip(&results) {
        let of = |figure: fn(&Round) -> f64| median(results.iter().map(figure).collect());
        let added = of(|round| round.rewrite - round.pass);
        println!(
            "{:<6} {:>8.1} {:>10.1} {added:>+10.1}",
            case.id,
            of(|round| round.pass),
            of(|round| round.rewrite)
        );
        let id = format!("policy.rewrite_us.{}", case.id);
        figures.push(Figure::new(id, added, "us", Some(case.goal)));
    }
    Ok(figures)
}

/// Starts a pair of Envoys and runs so many rounds of every case.
async fn compare(
    members: &[SocketAddr],
    rounds: usize,
    results: &mut [Vec<Round>; CASES.len()],
) -> Result<(), RigError> {
    let (pass, _agent) = gateway(members, &[]).await?;
    let target = Target::new(TARGET, None);
    let (rewrite, _other) = gateway(members, &[target]).await?;
    for (case, results) in CASES.iter().zip(results) {
        let bodies = (0..VARIANTS).map(|variant| body::chat(case.body_bytes, variant));
        let requests = wire::requests(bodies);
        let measure = async |envoy: &Envoy| {
            let before = proc::cpu_nanos(envoy.process().id())?;
            wire::closed_loop(envoy.address(), CONNECTIONS, case.requests, &requests).await?;
            let nanos = proc::cpu_nanos(envoy.process().id())?.saturating_sub(before);
            Ok::<_, RigError>(nanos as f64 / 1_000.0 / case.requests as f64)
        };
        // The first round only warms up.
        for number in 0..=rounds {
            let round = if number % 2 == 0 {
                let pass = measure(&pass).await?;
                let rewrite = measure(&rewrite).await?;
                Round { pass, rewrite }
            } else {
                let rewrite = measure(&rewrite).await?;
                let pass = measure(&pass).await?;
                Round { pass, rewrite }
            };
            if number > 0 {
                results.push(round);
            }
        }
    }
    let rewritten = rewrite.admin().stats("event=.=rewritten").await?;
    let expected: usize = CASES.iter().map(|case| case.requests * rounds).sum();
    if rewritten.values().sum::<u64>() < expected as u64 {
        let problem = format!("only {rewritten:?} of {expected} requests were rewritten");
        return Err(rewrite.process().failure(problem));
    }
    Ok(())
}

/// An Envoy whose policy says this of the model, and the agent that says so.
async fn gateway(
    members: &[SocketAddr],
    targets: &[Target],
) -> Result<(Envoy, FakeAgent), RigError> {
    let agent = FakeAgent::start(1).await?;
    agent.see(
        &members
            .iter()
            .map(|member| (*member, 0.0))
            .collect::<Vec<_>>(),
    );
    let rule = ModelRule {
        model: Some("tiny".to_owned()),
        source: "bench".to_owned(),
        priority: None,
        targets: targets.to_vec(),
    };
    let parts = PolicyParts {
        pool: "default".to_owned(),
        rules: vec![rule],
        fail_open: true,
        ..PolicyParts::default()
    };
    agent.decide(&Policy::new(parts).into_iter().collect::<Vec<_>>());
    let envoy = Envoy::start(quiet(base_config(members, agent.address())?)?, 1).await?;
    let admin = envoy.admin();
    eventually(
        "the policy was taken",
        Duration::from_secs(5),
        || async move {
            let stats = admin.stats("policy_taken").await.unwrap_or_default();
            stats.values().sum::<u64>() > 0
        },
    )
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok((envoy, agent))
}
