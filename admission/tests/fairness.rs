//! Two tenants who both ask for more than half of what the pool can do get half of it each.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this is a test"
)]

mod world;

use std::collections::VecDeque;

use admission::{Admission, AdmissionConfig, Arrival, Arrived, Effect};
use picker::{Entropy, Millis, Priority, SplitMix64, freshness::Ladder};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;
use world::{Held, Worker, World, id};

/// Endpoints that compute prompts one after the other.
const ENDPOINTS: usize = 4;
const TOKENS_PER_MS: u64 = 10;
const WORKERS: usize = 2;
const SECONDS: u64 = 60;

/// A tenant by requests per second and tokens of each.
#[derive(Clone, Copy)]
struct Tenant {
    rate: u64,
    tokens: u64,
}

struct Request {
    tenant: usize,
    worker: usize,
    tokens: u64,
    done_at: Millis,
}

/// The tokens that each tenant was served in a minute. `told_apart` says whether they have fairness ids.
fn served(tenants: [Tenant; 2], told_apart: bool) -> [u64; 2] {
    let world = World::new(ENDPOINTS);
    let config = AdmissionConfig {
        ttl_ms: 3_000,
        ..AdmissionConfig::default()
    };
    let mut random = SplitMix64::new(5);
    let mut sites: Vec<Worker> = (1..=WORKERS as u64)
        .map(|owner| Worker::new(&world, owner))
        .collect();
    let mut gates: Vec<Admission<Held>> = (1..=WORKERS as u64)
        .map(|owner| Admission::new(config, Ladder::default(), owner))
        .collect();
    let mut queues: [VecDeque<Request>; ENDPOINTS] = Default::default();
    let mut served = [0; 2];
    let mut number = 0;
    let start = world.lock().unwrap().now;
    for millis in 0..SECONDS * 1_000 {
        let now = start.plus(millis);
        world.lock().unwrap().now = now;
        let mut gone = Vec::new();
        // Who is woken first is chance.
        let first = random.below(WORKERS);
        for worker in (0..WORKERS).map(|at| (first + at) % WORKERS) {
            let (site, gate) = (&mut sites[worker], &mut gates[worker]);
            site.tell_time();
            let effects = match millis % 20 {
                0 => gate.tick(site, now),
                _ if site.is_woken() => gate.woken(site, now),
                _ => Vec::new(),
            };
            for effect in effects {
                if let Effect::Dispatch(dispatch) = effect {
                    gone.push((worker, dispatch));
                }
            }
            for (tenant, Tenant { rate, tokens }) in tenants.into_iter().enumerate() {
                if random.unit() >= rate as f64 / 1_000.0 / WORKERS as f64 {
                    continue;
                }
                number += 1;
                let arrival = Arrival {
                    priority: Priority(0),
                    flow: if told_apart { tenant as u64 + 1 } else { 0 },
                    tokens: tokens as u32,
                    ..Arrival::default()
                };
                site.refresh();
                let held = Held::new(number * 2 + tenant as u64, tokens);
                if let Arrived::Go(dispatch) = gate.arrive(site, now, &arrival, held) {
                    gone.push((worker, dispatch));
                }
            }
        }
        for (worker, dispatch) in gone {
            let tokens = u64::from(dispatch.decision.estimate().prompt_tokens);
            let at = (0..ENDPOINTS)
                .find(|at| id(*at) == dispatch.endpoint)
                .unwrap();
            let begins = queues[at].back().map_or(now, |last| last.done_at);
            queues[at].push_back(Request {
                tenant: (dispatch.held.number % 2) as usize,
                worker,
                tokens,
                done_at: begins.plus(tokens / TOKENS_PER_MS),
            });
        }
        for (at, queue) in queues.iter_mut().enumerate() {
            while queue.front().is_some_and(|request| request.done_at <= now) {
                let request = queue.pop_front().unwrap();
                served[request.tenant] += request.tokens;
                let site = &mut sites[request.worker];
                site.ended(id(at), request.tokens as u32, true);
                gates[request.worker].freed(site, now);
            }
        }
    }
    served
}

/// 1 when all get the same, 1/n when one gets everything.
fn jain(served: [u64; 2]) -> f64 {
    let [a, b] = served.map(|tokens| tokens as f64);
    (a + b).powi(2) / (2.0 * (a * a + b * b))
}

#[test]
fn twenty_times_the_requests_get_no_more_than_ten_times_the_prompt() {
    // 400,000 tokens a second against 40,000, where 40,000 can be served.
    let tenants = [
        Tenant {
            rate: 400,
            tokens: 200,
        },
        Tenant {
            rate: 20,
            tokens: 2_000,
        },
    ];
    let fair = served(tenants, true);
    println!("served {fair:?} tokens, Jain index {:.4}", jain(fair));
    assert!(jain(fair) >= 0.95, "{fair:?}");
    let total: u64 = fair.iter().sum();
    let capacity = ENDPOINTS as u64 * TOKENS_PER_MS * 1_000 * SECONDS;
    assert!(total * 100 > capacity * 95, "{total} of {capacity} tokens");
    // Without fairness ids whoever asks for more gets more.
    let unfair = served(tenants, false);
    assert!(jain(unfair) < 0.95, "{unfair:?}");
}

#[test]
fn neither_twenty_times_the_requests_nor_ten_times_the_prompt_pays_alone() {
    let modest = Tenant {
        rate: 150,
        tokens: 200,
    };
    let many = Tenant {
        rate: 900,
        ..modest
    };
    let long = Tenant {
        rate: 150,
        tokens: 2_000,
    };
    for other in [many, long] {
        let fair = served([modest, other], true);
        assert!(jain(fair) >= 0.95, "{fair:?}");
    }
}
