use picker::{Endpoint, EndpointId, InFlight, PoolSnapshot, SnapshotVersion};
use pool_state::{
    convert::{delta_to_proto, snapshot_to_proto},
    proto::{AgentMessage, GatewayMessage, Heartbeat, Refusal},
};

use super::*;
use crate::{
    root::{Root, Stream},
    slots,
    testing::{FakeEnvoy, FakeHost, FakeStream},
};

const CONFIG: &str =
    r#"{"agent": {"cluster": "agent"}, "pools": [{"name": "p", "members": ["10.0.0.1:80"]}]}"#;

struct Rig {
    envoy: FakeEnvoy,
    vms: Vec<(FakeHost, Root)>,
}

impl Rig {
    fn new(count: usize) -> Self {
        let envoy = FakeEnvoy::new();
        envoy.add_cluster("agent");
        let start = |_| {
            let host = envoy.vm().configured(CONFIG);
            let root = Root::configure(&host, 0).unwrap();
            (host, root)
        };
        let vms = (0..count).map(start).collect();
        Self { envoy, vms }
    }

    /// All VMs tick, then 200 ms pass.
    fn tick(&mut self) {
        for (host, root) in &mut self.vms {
            root.tick(host);
        }
        self.envoy.advance_ms(200);
    }

    fn deliver(&mut self, vm: usize, token: u32, message: Vec<u8>) {
        let (host, root) = &mut self.vms[vm];
        let length = host.incoming(message);
        root.stream_message(host, StreamToken(token), length);
    }

    fn heartbeat(&mut self, vm: usize, token: u32) {
        let beat = agent_message::Message::Heartbeat(Heartbeat { sequence: 1 });
        self.deliver(vm, token, encode(beat));
    }

    fn open_streams(&self) -> Vec<u32> {
        let streams = self.envoy.streams();
        let open = streams
            .iter()
            .enumerate()
            .filter(|(_, stream)| !stream.reset);
        open.map(|(token, _)| u32::try_from(token).unwrap())
            .collect()
    }

    fn sent(&self, token: u32) -> Vec<gateway_message::Message> {
        sent(&self.envoy.streams()[token as usize])
    }

    /// Routes one request in a VM and returns its destination; it stays in flight.
    fn pick(&self, vm: usize) -> Option<String> {
        let (host, root) = &self.vms[vm];
        let context = host.stream(&[]);
        let Stream::Request(mut request) = root.stream(context) else {
            panic!("this root context decides");
        };
        request.on_request_headers(host, true);
        host.header_of(context, crate::headers::DESTINATION)
    }
}

fn sent(stream: &FakeStream) -> Vec<gateway_message::Message> {
    let decode = |bytes: &Vec<u8>| GatewayMessage::decode(bytes.as_slice()).unwrap();
    stream
        .sent
        .iter()
        .filter_map(|bytes| decode(bytes).message)
        .collect()
}

fn encode(message: agent_message::Message) -> Vec<u8> {
    AgentMessage {
        message: Some(message),
    }
    .encode_to_vec()
}

fn state(sequence: u64, members: &[u8]) -> PoolSnapshot {
    let endpoint = |last: &u8| {
        Endpoint::new(EndpointId {
            address: ([10, 0, 1, *last], 80).into(),
            generation: 5,
        })
    };
    PoolSnapshot {
        pool: "p".to_owned(),
        version: SnapshotVersion {
            agent_id: 9,
            epoch: 1,
            sequence,
            taken_at_unix_ms: 0,
        },
        endpoints: members.iter().map(endpoint).collect(),
    }
}

fn snapshot(state: &PoolSnapshot) -> Vec<u8> {
    encode(agent_message::Message::Snapshot(snapshot_to_proto(
        state,
        Millis(0),
    )))
}

fn delta(old: &PoolSnapshot, new: &PoolSnapshot) -> Vec<u8> {
    encode(agent_message::Message::Delta(delta_to_proto(
        old,
        new,
        Millis(0),
    )))
}

