use picker::{
    Decision, EndpointId, Entropy, Reason,
    policy::{Policy, Round},
};
use pool_state::slot::in_flight::{self, InFlightTable};
use proptest::prelude::*;

use super::*;
use crate::{
    headers,
    root::{Root, Stream},
    testing::{FakeEnvoy, FakeHost},
};

const CONFIG: &str = r#"{"pools": [
    {"name": "a", "cluster": "a", "members": ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"]},
    {"name": "b", "cluster": "b", "members": ["10.0.1.1:80"]}
], "picker": {"policy": "scored", "prefix": {"block_bytes": 64}}}"#;

/// Goes where most of the prompt is believed to be cached, else anywhere.
struct Follow;

impl Policy for Follow {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let all = round.candidates.iter().copied();
        let first = all.max_by_key(|position| (round.matched(*position), entropy.next_u64()));
        Decision::new(Reason::PrefixHit, first.map(|position| position as usize))
    }

    fn wants_prefix(&self) -> bool {
        true
    }
}

struct Vm {
    host: FakeHost,
    root: Root,
}

impl Vm {
    fn new(envoy: &FakeEnvoy) -> Self {
        let host = envoy.vm().configured(CONFIG);
        let root = Root::configure(&host, 0).unwrap();
        root.worker()
            .unwrap()
            .borrow_mut()
            .use_policy(0, Box::new(Follow));
        Self { host, root }
    }

    /// Where a request for `prompt` goes; it ends at once.
    fn ask(&self, prompt: &str) -> String {
        let context = self
            .host
            .stream(&[(":method", b"POST"), ("content-type", b"application/json")]);
        self.host
            .property_of(context, &["xds", "cluster_name"], b"a");
        let Stream::Request(mut request) = self.root.stream(context) else {
            panic!("this root context decides");
        };
        request.on_request_headers(&self.host, false);
        let body = format!(r#"{{"model":"m","prompt":"{prompt}"}}"#);
        let size = self.host.buffer(context, body.as_bytes());
        request.on_request_body(&self.host, size, true);
        request.on_log(&self.host);
        let list = self.host.header_of(context, headers::DESTINATION).unwrap();
        list.split(',').next().unwrap().to_owned()
    }

    fn tick(&mut self) {
        self.root.tick(&self.host);
    }
}

fn prompt(number: usize) -> String {
    format!("{number:03} ").repeat(100)
}

fn notes(envoy: &FakeEnvoy, event: &str) -> u64 {
    envoy.metric(&format!("event=.={event};.;zerohop_prefix_notes_total"))
}

#[test]
fn workers_learn_from_each_other_where_a_prompt_went() {
    let envoy = FakeEnvoy::new();
    let mut vms = [Vm::new(&envoy), Vm::new(&envoy)];
    for vm in &vms {
        vm.ask("hello");
    }
    // Both have shown by now that they live.
    envoy.advance_ms(READ_MS);
    for vm in &vms {
        vm.ask("hello");
    }
    let mut follows = 0;
    for number in 0..40 {
        let first = vms[number % 2].ask(&prompt(number));
        for vm in &mut vms {
            envoy.advance_ms(PUBLISH_MS);
            vm.tick();
        }
        envoy.advance_ms(READ_MS);
        follows += usize::from(vms[(number + 1) % 2].ask(&prompt(number)) == first);
    }
    assert_eq!(follows, 40, "by chance it would be about 10");
    assert!(notes(&envoy, "shared") >= 40);
    assert!(notes(&envoy, "applied") >= 40);
    assert_eq!(notes(&envoy, "missed"), 0);
}

#[test]
fn a_worker_that_is_alone_writes_and_reads_nothing() {
    let envoy = FakeEnvoy::new();
    let mut vm = Vm::new(&envoy);
    for number in 0..50 {
        vm.ask(&prompt(number));
        envoy.advance_ms(PUBLISH_MS);
        vm.tick();
    }
    for key in slots::prefix_keys()
        .iter()
        .chain(&[slots::prefix_version_key()])
    {
        assert_eq!(
            envoy.peek(key),
            Some(Vec::new()),
            "{key} was created and nothing more"
        );
    }
    assert_eq!(notes(&envoy, "shared"), 0);
}

#[test]
fn a_reloaded_worker_takes_part_again() {
    let envoy = FakeEnvoy::new();
    let mut alive = Vm::new(&envoy);
    let dead = Vm::new(&envoy);
    for number in 0..3 {
        alive.ask(&prompt(number));
        dead.ask(&prompt(number));
        envoy.advance_ms(READ_MS);
    }
    drop(dead);
    let mut reloaded = Vm::new(&envoy);
    reloaded.ask("hello");
    for number in 10..20 {
        envoy.advance_ms(PUBLISH_MS);
        let first = reloaded.ask(&prompt(number));
        envoy.advance_ms(PUBLISH_MS);
        reloaded.tick();
        alive.tick();
        assert_eq!(alive.ask(&prompt(number)), first);
        envoy.advance_ms(PUBLISH_MS);
        let first = alive.ask(&prompt(number + 100));
        envoy.advance_ms(PUBLISH_MS);
        alive.tick();
        reloaded.tick();
        assert_eq!(reloaded.ask(&prompt(number + 100)), first);
    }
}

struct Two {
    host: FakeHost,
    writer: PrefixShare,
    reader: PrefixShare,
}

impl Two {
    fn new() -> Self {
        let host = FakeEnvoy::new().vm();
        slots::create_common(&host);
        Self {
            host,
            writer: PrefixShare::new(1),
            reader: PrefixShare::new(2),
        }
    }

