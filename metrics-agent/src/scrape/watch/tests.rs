//! Lives of engines, told scrape by scrape.

use super::*;

const INTERVAL_MS: u64 = 200;

/// A page of a vLLM that runs `running` requests and has generated `generated` tokens.
fn page(running: f32, generated: f64) -> Scraped {
    Scraped {
        waiting: Some(0.0),
        running: Some(running),
        kv_usage: Some(0.5),
        generation_tokens_total: Some(generated),
        prompt_tokens_total: Some(100.0),
        success_total: Some(1.0),
        process_start_time_seconds: Some(1.7e9),
        awake: Some(true),
        moves_every_step: true,
        ..Scraped::default()
    }
}

/// A watch and a clock that moves on by one interval per scrape.
struct Story {
    watch: Watch,
    now: Millis,
}

impl Story {
    fn new() -> Self {
        Self {
            watch: Watch::new(WatchConfig::default()),
            now: Millis(10_000),
        }
    }

    fn scrape(&mut self, scraped: &Scraped) -> Option<Cause> {
        self.now = self.now.plus(INTERVAL_MS);
        self.watch.started(self.now);
        self.watch.scraped(scraped, self.now);
        self.watch.cause(self.now)
    }

    fn fail(&mut self, kind: FailureKind) -> Option<Cause> {
        self.now = self.now.plus(INTERVAL_MS);
        self.watch.started(self.now);
        self.watch.failed(kind, self.now);
        self.watch.cause(self.now)
    }
}

#[test]
fn nothing_is_known_before_the_first_scrape() {
    let watch = Watch::new(WatchConfig::default());
    assert_eq!(watch.health(Millis(0)), Health::Ready);
    assert_eq!(watch.signals(), Signals::default());
    assert_eq!(watch.life(), 0);
}

/// Pitfall 3: a stopped engine core leaves `/metrics` at 200 with the last values.
#[test]
fn a_busy_engine_that_stands_still_is_hung_after_600_ms_and_clears_when_it_moves() {
    let mut story = Story::new();
    assert_eq!(story.scrape(&page(3.0, 50.0)), None);
    assert_eq!(story.scrape(&page(3.0, 50.0)), None, "200 ms");
    assert_eq!(story.scrape(&page(3.0, 50.0)), None, "400 ms");
    assert_eq!(story.scrape(&page(3.0, 50.0)), Some(Cause::Hung), "600 ms");
    assert_eq!(story.watch.health(story.now), Health::Suspect);
    assert_eq!(story.scrape(&page(3.0, 51.0)), None, "one token clears it");
}

/// The freeze rule: the frozen gauges look idle or busy, but they are old.
#[test]
fn the_signals_of_a_hung_engine_age_from_its_last_movement() {
    let mut story = Story::new();
    story.scrape(&page(3.0, 50.0));
    let moved_at = story.now;
    for _ in 0..20 {
        story.scrape(&page(3.0, 50.0));
    }
    let signals = story.watch.signals();
    assert_eq!(signals.running.unwrap().taken_at, moved_at);
    assert_eq!(signals.waiting.unwrap().age_ms(story.now), 20 * INTERVAL_MS);
    assert_eq!(signals.kv_usage.unwrap().taken_at, moved_at);

    story.scrape(&page(3.0, 51.0));
    assert_eq!(story.watch.signals().running.unwrap().taken_at, story.now);
}

#[test]
fn an_idle_engine_may_stand_still_for_ever() {
    let mut story = Story::new();
    for _ in 0..100 {
        assert_eq!(story.scrape(&page(0.0, 50.0)), None);
    }
    assert_eq!(
        story.watch.signals().running.unwrap().taken_at,
        story.now,
        "and is fresh"
    );
}

/// At 50 ms it takes 600 ms, at 1 s it takes three scrapes: both conditions must hold.
#[test]
fn hanging_takes_both_time_and_scrapes() {
    for (interval_ms, needed) in [(50, 13), (200, 4), (1000, 3), (5000, 3)] {
        let mut watch = Watch::new(WatchConfig::default());
        let mut now = Millis(0);
        let mut scrapes = 0;
        while watch.cause(now).is_none() && scrapes < 100 {
            now = now.plus(interval_ms);
            watch.scraped(&page(1.0, 50.0), now);
            scrapes += 1;
        }
        assert_eq!(scrapes, needed, "at {interval_ms} ms");
    }
}