#[test]
fn of_four_vms_one_opens_a_stream_and_says_hello() {
    let mut rig = Rig::new(4);
    for _ in 0..5 {
        rig.tick();
    }
    assert_eq!(rig.open_streams(), [0]);
    let sent = rig.sent(0);
    let Some(gateway_message::Message::Hello(hello)) = sent.first() else {
        panic!("the first message is a greeting, got {sent:?}");
    };
    assert_eq!(hello.pools, ["p"]);
    assert!(
        limits::is_gateway_id(&hello.gateway_id),
        "{}",
        hello.gateway_id
    );
}

#[test]
fn a_snapshot_reaches_every_vm_at_its_next_pick_and_a_delta_too() {
    let mut rig = Rig::new(3);
    rig.tick();
    assert_eq!(rig.pick(2).as_deref(), Some("10.0.0.1:80"), "the seed");
    rig.deliver(0, 0, snapshot(&state(1, &[1])));
    for vm in 0..3 {
        assert_eq!(rig.pick(vm).as_deref(), Some("10.0.1.1:80"));
    }
    rig.deliver(0, 0, delta(&state(1, &[1]), &state(2, &[2])));
    for vm in 0..3 {
        assert_eq!(rig.pick(vm).as_deref(), Some("10.0.1.2:80"));
    }
    assert_eq!(
        rig.envoy
            .metric("result=.=taken;.;zerohop_pool_states_total"),
        2
    );
}

#[test]
fn the_next_leader_goes_on_where_the_dead_one_stopped() {
    let mut rig = Rig::new(3);
    rig.tick();
    rig.deliver(0, 0, snapshot(&state(7, &[1])));
    let hello = rig.sent(0).remove(0);
    rig.vms.remove(0);
    for _ in 0..4 {
        rig.tick();
    }
    assert_eq!(
        rig.open_streams(),
        [0, 1],
        "the zombie of the dead VM and the new one"
    );
    assert_eq!(
        rig.sent(1).remove(0),
        hello,
        "the same gateway to the agent"
    );
    assert_eq!(
        rig.pick(1).as_deref(),
        Some("10.0.1.1:80"),
        "warm meanwhile"
    );
    rig.deliver(0, 1, snapshot(&state(6, &[2])));
    assert_eq!(
        rig.pick(1).as_deref(),
        Some("10.0.1.1:80"),
        "time does not run back"
    );
    assert_eq!(
        rig.envoy.metric("result=.=old;.;zerohop_pool_states_total"),
        1
    );
    rig.deliver(0, 1, snapshot(&state(8, &[2])));
    assert_eq!(rig.pick(1).as_deref(), Some("10.0.1.2:80"));
}

