//! What is learned of an engine's speed, and what is not.

use picker::StepModel;
use pool_state::limits;
use proptest::prelude::*;

use super::*;

/// An engine under steady load with these costs, scraped every 200 ms.
struct Engine {
    story: Story,
    costs: StepModel,
    running: f64,
    steps: f64,
    finished: f64,
}

/// Prompt tokens computed in each step.
const PREFILL: f64 = 20.0;
const KV_BLOCKS: u32 = 7_000;

impl Engine {
    fn new(costs: StepModel) -> Self {
        Self {
            story: Story::new(),
            costs,
            running: 30.0,
            steps: 0.0,
            finished: 0.0,
        }
    }

    /// The page after one more interval under load. Half of all prompt tokens are cached.
    fn next_page(&mut self) -> Scraped {
        let kv_tokens = 0.5 * f64::from(KV_BLOCKS) * 16.0;
        let step_us = f64::from(self.costs.base_us)
            + f64::from(self.costs.token_us) * (self.running + PREFILL)
            + f64::from(self.costs.kv_token_us) * kv_tokens;
        let steps = INTERVAL_MS as f64 * 1_000.0 / step_us;
        self.steps += steps;
        self.finished += steps * self.running / 200.0;
        Scraped {
            kv_blocks: Some(KV_BLOCKS),
            kv_block_size: Some(16),
            prompt_tokens_total: Some(2.0 * PREFILL * self.steps),
            cached_prompt_tokens_total: Some(PREFILL * self.steps),
            success_total: Some(self.finished.floor()),
            ..page(self.running as f32, self.running * self.steps)
        }
    }

    fn scrapes(&mut self, count: usize) -> Signals {
        for _ in 0..count {
            let page = self.next_page();
            self.story.scrape(&page);
        }
        self.story.watch.signals()
    }
}

fn scaled(factor: f32) -> StepModel {
    let normal = StepModel::default();
    StepModel {
        base_us: normal.base_us * factor,
        token_us: normal.token_us * factor,
        kv_token_us: normal.kv_token_us * factor,
    }
}

fn step_model(signals: &Signals) -> StepModel {
    signals.step_model.expect("a learned model").value
}

#[test]
fn ten_busy_seconds_teach_how_slow_an_engine_is() {
    for factor in [0.5, 1.0, 2.0] {
        let learned = step_model(&Engine::new(scaled(factor)).scrapes(51));
        let truth = scaled(factor);
        for (learned, truth) in [
            (learned.base_us, truth.base_us),
            (learned.token_us, truth.token_us),
            (learned.kv_token_us, truth.kv_token_us),
        ] {
            assert!(
                (learned / truth - 1.0).abs() < 0.05,
                "{learned} for {truth}"
            );
        }
    }
}

#[test]
fn answers_are_measured_from_tokens_and_finished_requests() {
    let mean = Engine::new(scaled(1.0)).scrapes(200).mean_output_tokens;
    let mean = mean.expect("a mean").value;
    assert!((mean - 200.0).abs() < 10.0, "{mean}");
}

/// A new number every second would be a delta every second.
#[test]
fn what_moves_by_little_is_told_as_it_was() {
    let mut engine = Engine::new(scaled(1.0));
    let first = engine.scrapes(100);
    engine.costs = scaled(1.005);
    let later = engine.scrapes(500);
    assert_eq!(step_model(&first), step_model(&later));
    assert_eq!(
        first.mean_output_tokens.unwrap().value,
        later.mean_output_tokens.unwrap().value
    );
    assert_eq!(later.step_model.unwrap().taken_at, engine.story.now);
    engine.costs = scaled(1.5);
    let slower = step_model(&engine.scrapes(1_000));
    assert!(slower.base_us > 1.3 * scaled(1.0).base_us, "{slower:?}");
}

#[test]
fn only_busy_seconds_teach() {
    let mut engine = Engine::new(scaled(1.0));
    for turn in 0..500 {
        let mut page = engine.next_page();
        if turn % 4 == 0 {
            page.running = Some(0.0);
        }
        engine.story.scrape(&page);
    }
    assert_eq!(
        engine.story.watch.signals().step_model,
        None,
        "idle moments"
    );

    let mut lonely = Engine::new(scaled(1.0));
    lonely.running = 1.0;
    assert_eq!(
        lonely.scrapes(500).step_model,
        None,
        "idle in between, maybe"
    );

    let mut seldom = Engine::new(scaled(1.0));
    for _ in 0..100 {
        let page = seldom.next_page();
        seldom.story.scrape(&page);
        seldom.story.now = seldom.story.now.plus(2_000);
    }
    assert_eq!(
        seldom.story.watch.signals().step_model,
        None,
        "too long pauses"
    );
}