/// A long prompt alone in the batch counts its tokens only when it is done, but fills blocks.
#[test]
fn a_long_prefill_is_no_hang() {
    let mut story = Story::new();
    for step in 0..30_u8 {
        let prefill = Scraped {
            kv_usage: Some(f32::from(step) / 64.0),
            ..page(1.0, 50.0)
        };
        assert_eq!(story.scrape(&prefill), None, "step {step}");
    }
}

#[test]
fn an_engine_that_counts_at_the_end_of_requests_is_never_called_hung() {
    let mut story = Story::new();
    for _ in 0..30 {
        let sglang = Scraped {
            moves_every_step: false,
            ..page(4.0, 50.0)
        };
        assert_eq!(story.scrape(&sglang), None);
    }
}

#[test]
fn a_page_without_counters_says_nothing_about_progress() {
    let mut story = Story::new();
    for _ in 0..30 {
        let silent = Scraped {
            generation_tokens_total: None,
            ..page(4.0, 0.0)
        };
        assert_eq!(story.scrape(&silent), None);
    }
}

/// Pitfall 5: the port closes 0.4 s after the engine died.
#[test]
fn a_refused_connection_makes_suspect_at_once_and_an_answer_clears_it() {
    let mut story = Story::new();
    story.scrape(&page(1.0, 1.0));
    assert_eq!(story.fail(FailureKind::Refused), Some(Cause::Refused));
    assert_eq!(story.scrape(&page(1.0, 2.0)), None);
}

#[test]
fn two_silent_failures_in_a_row_make_suspect() {
    let mut story = Story::new();
    story.scrape(&page(1.0, 1.0));
    assert_eq!(
        story.fail(FailureKind::Silent),
        None,
        "one may be an accident"
    );
    assert_eq!(story.scrape(&page(1.0, 2.0)), None);
    assert_eq!(
        story.fail(FailureKind::Silent),
        None,
        "the count starts over"
    );
    assert_eq!(story.fail(FailureKind::Silent), Some(Cause::Silent));
}

/// A whole process that is stopped still accepts connections: the scrape just never ends.
#[test]
fn an_unanswered_scrape_makes_suspect_before_it_times_out_and_stays_so() {
    let mut watch = Watch::new(WatchConfig::default());
    watch.started(Millis(1000));
    assert_eq!(watch.cause(Millis(1599)), None);
    assert_eq!(watch.cause(Millis(1600)), Some(Cause::Silent));
    watch.failed(FailureKind::Silent, Millis(2000));
    watch.started(Millis(2200));
    assert_eq!(
        watch.cause(Millis(2201)),
        Some(Cause::Silent),
        "the next scrape is no answer yet"
    );
    watch.scraped(&page(0.0, 0.0), Millis(2300));
    assert_eq!(watch.cause(Millis(9000)), None);
}

#[test]
fn server_errors_count_and_useless_pages_do_not() {
    let mut story = Story::new();
    for _ in 0..10 {
        assert_eq!(
            story.fail(FailureKind::NoMetrics),
            None,
            "it lives, its signals are unknown"
        );
    }
    assert_eq!(story.fail(FailureKind::ServerError), None);
    assert_eq!(
        story.fail(FailureKind::ServerError),
        Some(Cause::ServerErrors)
    );
    assert_eq!(story.fail(FailureKind::NoMetrics), None);
}

#[test]
fn a_sleeping_or_leaving_engine_drains() {
    let mut story = Story::new();
    let asleep = Scraped {
        awake: Some(false),
        ..page(0.0, 0.0)
    };
    assert_eq!(story.scrape(&asleep), Some(Cause::Asleep));
    assert_eq!(story.watch.health(story.now), Health::Draining);
    assert_eq!(story.scrape(&page(0.0, 0.0)), None);
    story.watch.set_leaving(true);
    assert_eq!(story.watch.health(story.now), Health::Draining);
}

