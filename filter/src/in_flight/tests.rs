use super::*;
use crate::testing::{FakeEnvoy, FakeHost};

struct Vm {
    host: FakeHost,
    ledger: Ledger,
    table: OwnTable,
    others: Others,
}

impl Vm {
    fn new(envoy: &FakeEnvoy, owner: u64) -> Self {
        let host = envoy.vm();
        slots::create_common(&host);
        Self {
            host,
            ledger: Ledger::new(),
            table: OwnTable::new(owner),
            others: Others::new(owner),
        }
    }

    fn begin(&mut self, id: EndpointId) {
        self.ledger.begin(id, 10, 10);
        self.table.write(&self.host, &self.ledger, self.host.now());
    }

    fn end(&mut self, id: EndpointId) {
        assert!(self.ledger.end(id, 10, Some(10)));
        self.table.write(&self.host, &self.ledger, self.host.now());
    }

    fn tick(&mut self) {
        self.table.beat(&self.host, &self.ledger, self.host.now());
    }

    fn sees(&mut self, id: EndpointId) -> u32 {
        self.host.envoy().advance_ms(REFRESH_MS);
        self.others.refresh(&self.host, self.host.now());
        self.others.get(id).requests
    }
}

fn id(port: u16) -> EndpointId {
    EndpointId {
        address: ([10, 0, 0, 1], port).into(),
        generation: 1,
    }
}

#[test]
fn each_worker_sees_what_the_others_have_and_not_its_own() {
    let envoy = FakeEnvoy::new();
    let mut a = Vm::new(&envoy, 1);
    let mut b = Vm::new(&envoy, 2);
    a.begin(id(1));
    a.begin(id(1));
    b.begin(id(1));
    assert_eq!(a.sees(id(1)), 1);
    assert_eq!(b.sees(id(1)), 2);
    a.end(id(1));
    a.end(id(1));
    b.end(id(1));
    assert_eq!(a.sees(id(1)), 0);
    assert_eq!(b.sees(id(1)), 0);
    assert_eq!(b.others.iter().count(), 0, "nothing is left at rest");
}

#[test]
fn a_first_request_is_seen_at_once_although_the_slot_is_new() {
    let envoy = FakeEnvoy::new();
    let mut a = Vm::new(&envoy, 1);
    let mut b = Vm::new(&envoy, 2);
    assert_eq!(a.sees(id(1)), 0);
    b.begin(id(1));
    assert_eq!(a.sees(id(1)), 1);
}

#[test]
fn the_tables_are_read_at_most_once_a_millisecond() {
    let envoy = FakeEnvoy::new();
    let mut a = Vm::new(&envoy, 1);
    let now = a.host.now();
    assert!(a.others.refresh(&a.host, now));
    assert!(!a.others.refresh(&a.host, now));
    assert!(a.others.refresh(&a.host, now.plus(REFRESH_MS)));
}

#[test]
fn the_count_of_a_dead_worker_expires_and_its_slot_is_used_again() {
    let envoy = FakeEnvoy::new();
    let mut dead = Vm::new(&envoy, 1);
    let mut living = Vm::new(&envoy, 2);
    dead.begin(id(1));
    living.begin(id(2));
    assert_eq!(living.sees(id(1)), 1);
    let mut waited = 0;
    while living.sees(id(1)) > 0 {
        envoy.advance_ms(100);
        living.tick();
        waited += 100;
        assert!(waited <= EXPIRY_MS, "still counted after {waited} ms");
    }
    let mut reloaded = Vm::new(&envoy, 3);
    assert_eq!(
        reloaded.sees(id(2)),
        1,
        "creating the keys again kept the living"
    );
    reloaded.begin(id(1));
    assert_eq!(reloaded.table.slot, dead.table.slot, "the first free slot");
    assert_eq!(living.sees(id(1)), 1);
}

#[test]
fn a_worker_that_lost_its_slot_in_its_sleep_claims_another() {
    let envoy = FakeEnvoy::new();
    let mut sleeper = Vm::new(&envoy, 1);
    let mut other = Vm::new(&envoy, 2);
    sleeper.begin(id(1));
    envoy.advance_ms(EXPIRY_MS);
    other.begin(id(2));
    assert_eq!(other.table.slot, sleeper.table.slot);
    sleeper.tick();
    assert_ne!(other.table.slot, sleeper.table.slot);
    assert_eq!(other.sees(id(1)), 1);
    assert_eq!(sleeper.sees(id(2)), 1);
}

