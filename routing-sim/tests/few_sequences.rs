//! Overload of engines that run few requests at once: the critical hardly notice the sheddable.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

use std::{sync::Arc, time::Duration};

use admission::AdmissionConfig;
use model_sim::engine::{EngineConfig, SimTime};
use picker::{Priority, RequestFacts};
use routing_sim::{
    AdmissionUnderTest, Outcome, Scenario, Status, simulate,
    workload::{Arrival, ConversationId, Workload},
};

/// Requests a second that two engines of eight serve.
const CAPACITY: f64 = 22.0;

/// Requests of two kinds at steady rates.
struct Steady {
    rates: [(i32, f64); 2],
    sent: [u64; 2],
}

impl Steady {
    fn at(&self, kind: usize) -> SimTime {
        let seconds = (self.sent[kind] as f64 + 0.5 * kind as f64) / self.rates[kind].1;
        SimTime::ZERO + Duration::from_secs_f64(seconds.min(1e6))
    }
}

impl Workload for Steady {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let kind = usize::from(self.at(1) < self.at(0));
        let (at, priority) = (self.at(kind), self.rates[kind].0);
        self.sent[kind] += 1;
        let number = 2 * self.sent[kind] + kind as u64;
        Some(Arrival {
            at,
            conversation: ConversationId(number),
            prompt_tokens: 100,
            output_tokens: 16,
            block_hashes: Arc::from([]),
            facts: RequestFacts {
                priority: Priority(priority),
                prompt_bytes: 400,
                stream: true,
                ..RequestFacts::default()
            },
            lora: None,
            priority,
        })
    }

    fn on_ended(&mut self, _: ConversationId, _: bool, _: SimTime) -> Option<Arrival> {
        None
    }
}

fn run(sheddable: f64, workers: usize, scraped_ms: u64) -> Outcome {
    let engine = EngineConfig {
        step_base_seconds: 0.04,
        max_num_seqs: 8,
        token_budget: 512,
        ..EngineConfig::default()
    };
    let scenario = Scenario {
        endpoints: vec![engine; 2],
        workers,
        scrape_interval: Duration::from_millis(scraped_ms),
        admission: AdmissionUnderTest::Ours(AdmissionConfig::default()),
        warm_up: Duration::from_secs(10),
        duration: Duration::from_secs(90),
        ..Scenario::default()
    };
    let critical = CAPACITY * 1.5 / 2.0;
    let mut workload = Steady {
        rates: [(10, critical), (-1, sheddable)],
        sent: [0; 2],
    };
    simulate(&scenario, &mut workload)
}

/// The times to first token of a priority, sorted, and how many were not served.
fn times(outcome: &Outcome, priority: i32) -> (Vec<f64>, usize) {
    let of: Vec<_> = outcome
        .requests
        .iter()
        .filter(|request| request.priority == priority)
        .collect();
    let served = of
        .iter()
        .filter(|request| request.status == Status::Finished);
    let mut times: Vec<f64> = served.map(|request| request.ttft).collect();
    times.sort_by(f64::total_cmp);
    let lost = of.len() - times.len();
    (times, lost)
}

fn share(times: &[f64], share: f64) -> f64 {
    times[(times.len() as f64 * share) as usize]
}

#[test]
fn critical_requests_hardly_notice_that_the_pool_is_overloaded() {
    for (workers, scraped_ms) in [(1, 50), (2, 50), (4, 50), (1, 200), (2, 200), (4, 200)] {
        let (alone, _) = times(&run(1e-6, workers, scraped_ms), 10);
        let both = run(CAPACITY * 1.5 / 2.0, workers, scraped_ms);
        let (critical, lost) = times(&both, 10);
        let (rest, shed) = times(&both, -1);
        println!(
            "{workers} workers, scraped every {scraped_ms} ms: critical TTFT p50 {:.3} p90 {:.3} p99 {:.3} s alone, {:.3} {:.3} {:.3} s; \
             {lost} lost, {} sheddable served, {shed} not",
            share(&alone, 0.5),
            share(&alone, 0.9),
            share(&alone, 0.99),
            share(&critical, 0.5),
            share(&critical, 0.9),
            share(&critical, 0.99),
            rest.len()
        );
        assert_eq!(lost, 0);
        // With signals of every 50 ms the goal is met; with older ones the picker errs more often about
        // which endpoint has a free place.
        let goal = if scraped_ms == 50 { 1.2 } else { 1.5 };
        assert!(share(&critical, 0.9) <= goal * share(&alone, 0.9));
        assert!(rest.len() * 8 > shed + rest.len(), "the rest is for them");
    }
}
