//! From an engine's pages to the gateways: what a step costs there, and how long its answers are.

#![allow(missing_docs, reason = "a test has no interface")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::time::Duration;

use metrics_agent::{
    index::{Attempt, Observation, TargetId},
    scrape::{Dialect, Watch, WatchConfig, exposition::PageLimits},
};
use model_sim::engine::{Engine, EngineConfig, Request, SimTime};
use picker::{Health, Millis, Signals, StepModel};
use pool_state::{PoolMirror, proto::agent_message::Message};
use support::{Rig, soon};

const INTERVAL: Duration = Duration::from_millis(200);

/// A simulated vLLM under load in simulated time, and what the agent makes of its pages.
struct Scraped {
    engine: Engine,
    now: SimTime,
    arrivals: u32,
    dialect: Dialect,
    watch: Watch,
}

impl Scraped {
    fn new(speed: f64) -> Self {
        let config = EngineConfig {
            speed,
            ..EngineConfig::default()
        };
        Self {
            engine: Engine::new(config),
            now: SimTime::ZERO,
            arrivals: 0,
            dialect: Dialect::builtin("auto").unwrap(),
            watch: Watch::new(WatchConfig::default()),
        }
    }

    /// Twenty requests a second and a scrape every 200 ms.
    fn live(&mut self, scrapes: u32) {
        for _ in 0..scrapes {
            for _ in 0..4 {
                let request = Request {
                    prompt_tokens: 100 + self.arrivals % 300,
                    output_tokens: 150,
                    ..Request::default()
                };
                self.arrivals += 1;
                self.engine.submit(request, self.now);
                for _ in self.engine.advance(self.now) {}
                self.now = self.now + INTERVAL / 4;
            }
            let page = self.page();
            let scraped = self.dialect.read(page.as_bytes(), PageLimits::default());
            assert!(scraped.problems.is_clean(), "{:?}", scraped.problems);
            let at = self.now.seconds_since(SimTime::ZERO) * 1_000.0;
            self.watch.scraped(&scraped, Millis(1_000 + at as u64));
        }
    }

    /// The lines of vLLM's page that are learned from; their names are those of the captures.
    fn page(&self) -> String {
        let (gauges, counters) = (self.engine.gauges(), self.engine.counters());
        let labels = "engine=\"0\",model_name=\"m\"";
        let samples = [
            ("num_requests_running", f64::from(gauges.running)),
            ("num_requests_waiting", f64::from(gauges.waiting)),
            ("kv_cache_usage_perc", gauges.kv_usage()),
            ("generation_tokens_total", counters.generation_tokens as f64),
            ("prompt_tokens_total", counters.prompt_tokens as f64),
            ("prefix_cache_hits_total", counters.prefix_hits as f64),
            ("request_success_total", counters.finished as f64),
        ];
        let mut page = format!(
            "vllm:cache_config_info{{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"{}\"}} 1.0\n",
            gauges.kv_blocks
        );
        for (name, value) in samples {
            page.push_str(&format!("vllm:{name}{{{labels}}} {value}\n"));
        }
        page
    }

    fn observation(&self, at: Millis) -> Observation {
        let mut signals = self.watch.signals();
        // What the watch learned in simulated time is as old at the hub's clock.
        for taken_at in [
            signals.step_model.as_mut().map(|model| &mut model.taken_at),
            signals
                .mean_output_tokens
                .as_mut()
                .map(|mean| &mut mean.taken_at),
        ] {
            *taken_at.unwrap() = at;
        }
        Observation {
            at,
            attempt: Attempt::Scraped,
            signals,
            health: Health::Ready,
            reason: "scraped".into(),
            life: 1,
            tallies: Default::default(),
        }
    }
}

/// Microseconds of a step with 60 tokens that attends to 20,000.
fn step_us(model: StepModel) -> f32 {
    model.base_us + 60.0 * model.token_us + 20_000.0 * model.kv_token_us
}

/// Ten busy seconds are enough to tell accelerators apart.
#[tokio::test]
async fn a_slow_engine_is_known_as_slow_at_the_gateways() {
    let rig = Rig::start().await;
    rig.members(&[("a", 2)]);
    let at = rig.hub.clock.now();
    for (target, speed) in [(0, 1.0), (1, 0.5)] {
        let mut scraped = Scraped::new(speed);
        scraped.live(52);
        rig.hub.observe(TargetId(target), scraped.observation(at));
    }
    let mut gateway = rig.gateway("gw-1", &["a"]).await;
    let mut mirror = PoolMirror::new("a");
    let message = soon("the pool", gateway.news()).await.unwrap();
    let Message::Snapshot(snapshot) = message else {
        panic!("a snapshot: {message:?}")
    };
    mirror
        .apply_snapshot(snapshot, rig.hub.clock.now())
        .unwrap();
    let endpoints = &mirror.snapshot().unwrap().endpoints;
    let learned = |signals: &Signals| step_us(signals.step_model.unwrap().value);
    let (normal, slow) = (
        learned(&endpoints[0].signals),
        learned(&endpoints[1].signals),
    );
    let truth = step_us(StepModel::default());
    assert!(
        (0.8..1.25).contains(&(normal / truth)),
        "{normal} of {truth}"
    );
    assert!((1.7..2.3).contains(&(slow / normal)), "{slow} and {normal}");
    for endpoint in endpoints {
        let mean = endpoint.signals.mean_output_tokens.unwrap().value;
        assert!((100.0..250.0).contains(&mean), "{mean}");
    }
}

/// A model that is told anew at every scrape would make every scrape a delta.
#[test]
fn steady_load_changes_what_is_told_seldom() {
    let mut scraped = Scraped::new(1.0);
    scraped.live(300);
    let (mut told, mut changes) = (scraped.watch.signals(), 0);
    for _ in 0..300 {
        scraped.live(1);
        let now = scraped.watch.signals();
        let value = |signals: &Signals| signals.step_model.unwrap().value;
        let mean = |signals: &Signals| signals.mean_output_tokens.unwrap().value;
        let same = value(&now) == value(&told) && mean(&now) == mean(&told);
        changes += u32::from(!same);
        told = now;
    }
    assert!(changes <= 6, "{changes} changes in a minute");
}