#[test]
fn engines_that_leave_something_out_teach_nothing() {
    type Omission = fn(&mut Scraped);
    let omissions: [(&str, Omission); 5] = [
        ("steps", |page| page.moves_every_step = false),
        ("generated", |page| page.generation_tokens_total = None),
        ("prompts", |page| page.prompt_tokens_total = None),
        ("KV usage", |page| page.kv_usage = None),
        ("KV blocks", |page| page.kv_blocks = None),
    ];
    for (name, omission) in omissions {
        let mut engine = Engine::new(scaled(1.0));
        for _ in 0..200 {
            let mut page = engine.next_page();
            omission(&mut page);
            engine.story.scrape(&page);
        }
        assert_eq!(engine.story.watch.signals().step_model, None, "{name}");
    }
    let mut engine = Engine::new(scaled(1.0));
    for _ in 0..200 {
        let mut page = engine.next_page();
        page.success_total = None;
        engine.story.scrape(&page);
    }
    assert_eq!(engine.story.watch.signals().mean_output_tokens, None);
}

/// Prompts count as computed where no hits are told; hits that come and go teach nothing.
#[test]
fn hits_of_the_prefix_cache_are_not_computed() {
    let learned = |told: fn(usize) -> bool| {
        let mut engine = Engine::new(scaled(1.0));
        for turn in 0..100 {
            let mut page = engine.next_page();
            page.cached_prompt_tokens_total =
                page.cached_prompt_tokens_total.filter(|_| told(turn));
            engine.story.scrape(&page);
        }
        engine.story.watch.signals().step_model
    };
    let with_hits = learned(|_| true).unwrap().value;
    let without = learned(|_| false).unwrap().value;
    assert!(
        without.token_us < with_hits.token_us,
        "{without:?} {with_hits:?}"
    );
    assert_eq!(learned(|turn| turn % 3 == 0), None);
}

#[test]
fn a_restart_forgets_what_was_learned() {
    let mut engine = Engine::new(scaled(1.0));
    assert!(engine.scrapes(100).step_model.is_some());
    let mut reborn = engine.next_page();
    reborn.process_start_time_seconds = Some(1.8e9);
    engine.story.scrape(&reborn);
    let signals = engine.story.watch.signals();
    assert_eq!(signals.step_model, None);
    assert_eq!(signals.mean_output_tokens, None);
}

#[test]
fn what_was_learned_of_a_hung_engine_ages_with_its_signals() {
    let mut engine = Engine::new(scaled(1.0));
    engine.scrapes(100);
    let moved_at = engine.story.now;
    let stuck = engine.next_page();
    for _ in 0..20 {
        engine.story.scrape(&stuck);
    }
    let moved_at = moved_at.plus(INTERVAL_MS);
    let signals = engine.story.watch.signals();
    assert_eq!(signals.step_model.unwrap().taken_at, moved_at);
    assert_eq!(signals.mean_output_tokens.unwrap().taken_at, moved_at);
}

fn count() -> impl Strategy<Value = Option<f64>> {
    const ODD: [f64; 7] = [
        0.0,
        -1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e300,
        f64::MIN_POSITIVE,
    ];
    prop::option::weighted(
        0.95,
        prop_oneof![
            6 => (0u32..1_000_000).prop_map(f64::from),
            1 => any::<f64>(),
            1 => prop::sample::select(ODD.as_slice()),
        ],
    )
}

fn any_page() -> impl Strategy<Value = (Scraped, u64)> {
    let counters = (count(), count(), count(), count());
    let gauges = (count(), prop::option::weighted(0.95, 0.0f32..1.0));
    let blocks = prop::option::weighted(0.95, prop_oneof![3 => 1u32..10_000, 1 => any::<u32>()]);
    let pause = prop_oneof![3 => 50u64..400, 1 => 0u64..5_000];
    (counters, gauges, blocks, pause).prop_map(|(counters, gauges, kv_blocks, pause)| {
        let (generated, prompted, cached, finished) = counters;
        let (running, kv_usage) = gauges;
        let page = Scraped {
            running: running.map(|running| running as f32),
            kv_usage,
            kv_blocks,
            kv_block_size: Some(16),
            generation_tokens_total: generated,
            prompt_tokens_total: prompted,
            cached_prompt_tokens_total: cached,
            success_total: finished,
            moves_every_step: true,
            ..Scraped::default()
        };
        (page, pause)
    })
}

proptest! {
    /// Whatever the counters say, what is told is within the contract's limits, and a counter that
    /// only grows after the lies is learned from again.
    #[test]
    fn lies_teach_nothing_that_cannot_be_true(
        mut pages in prop::collection::vec(any_page(), 1..150),
        growing: bool,
    ) {
        if growing {
            let mut totals: Vec<f64> =
                pages.iter().filter_map(|(page, _)| page.generation_tokens_total).collect();
            totals.retain(|total| total.is_finite());
            totals.sort_by(f64::total_cmp);
            for ((page, _), total) in pages.iter_mut().zip(totals) {
                page.generation_tokens_total = Some(total);
                page.prompt_tokens_total = Some(total * 2.0);
                page.cached_prompt_tokens_total = None;
                page.success_total = Some(total / 100.0);
            }
        }
        let mut watch = Watch::new(WatchConfig::default());
        let mut now = Millis(1_000);
        for (page, pause) in pages {
            now = now.plus(pause);
            watch.scraped(&page, now);
            let signals = watch.signals();
            if let Some(model) = signals.step_model {
                prop_assert_eq!(limits::step_model(model.value), Some(model.value));
            }
            if let Some(mean) = signals.mean_output_tokens {
                prop_assert_eq!(limits::mean_output_tokens(mean.value), Some(mean.value));
            }
        }
    }
}