    fn note(&mut self, hash: u64) {
        self.writer.note(&PrefixNote {
            endpoint: EndpointId {
                address: ([10, 0, 0, 1], 80).into(),
                generation: 1,
            },
            prefix: vec![hash],
            turn: None,
            cached_blocks: 1,
        });
    }

    fn publish(&mut self) -> u64 {
        self.writer.publish(&self.host, Some(7), self.host.now())
    }

    fn read(&mut self) -> (Vec<u64>, News) {
        let mut hashes = Vec::new();
        let now = self.host.now();
        let news = self.reader.news(&self.host, &[3, 7], now, &mut |note| {
            hashes.extend(&note.prefix);
        });
        (hashes, news)
    }
}

#[test]
fn notes_go_in_batches_each_once() {
    let mut two = Two::new();
    two.note(1);
    assert_eq!(two.publish(), 1);
    assert_eq!(two.read().0, [1]);
    two.note(2);
    two.note(3);
    assert_eq!(two.publish(), 0, "too soon");
    two.host.envoy().advance_ms(PUBLISH_MS - 1);
    assert_eq!(two.publish(), 0, "too soon");
    two.host.envoy().advance_ms(1);
    assert_eq!(two.publish(), 2);
    assert_eq!(two.read().0, [2, 3]);
    two.note(4);
    two.host.envoy().advance_ms(PUBLISH_MS);
    assert_eq!(two.publish(), 1);
    two.host.envoy().advance_ms(READ_MS - 1);
    assert_eq!(two.read().0, [4], "the last reading was long enough ago");
    assert_eq!(two.publish(), 0, "nothing new");
    two.host.envoy().advance_ms(READ_MS);
    assert_eq!(two.read().0, Vec::<u64>::new());
}

#[test]
fn what_fell_out_of_the_log_is_counted_as_missed() {
    let mut two = Two::new();
    two.note(0);
    two.publish();
    two.read();
    for hash in 1..=1_000 {
        two.note(hash);
    }
    two.host.envoy().advance_ms(PUBLISH_MS);
    assert_eq!(two.publish(), 1_000);
    let (hashes, news) = two.read();
    assert_eq!(hashes.last(), Some(&1_000));
    assert_eq!(news.applied + news.missed, 1_000);
    assert!(news.missed > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Another plugin with the same `vm_id` can write what it likes: nothing panics, and requests are
    /// routed on.
    #[test]
    fn rubbish_in_the_slots_is_survived(
        rubbish in proptest::collection::vec(any::<u8>(), 0..300),
        flip in any::<prop::sample::Index>(),
        version in any::<bool>(),
    ) {
        let envoy = FakeEnvoy::new();
        let vm = Vm::new(&envoy);
        let mut other = PrefixShare::new(9);
        for number in 0..4 {
            other.note(&PrefixNote {
                endpoint: EndpointId { address: ([10, 0, 0, 9], 80).into(), generation: 3 },
                prefix: vec![number; 3],
                turn: Some(number),
                cached_blocks: 2,
            });
        }
        let table = InFlightTable { owner: 9, beat: vm.host.now(), loads: Vec::new() };
        envoy.poison("zerohop/v1/in-flight/05", &in_flight::encode(&table));
        other.publish(&vm.host, Some(5), vm.host.now());
        vm.ask(&prompt(1));
        let mut log = envoy.peek("zerohop/v1/prefix/05").unwrap();
        let at = flip.index(log.len());
        log[at] ^= 0x55;
        for value in [log, rubbish] {
            envoy.advance_ms(READ_MS);
            envoy.poison("zerohop/v1/prefix/05", &value);
            let mark = if version { value } else { version::encode(at as u64 + 1) };
            envoy.poison("zerohop/v1/prefix/version", &mark);
            let first = vm.ask(&prompt(1));
            prop_assert_eq!(first, vm.ask(&prompt(1)));
        }
    }
}