#[test]
fn each_side_hears_the_other_once_a_second() {
    let mut rig = Rig::new(1);
    for _ in 0..50 {
        rig.tick();
        rig.heartbeat(0, 0);
    }
    let beats = rig.sent(0).into_iter().filter_map(|message| match message {
        gateway_message::Message::Heartbeat(beat) => Some(beat.sequence),
        gateway_message::Message::Hello(_)
        | gateway_message::Message::InFlight(_)
        | gateway_message::Message::Sheds(_) => None,
    });
    assert_eq!(beats.collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    assert_eq!(
        rig.open_streams(),
        [0],
        "an agent with nothing new is alive"
    );
}

#[test]
fn a_silent_agent_is_given_up_after_three_seconds() {
    let mut rig = Rig::new(1);
    let mut waited = 0;
    rig.tick();
    while !rig.envoy.streams()[0].reset {
        rig.tick();
        waited += 200;
        assert!(waited <= SILENCE_MS, "still waiting after {waited} ms");
    }
    assert_eq!(waited, SILENCE_MS);
    rig.tick();
    assert_eq!(rig.open_streams(), [1], "and another is opened");
    assert_eq!(
        rig.pick(0).as_deref(),
        Some("10.0.0.1:80"),
        "requests do not notice"
    );
    rig.heartbeat(0, 0);
    rig.deliver(0, 0, snapshot(&state(1, &[1])));
    assert_eq!(
        rig.pick(0).as_deref(),
        Some("10.0.0.1:80"),
        "late messages count for nothing"
    );
}

#[test]
fn an_unknown_cluster_is_tried_again_with_a_back_off() {
    let envoy = FakeEnvoy::new();
    let host = envoy.vm().configured(CONFIG);
    let mut rig = Rig {
        vms: vec![(
            host,
            Root::configure(&envoy.vm().configured(CONFIG), 0).unwrap(),
        )],
        envoy,
    };
    for _ in 0..50 {
        rig.tick();
    }
    let failures = rig
        .envoy
        .metric("event=.=open_failed;.;zerohop_agent_stream_events_total");
    assert!((4..=12).contains(&failures), "{failures} attempts in 10 s");
    rig.envoy.add_cluster("agent");
    for _ in 0..16 {
        rig.tick();
    }
    assert_eq!(rig.open_streams(), [0]);
}

#[test]
fn a_closed_stream_is_opened_again() {
    let mut rig = Rig::new(1);
    rig.tick();
    let (host, root) = &mut rig.vms[0];
    root.stream_closed(host, StreamToken(77), 14);
    root.stream_closed(host, StreamToken(0), 14);
    for _ in 0..3 {
        rig.tick();
    }
    assert_eq!(rig.envoy.streams().len(), 2);
    assert_eq!(
        rig.envoy
            .metric("event=.=closed;.;zerohop_agent_stream_events_total"),
        1
    );
}

#[test]
fn a_message_that_breaks_the_contract_starts_the_stream_over() {
    let mut no_ip = snapshot_to_proto(&state(2, &[1]), Millis(0));
    no_ip.endpoints[0].id.as_mut().unwrap().ip.clear();
    let gap = delta_to_proto(&state(8, &[1]), &state(9, &[2]), Millis(0));
    for bad in [
        vec![0xff; 40],
        encode(agent_message::Message::Snapshot(no_ip)),
        encode(agent_message::Message::Delta(gap)),
        vec![0; limits::MAX_MESSAGE_BYTES + 1],
    ] {
        let mut rig = Rig::new(1);
        rig.tick();
        rig.deliver(0, 0, snapshot(&state(1, &[1])));
        rig.deliver(0, 0, bad);
        assert!(rig.open_streams().is_empty());
        for _ in 0..3 {
            rig.tick();
        }
        assert_eq!(rig.open_streams(), [1]);
        assert_eq!(
            rig.pick(0).as_deref(),
            Some("10.0.1.1:80"),
            "the state stays"
        );
        assert_eq!(
            rig.envoy
                .metric("event=.=contract_error;.;zerohop_agent_stream_events_total"),
            1
        );
    }
}

#[test]
fn other_pools_refusals_and_unknown_messages_end_nothing() {
    let mut rig = Rig::new(1);
    rig.tick();
    let mut other = state(1, &[1]);
    other.pool = "q".to_owned();
    let refusal = Refusal {
        pool: "p\n".to_owned(),
        reason: "unknown".to_owned(),
    };
    rig.deliver(0, 0, snapshot(&other));
    rig.deliver(0, 0, encode(agent_message::Message::Refusal(refusal)));
    rig.deliver(0, 0, Vec::new());
    rig.deliver(0, 0, vec![0xfa, 0x06, 0x01, 0x00]);
    assert_eq!(rig.open_streams(), [0]);
    assert_eq!(rig.pick(0).as_deref(), Some("10.0.0.1:80"));
}

#[test]
fn the_refusals_of_all_workers_are_told_by_the_leader_once_a_second_if_there_were_any() {
    let mut rig = Rig::new(3);
    let told = |rig: &Rig, token| -> Vec<u64> {
        let sheds = rig
            .sent(token)
            .into_iter()
            .filter_map(|message| match message {
                gateway_message::Message::Sheds(report) => Some(report),
                gateway_message::Message::Hello(_)
                | gateway_message::Message::Heartbeat(_)
                | gateway_message::Message::InFlight(_) => None,
            });
        let sheds = sheds.inspect(|report| assert_eq!(report.pool, "p"));
        sheds.map(|report| report.total).collect()
    };
    let refuse = |rig: &Rig, vm: usize| {
        let (host, root) = &rig.vms[vm];
        root.worker().unwrap().borrow().metrics().refused(host, 0);
    };
    let second = |rig: &mut Rig, token| {
        for _ in 0..5 {
            rig.tick();
            rig.heartbeat(0, token);
        }
    };
    refuse(&rig, 1);
    rig.tick();
    assert_eq!(told(&rig, 0), [1], "from where the agent has to count");
    for vm in [0, 1, 2] {
        refuse(&rig, vm);
        rig.tick();
    }
    assert_eq!(told(&rig, 0), [1], "not before the second is over");
    second(&mut rig, 0);
    assert_eq!(told(&rig, 0), [1, 4], "all of them at once");
    second(&mut rig, 0);
    second(&mut rig, 0);
    assert_eq!(told(&rig, 0), [1, 4], "nothing new is no message");
    assert_eq!(rig.open_streams(), [0], "nobody else tells");

    let (host, root) = &mut rig.vms[0];
    root.stream_closed(host, StreamToken(0), 14);
    second(&mut rig, 1);
    assert_eq!(told(&rig, 1), [4], "another session begins with what is");
}

#[test]
fn the_load_of_all_workers_is_reported_when_it_changes() {
    let mut rig = Rig::new(3);
    rig.tick();
    rig.deliver(0, 0, snapshot(&state(1, &[1])));
    for vm in [0, 1, 1, 2] {
        rig.pick(vm);
    }
    // The tables of others are read at most once a millisecond.
    rig.envoy.advance_ms(1);
    for _ in 0..5 {
        rig.tick();
        rig.heartbeat(0, 0);
    }
    let reports: Vec<_> = rig
        .sent(0)
        .into_iter()
        .filter_map(|message| match message {
            gateway_message::Message::InFlight(report) => Some(report),
            gateway_message::Message::Hello(_)
            | gateway_message::Message::Heartbeat(_)
            | gateway_message::Message::Sheds(_) => None,
        })
        .collect();
    for report in &reports {
        let [load] = report.loads.as_slice() else {
            panic!("one endpoint has load");
        };
        let load = load.in_flight.unwrap();
        assert_eq!((load.requests, load.tokens > 0), (4, true));
    }
    // Nobody streams: the prefills end when they should, which is a change, too.
    let prefilling = |report: &proto::InFlightReport| report.loads[0].in_flight.unwrap().prefilling;
    assert_eq!(reports.first().map(prefilling), Some(4));
    assert_eq!(reports.last().map(prefilling), Some(0));
    for (one, next) in reports.iter().zip(&reports[1..]) {
        assert_ne!(one, next, "one change, one report");
    }
    assert_eq!(rig.envoy.metric("pool=.=p;.;zerohop_in_flight_requests"), 4);
}

#[test]
fn losing_the_lease_closes_the_stream() {
    let mut rig = Rig::new(2);
    rig.tick();
    let (host, _) = &rig.vms[1];
    slots::set_agent(host, &slots::PoolKeys::new("p"), "another");
    rig.tick();
    assert!(rig.open_streams().is_empty());
}

#[test]
fn a_root_context_that_ends_hands_over_at_once() {
    let mut rig = Rig::new(2);
    rig.tick();
    let (host, root) = &mut rig.vms[0];
    root.shut_down(host);
    rig.vms.remove(0);
    rig.tick();
    assert_eq!(rig.open_streams(), [1]);
}

#[test]
fn the_worker_that_is_not_there_any_more_stops_counting() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.deliver(0, 0, snapshot(&state(1, &[1, 2])));
    for _ in 0..6 {
        rig.pick(1);
    }
    rig.vms.remove(1);
    for _ in 0..12 {
        rig.tick();
    }
    let (_, root) = &rig.vms[0];
    let loads = root.worker().unwrap().borrow().loads(0);
    assert_eq!(loads, Vec::<(EndpointId, InFlight)>::new());
}

