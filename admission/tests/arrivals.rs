//! What becomes of requests, with one or two workers that do not run at the same time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this is a test"
)]

mod world;

use std::sync::{Arc, Mutex};

use admission::{
    Admission, AdmissionConfig, Arrival, Arrived, Bound, Bounds, Dispatch, Effect, HoldBack,
    Measure, Reason, Ticket,
};
use picker::{InFlight, Millis, Priority, Signal, freshness::Ladder};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;
use world::{Held, Table, Worker, World, id};

struct Gate {
    site: Worker,
    admission: Admission<Held>,
}

impl Gate {
    fn new(world: &Arc<Mutex<World>>, owner: u64, config: AdmissionConfig) -> Self {
        Self {
            site: Worker::new(world, owner),
            admission: Admission::new(config, Ladder::default(), owner),
        }
    }

    fn arrive(&mut self, priority: i32, held: Held) -> Arrived<Held> {
        let arrival = Arrival {
            priority: Priority(priority),
            tokens: (held.facts.prompt_bytes / 4) as u32,
            ..Arrival::default()
        };
        self.ask(&arrival, held)
    }

    fn ask(&mut self, arrival: &Arrival, held: Held) -> Arrived<Held> {
        let now = self.site.tell_time();
        self.site.refresh();
        self.admission.arrive(&mut self.site, now, arrival, held)
    }

    fn goes(&mut self, priority: i32, held: Held) -> Dispatch<Held> {
        match self.arrive(priority, held) {
            Arrived::Go(dispatch) => dispatch,
            other => panic!("{other:?}"),
        }
    }