#[test]
fn a_later_start_is_a_new_life_and_forgets_the_old_signals() {
    let mut story = Story::new();
    story.scrape(&page(4.0, 1000.0));
    let (life, restarts) = (story.watch.life(), story.watch.restarts());
    assert_ne!(life, 0);
    let fresh = Scraped {
        process_start_time_seconds: Some(1.7e9 + 60.0),
        kv_usage: None,
        ..page(0.0, 0.0)
    };
    story.scrape(&fresh);
    assert_ne!(story.watch.life(), life);
    assert_eq!(story.watch.restarts(), restarts + 1);
    assert_eq!(
        story.watch.signals().kv_usage,
        None,
        "that was the old engine's cache"
    );

    let mut other_agent = Story::new();
    other_agent.scrape(&fresh);
    assert_eq!(
        other_agent.watch.life(),
        story.watch.life(),
        "agents agree on the life"
    );
}

#[test]
fn falling_counters_are_a_new_life_when_no_start_time_is_known() {
    let unnamed = |generated| Scraped {
        process_start_time_seconds: None,
        ..page(1.0, generated)
    };
    let mut story = Story::new();
    story.scrape(&unnamed(1000.0));
    let life = story.watch.life();
    story.scrape(&unnamed(5.0));
    assert_eq!(story.watch.life(), life, "one page may be another process");
    story.scrape(&unnamed(9.0));
    assert_ne!(story.watch.life(), life);
    let second = story.watch.life();
    for generated in 10..100 {
        story.scrape(&unnamed(f64::from(generated)));
    }
    assert_eq!(story.watch.life(), second);
    assert_eq!(story.watch.restarts(), 1);
}

#[test]
fn processes_that_answer_in_turn_are_no_restarts() {
    let mut story = Story::new();
    for turn in 0..50 {
        let one = turn % 2 == 0;
        let scraped = Scraped {
            process_start_time_seconds: Some(if one { 1.7e9 } else { 1.7e9 + 3.0 }),
            ..page(1.0, if one { 1000.0 } else { 10.0 } + f64::from(turn))
        };
        story.scrape(&scraped);
    }
    assert_eq!(
        story.watch.restarts(),
        1,
        "only the step to the later of the two"
    );
}

/// A start time that changes with every scrape must not wipe the gateways' ledgers 5 times a
/// second.
#[test]
fn lies_about_the_start_cost_at_most_one_life_a_second() {
    let mut story = Story::new();
    for lie in 0..50_u32 {
        let scraped = Scraped {
            process_start_time_seconds: Some(1.7e9 + f64::from(lie) * 1000.0),
            ..page(1.0, f64::from(lie))
        };
        story.scrape(&scraped);
    }
    assert!(
        story.watch.restarts() <= 10,
        "{} in 10 s",
        story.watch.restarts()
    );
}

#[test]
fn what_a_page_leaves_out_keeps_its_value_and_its_age() {
    let mut story = Story::new();
    story.scrape(&page(1.0, 1.0));
    let first = story.now;
    let partial = Scraped {
        waiting: None,
        ..page(2.0, 2.0)
    };
    story.scrape(&partial);
    let signals = story.watch.signals();
    assert_eq!(signals.waiting, Some(Signal::new(0.0, first)));
    assert_eq!(signals.running, Some(Signal::new(2.0, story.now)));
}

#[test]
fn the_list_of_models_joins_what_the_metrics_show() {
    let registered: Vec<Arc<str>> = vec![Arc::from("chat"), Arc::from("sql")];
    let mut story = Story::new();
    story.watch.set_models(Models {
        adapters: registered.clone(),
        max_model_len: Some(4096),
        ..Models::default()
    });
    story.scrape(&page(1.0, 1.0));
    let before_any = story.watch.signals().lora.unwrap();
    assert_eq!(before_any.value.registered, registered);
    assert_eq!(story.watch.signals().max_model_len, Some(4096));
    assert!(before_any.value.active.is_empty());

    let active = crate::scrape::AdapterActivity {
        active: vec![Arc::from("sql")],
        waiting: vec![],
        max: 2,
    };
    story.scrape(&Scraped {
        lora: Some(active),
        ..page(1.0, 2.0)
    });
    let lora = story.watch.signals().lora.unwrap().value;
    assert_eq!((lora.registered, lora.max), (registered, 2));
    assert_eq!(lora.active, [Arc::<str>::from("sql")]);
}

mod learning;