mod policies {
    use pool_state::{
        convert::policy_to_proto,
        policy::{ModelRule, Policy, PolicyParts},
        proto,
    };

    use super::*;

    fn policy(pool: &str, model: &str) -> proto::Policy {
        let rule = ModelRule {
            model: Some(model.to_owned()),
            source: "r".to_owned(),
            priority: None,
            targets: Vec::new(),
        };
        let parts = PolicyParts {
            pool: pool.to_owned(),
            rules: vec![rule],
            ..PolicyParts::default()
        };
        policy_to_proto(&Policy::new(parts).unwrap())
    }

    fn message(policy: proto::Policy) -> Vec<u8> {
        encode(agent_message::Message::Policy(policy))
    }

    fn models(rig: &Rig, vm: usize) -> Option<Vec<String>> {
        let worker = rig.vms[vm].1.worker().unwrap().borrow();
        let policy = worker.policy(0)?;
        Some(policy.models().map(str::to_owned).collect())
    }

    fn count(rig: &Rig, result: &str) -> u64 {
        let labels = [("result", result)];
        rig.envoy.metric(&crate::metrics::series(
            "zerohop_pool_states_total",
            &labels,
        ))
    }

    #[test]
    fn a_policy_reaches_every_worker_with_its_next_tick() {
        let mut rig = Rig::new(3);
        rig.tick();
        assert_eq!(models(&rig, 0), None);
        rig.deliver(0, 0, message(policy("p", "a")));
        rig.tick();
        for vm in 0..3 {
            assert_eq!(models(&rig, vm), Some(vec!["a".to_owned()]));
        }
        rig.deliver(0, 0, message(policy("p", "b")));
        rig.tick();
        for vm in 0..3 {
            assert_eq!(models(&rig, vm), Some(vec!["b".to_owned()]));
        }
        assert_eq!(count(&rig, "policy_taken"), 2);
        assert_eq!(count(&rig, "policy_read"), 6);
        // The same again is not written again.
        rig.deliver(0, 0, message(policy("p", "b")));
        assert_eq!(count(&rig, "policy_taken"), 2);
    }