#[test]
fn with_all_slots_taken_a_worker_still_counts_for_itself() {
    let envoy = FakeEnvoy::new();
    let owners = 1..=(slots::IN_FLIGHT_SLOTS as u64);
    let mut vms: Vec<Vm> = owners.map(|owner| Vm::new(&envoy, owner)).collect();
    for vm in &mut vms {
        vm.begin(id(1));
    }
    let mut late = Vm::new(&envoy, 1_000);
    late.begin(id(1));
    assert_eq!(late.table.slot, None);
    assert_eq!(late.ledger.get(id(1)).requests, 1);
    assert_eq!(
        late.sees(id(1)) as usize,
        MAX_LIVE_TABLES,
        "and reads a bounded number of tables"
    );
    assert_eq!(
        envoy.keys().len(),
        2 * slots::IN_FLIGHT_SLOTS + 2,
        "no key was added"
    );
    envoy.advance_ms(EXPIRY_MS);
    late.tick();
    assert!(
        late.table.slot.is_some(),
        "it claims one as soon as there is one"
    );
}

#[test]
fn only_what_others_wait_for_is_published_at_once() {
    let envoy = FakeEnvoy::new();
    let mut a = Vm::new(&envoy, 1);
    let published = |envoy: &FakeEnvoy| {
        let value = envoy.peek("zerohop/v1/in-flight/00").unwrap();
        let table = in_flight::decode(&value).unwrap();
        table.loads.first().map_or(0, |(_, load)| load.requests)
    };
    let change = |vm: &mut Vm, sent: bool, alone: bool| {
        let change = if sent {
            vm.ledger.begin(id(1), 10, 10);
            Change::Sent
        } else {
            assert!(vm.ledger.end(id(1), 10, Some(10)));
            Change::Freed
        };
        let now = vm.host.now();
        vm.table.changed(&vm.host, &vm.ledger, now, change, alone);
    };
    change(&mut a, true, true);
    assert_eq!(published(&envoy), 1, "the first claims the slot");
    change(&mut a, true, true);
    assert_eq!(published(&envoy), 1, "nobody looks");
    envoy.advance_ms(ALONE_MS);
    change(&mut a, true, true);
    assert_eq!(published(&envoy), 3);
    change(&mut a, true, false);
    assert_eq!(
        published(&envoy),
        4,
        "another worker may send to the same place"
    );
    change(&mut a, false, false);
    assert_eq!(published(&envoy), 4, "it looks at most once a millisecond");
    envoy.advance_ms(REFRESH_MS);
    change(&mut a, false, false);
    assert_eq!(published(&envoy), 2);
    change(&mut a, false, true);
    a.tick();
    assert_eq!(published(&envoy), 1, "nothing waits longer than a tick");
}

#[test]
fn a_worker_without_requests_is_there_for_the_others() {
    let envoy = FakeEnvoy::new();
    let mut busy = Vm::new(&envoy, 1);
    let mut idle = Vm::new(&envoy, 2);
    busy.tick();
    idle.tick();
    busy.sees(id(1));
    assert_eq!(busy.others.live(), [1]);
}

#[test]
fn rubbish_in_a_slot_counts_for_nothing() {
    let envoy = FakeEnvoy::new();
    let mut a = Vm::new(&envoy, 1);
    let mut b = Vm::new(&envoy, 2);
    b.begin(id(1));
    let future = InFlightTable {
        owner: 7,
        beat: Millis(u64::MAX),
        loads: vec![(
            id(1),
            InFlight {
                requests: 9,
                tokens: 9,
                ..InFlight::default()
            },
        )],
    };
    for rubbish in [vec![0xff; 300], vec![], in_flight::encode(&future)] {
        envoy.poison("zerohop/v1/in-flight/40", &rubbish);
        envoy.poison("zerohop/v1/in-flight/claims", &rubbish);
        assert_eq!(a.sees(id(1)), 1);
    }
}