    fn waits(&mut self, priority: i32, held: Held) -> Ticket {
        match self.arrive(priority, held) {
            Arrived::Held(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn tick(&mut self) -> Vec<Effect<Held>> {
        let now = self.site.tell_time();
        self.admission.tick(&mut self.site, now)
    }

    fn woken(&mut self) -> Vec<u64> {
        let now = self.site.tell_time();
        let effects = self.admission.woken(&mut self.site, now);
        effects.into_iter().map(dispatched).collect()
    }

    /// The first token of a request of 100 tokens at the endpoint.
    fn first_token(&mut self, endpoint: usize) {
        let now = self.site.tell_time();
        self.site.first_token(id(endpoint), 100);
        self.admission.freed(&mut self.site, now);
    }

    /// Sends until the endpoints are full, and returns how many went.
    fn fill(&mut self, priority: i32) -> usize {
        for number in 0..10_000 {
            if !matches!(
                self.arrive(priority, Held::new(number, 100)),
                Arrived::Go(_)
            ) {
                return number as usize;
            }
        }
        panic!("never full");
    }
}

fn dispatched(effect: Effect<Held>) -> u64 {
    match effect {
        Effect::Dispatch(dispatch) => dispatch.held.number,
        Effect::Refuse { .. } => panic!("{effect:?}"),
    }
}

fn refused(effect: &Effect<Held>) -> Reason {
    match effect {
        Effect::Refuse { refusal, .. } => refusal.reason,
        Effect::Dispatch(_) => panic!("{effect:?}"),
    }
}

fn after(world: &Arc<Mutex<World>>, millis: u64) {
    let mut world = world.lock().unwrap();
    world.now = world.now.plus(millis);
}

#[test]
fn requests_go_at_once_until_every_endpoint_has_eight_waiting() {
    let world = World::new(3);
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    assert_eq!(gate.fill(0), 24);
    for endpoint in 0..3 {
        assert_eq!(world.lock().unwrap().waiting_at(id(endpoint)), 8);
    }
    assert_eq!(gate.admission.queue().len(), 1);
}

#[test]
fn many_prompt_tokens_fill_an_endpoint_like_many_requests() {
    let world = World::new(1);
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    gate.goes(0, Held::new(1, 4_096));
    gate.waits(0, Held::new(2, 1));
}

#[test]
fn a_full_kv_cache_is_no_room_until_the_signal_expires() {
    let world = World::new(1);
    {
        let mut world = world.lock().unwrap();
        let now = world.now;
        Arc::make_mut(&mut world.endpoints)[0].signals.kv_usage = Some(Signal::new(0.98, now));
    }
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    gate.waits(0, Held::new(1, 10));
    after(&world, 4_999);
    assert_eq!(
        gate.tick().len(),
        1,
        "it fades: what is unknown is no reason to wait"
    );
}

#[test]
fn whoever_frees_room_wakes_the_one_that_waits() {
    let world = World::new(1);
    let mut gates = [1, 2].map(|owner| Gate::new(&world, owner, AdmissionConfig::default()));
    let [first, second] = &mut gates;
    first.fill(0);
    assert_eq!(first.admission.queue().len(), 1);
    second.waits(0, Held::new(77, 100));
    after(&world, 2);
    first.first_token(0);
    assert!(first.site.is_woken() && second.site.is_woken());
    assert_eq!(second.woken(), [77]);
    assert_eq!(first.woken(), Vec::<u64>::new(), "the room is taken");
    assert_eq!(world.lock().unwrap().waiting_at(id(0)), 8);
}

#[test]
fn lower_priority_waits_behind_higher_in_the_same_and_in_another_worker() {
    let world = World::new(2);
    let mut gates = [1, 2].map(|owner| Gate::new(&world, owner, AdmissionConfig::default()));
    let [first, second] = &mut gates;
    first.fill(5);
    second.waits(0, Held::new(20, 100));
    second.waits(7, Held::new(27, 100));
    after(&world, 2);
    first.first_token(0);
    first.first_token(0);
    // Room for two: the most important one goes, then the next, which waits elsewhere.
    assert!(!first.site.is_woken(), "not its turn");
    assert!(second.site.is_woken());
    assert_eq!(second.woken(), [27]);
    assert!(first.site.is_woken(), "its turn came");
    assert_eq!(first.woken().len(), 1);
    assert!(second.site.is_woken(), "and then the least");
    assert_eq!(second.woken(), Vec::<u64>::new());
    first.first_token(1);
    assert_eq!(second.woken(), [20]);
}

#[test]
fn nobody_less_important_goes_while_a_more_important_one_waits_for_its_own_endpoint() {
    let world = World::new(2);
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    for number in 0..8 {
        gate.goes(1, Held::new(number, 100).only(&[0]));
    }
    gate.waits(1, Held::new(50, 100).only(&[0]));
    gate.waits(0, Held::new(51, 100));
    // Of the same priority one may go where there is room.
    gate.waits(1, Held::new(52, 100).only(&[1]));
    assert_eq!(gate.woken(), [52]);
    gate.first_token(0);
    assert_eq!(gate.woken(), [50, 51]);
}

#[test]
fn those_ahead_count_when_the_next_are_costed() {
    let world = World::new(2);
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    gate.fill(0);
    for number in 100..105 {
        gate.waits(0, Held::new(number, 100));
    }
    gate.first_token(1);
    // One goes; for the others it is counted, so that they see no room.
    assert_eq!(gate.woken().len(), 1);
    assert_eq!(gate.admission.queue().len(), 5);
}

#[test]
fn a_sheddable_request_is_refused_where_it_would_be_slow_and_held_only_briefly() {
    let world = World::new(1);
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    // 50 ms for each that waits: the fourth would have its first token after 200 ms.
    for number in 0..3 {
        gate.goes(-1, Held::new(number, 100));
    }
    match gate.arrive(-1, Held::new(9, 100)) {
        Arrived::Refused(held, refusal) => {
            assert_eq!((held.number, refusal.status()), (9, 429));
            assert_eq!(refusal.reason, Reason::Shed);
            assert!((1..=60).contains(&refusal.retry_after_s));
        }
        other => panic!("{other:?}"),
    }
    gate.goes(0, Held::new(10, 100));
    assert!(gate.admission.saturation() > 1.0);
}

#[test]
fn a_held_sheddable_request_is_answered_after_half_a_second() {
    let config = AdmissionConfig {
        ttft_target_ms: 60_000.0,
        ..AdmissionConfig::default()
    };
    let world = World::new(1);
    let mut gate = Gate::new(&world, 1, config);
    for number in 0..8 {
        gate.goes(-1, Held::new(number, 100));
    }
    gate.waits(-1, Held::new(9, 100));
    after(&world, 499);
    assert!(gate.tick().is_empty());
    after(&world, 1);
    assert_eq!(refused(&gate.tick()[0]), Reason::Shed);
    assert!(gate.admission.is_idle());
}

#[test]
fn deadlines_are_kept_and_never_beyond_the_ttl() {
    let world = World::new(1);
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    gate.fill(0);
    let now = gate.site.tell_time();
    let deadline = |millis| Arrival {
        deadline: Some(now.plus(millis)),
        ..Arrival::default()
    };
    gate.ask(&deadline(100), Held::new(1, 1));
    gate.ask(&deadline(999_999), Held::new(2, 1));
    after(&world, 100);
    let effects = gate.tick();
    assert_eq!(
        effects.iter().map(refused).collect::<Vec<_>>(),
        [Reason::Expired]
    );
    after(&world, 59_900);
    // The one of `fill` and that with the far deadline.
    let effects = gate.tick();
    assert_eq!(effects.len(), 2);
    assert!(
        effects
            .iter()
            .all(|effect| refused(effect) == Reason::Expired)
    );
    assert!(gate.admission.is_idle());
    assert!(
        world.lock().unwrap().values[&admission::Shared::Board]
            .0
            .len()
            < 30
    );
}

#[test]
fn without_endpoints_requests_wait_for_one_or_end_with_503() {
    let world = World::new(0);
    let mut gate = Gate::new(
        &world,
        1,
        AdmissionConfig {
            ttl_ms: 1_000,
            ..AdmissionConfig::default()
        },
    );
    gate.waits(0, Held::new(1, 1));
    assert!(gate.tick().is_empty());
    after(&world, 500);
    gate.waits(0, Held::new(2, 1));
    after(&world, 500);
    assert_eq!(refused(&gate.tick()[0]), Reason::NoEndpoints);
    let endpoints = World::new(1).lock().unwrap().endpoints.clone();
    world.lock().unwrap().endpoints = endpoints;
    assert_eq!(
        gate.tick().into_iter().map(dispatched).collect::<Vec<_>>(),
        [2]
    );
}

#[test]
fn a_bound_that_is_reached_refuses_with_its_name() {
    let few = Bounds {
        requests: 2,
        bytes: 1_000,
    };
    let config = AdmissionConfig {
        worker: few,
        ..AdmissionConfig::default()
    };
    let world = World::new(0);
    let mut gate = Gate::new(&world, 1, config);
    let ticket = gate.waits(0, Held::new(1, 1));
    gate.waits(0, Held::new(2, 1));
    match gate.arrive(0, Held::new(3, 1)) {
        Arrived::Refused(_, refusal) => {
            assert_eq!(refusal.reason, Reason::Full(Bound::Worker));
            assert_eq!(refusal.status(), 429);
        }
        other => panic!("{other:?}"),
    }
    assert!(gate.admission.grow(ticket, 1_001).is_err());
    assert!(gate.admission.grow(ticket, 1_000).is_ok());
    let now = gate.site.tell_time();
    assert_eq!(
        gate.admission
            .left(&mut gate.site, now, ticket)
            .unwrap()
            .number,
        1
    );
    assert_eq!(gate.admission.left(&mut gate.site, now, ticket), None);
    gate.waits(2, Held::new(4, 1));
}

#[test]
fn a_full_queue_turns_out_the_newest_of_the_least_important_for_somebody_more_so() {
    let config = AdmissionConfig {
        worker: Bounds {
            requests: 4,
            bytes: 1_000,
        },
        ..AdmissionConfig::default()
    };
    let world = World::new(0);
    let mut gate = Gate::new(&world, 1, config);
    for (number, priority) in [(1, 5), (2, 0), (3, 1), (4, 0)] {
        gate.waits(priority, Held::new(number, 1));
    }
    let waits = |gate: &Gate| gate.admission.queue().len();
    assert!(matches!(
        gate.arrive(0, Held::new(9, 1)),
        Arrived::Refused(..)
    ));
    let large = Arrival {
        priority: Priority(7),
        bytes: 1_001,
        ..Arrival::default()
    };
    assert!(
        matches!(gate.ask(&large, Held::new(9, 1)), Arrived::Refused(..)),
        "nobody is turned out for what has no place even so"
    );
    assert_eq!(waits(&gate), 4);
    for (number, loser) in [(5, 4), (6, 2), (7, 3)] {
        gate.waits(2, Held::new(number, 1));
        assert_eq!(waits(&gate), 4);
        assert!(!gate.admission.is_empty());
        let now = gate.site.tell_time();
        let effects = gate.admission.woken(&mut gate.site, now);
        assert_eq!(refused(&effects[0]), Reason::Full(Bound::Worker));
        let Effect::Refuse { held, .. } = &effects[0] else {
            panic!("{effects:?}");
        };
        assert_eq!((held.number, effects.len()), (loser, 1));
    }
    assert!(
        matches!(gate.arrive(2, Held::new(8, 1)), Arrived::Refused(..)),
        "all that wait are as important"
    );
}

#[test]
fn a_part_of_the_room_is_held_back_from_the_unimportant() {
    let config = AdmissionConfig {
        hold_back: HoldBack {
            share: 0.5,
            below: Priority(0),
        },
        ttft_target_ms: 60_000.0,
        ..AdmissionConfig::default()
    };
    let world = World::new(1);
    let mut gate = Gate::new(&world, 1, config);
    for number in 0..4 {
        gate.goes(-1, Held::new(number, 10));
    }
    assert!(!matches!(gate.arrive(-1, Held::new(9, 10)), Arrived::Go(_)));
    for number in 10..14 {
        gate.goes(0, Held::new(number, 10));
    }
}

#[test]
fn by_the_references_measure_a_full_pool_halts_everybody() {
    let config = AdmissionConfig {
        measure: Measure::Utilization,
        ..AdmissionConfig::default()
    };
    let world = World::new(2);
    let signal = |waiting: f32, kv: f32| {
        let mut world = world.lock().unwrap();
        let now = world.now;
        for endpoint in Arc::make_mut(&mut world.endpoints) {
            endpoint.signals.waiting = Some(Signal::new(waiting, now));
            endpoint.signals.kv_usage = Some(Signal::new(kv, now));
        }
    };
    signal(4.0, 0.2);
    let mut gate = Gate::new(&world, 1, config);
    gate.goes(0, Held::new(1, 10));
    assert!((gate.admission.saturation() - 0.8).abs() < 1e-6);
    signal(5.0, 0.2);
    after(&world, 1);
    gate.waits(0, Held::new(2, 10));
    signal(4.9, 0.2);
    after(&world, 1);
    assert_eq!(gate.woken(), [2]);
}

#[test]
fn a_dead_workers_row_holds_nobody_back_for_long() {
    let world = World::new(1);
    let mut dead = Gate::new(&world, 1, AdmissionConfig::default());
    dead.fill(9);
    let mut alive = Gate::new(&world, 2, AdmissionConfig::default());
    alive.waits(0, Held::new(1, 100));
    drop(dead);
    // Its table goes as well.
    world.lock().unwrap().tables.insert(1, Table::default());
    after(&world, 240);
    assert!(alive.tick().is_empty());
    after(&world, 20);
    assert_eq!(alive.tick().len(), 1);
}

#[test]
fn garbage_on_the_board_and_in_the_claim_is_replaced() {
    let world = World::new(1);
    let mut gate = Gate::new(&world, 1, AdmissionConfig::default());
    for value in [admission::Shared::Board, admission::Shared::Claim] {
        world
            .lock()
            .unwrap()
            .values
            .insert(value, (b"garbage".to_vec(), 3));
    }
    gate.fill(0);
    gate.first_token(0);
    assert_eq!(gate.woken().len(), 1);
}

#[test]
fn refusals_of_an_endpoint_weigh_like_load_and_fade() {
    let mut pressure = admission::Backpressure::default();
    let at = Millis(5_000);
    assert!(pressure.is_idle());
    pressure.refused(id(0), at);
    pressure.refused(id(0), at);
    let load = pressure.load(id(0), at);
    assert_eq!((load.prefilling, load.prefill_tokens), (8, 8_192));
    assert_eq!(pressure.load(id(1), at), InFlight::default());
    assert_eq!(pressure.load(id(0), at.plus(1_000)).prefilling, 6);
    for _ in 0..100 {
        pressure.refused(id(0), at);
    }
    assert_eq!(pressure.load(id(0), at).prefilling, 16);
    pressure.sweep(at.plus(7_999));
    assert!(!pressure.is_idle());
    pressure.sweep(at.plus(8_000));
    assert!(pressure.is_idle());
}