    #[test]
    fn what_is_no_policy_changes_nothing_and_the_stream_goes_on() {
        let mut rig = Rig::new(2);
        rig.tick();
        rig.deliver(0, 0, message(policy("p", "a")));
        let mut lie = policy("p", "b");
        lie.table[40] ^= 1;
        rig.deliver(0, 0, message(lie));
        let stranger = proto::Policy {
            pool: "p".to_owned(),
            ..policy("q", "b")
        };
        rig.deliver(0, 0, message(stranger));
        rig.deliver(0, 0, message(policy("q", "b")));
        rig.tick();
        assert_eq!(models(&rig, 1), Some(vec!["a".to_owned()]));
        assert_eq!(count(&rig, "policy_refused"), 2);
        assert_eq!(rig.open_streams(), [0]);
    }

    #[test]
    fn rubbish_in_the_slot_leaves_the_last_policy_in_force() {
        let mut rig = Rig::new(2);
        rig.tick();
        rig.deliver(0, 0, message(policy("p", "a")));
        rig.tick();
        let keys = slots::PoolKeys::new("p");
        for rubbish in [b"rubbish".to_vec(), Vec::new(), policy("q", "b").table] {
            let (host, _) = &rig.vms[0];
            host.set_shared(&keys.policy, &rubbish).unwrap();
            slots::bump(host, &keys.policy_version);
            rig.tick();
            assert_eq!(models(&rig, 1), Some(vec!["a".to_owned()]));
        }
        let (host, _) = &rig.vms[0];
        host.set_shared(&keys.policy_version, b"rubbish").unwrap();
        rig.tick();
        assert_eq!(models(&rig, 1), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn the_last_policy_outlives_the_agent_and_the_vm() {
        let mut rig = Rig::new(2);
        rig.tick();
        rig.deliver(0, 0, message(policy("p", "a")));
        let (host, root) = &mut rig.vms[0];
        root.stream_closed(host, StreamToken(0), 14);
        for _ in 0..100 {
            rig.tick();
        }
        assert_eq!(models(&rig, 1), Some(vec!["a".to_owned()]));
        let host = rig.envoy.vm().configured(CONFIG);
        let root = Root::configure(&host, 0).unwrap();
        rig.vms.push((host, root));
        assert_eq!(models(&rig, 2), Some(vec!["a".to_owned()]), "at once");
    }
}
