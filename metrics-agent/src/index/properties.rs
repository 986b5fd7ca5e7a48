//! What holds whatever happens.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use picker::{EndpointId, Health, InFlight, Millis, PoolSnapshot, Signal, Signals};
use pool_state::{
    convert::Report,
    mirror::{Applied, PoolMirror},
    proto::{AgentMessage, agent_message::Message},
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::publish::Cursor;

const POOL: &str = "a";
const TARGETS: u64 = 5;
const GATEWAYS: usize = 3;

#[derive(Debug, Clone)]
enum Event {
    Members(Vec<bool>),
    Page {
        target: u64,
        waiting: u8,
        life: u64,
    },
    Failure {
        target: u64,
    },
    Report {
        gateway: usize,
        target: u64,
        life: u64,
        load: InFlight,
    },
    Gone {
        gateway: usize,
    },
    /// Publishes, and lets the gateways of the mask catch up.
    Publish {
        listening: Vec<bool>,
    },
    Pause(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let target = 0..TARGETS;
    prop_oneof![
        1 => prop::collection::vec(any::<bool>(), TARGETS as usize).prop_map(Event::Members),
        6 => (target.clone(), 0u8..4, 1u64..3)
            .prop_map(|(target, waiting, life)| Event::Page { target, waiting, life }),
        1 => target.clone().prop_map(|target| Event::Failure { target }),
        3 => (0..GATEWAYS, target, 1u64..3, load()).prop_map(|(gateway, target, life, load)| {
            Event::Report { gateway, target, life, load }
        }),
        1 => (0..GATEWAYS).prop_map(|gateway| Event::Gone { gateway }),
        5 => prop::collection::vec(any::<bool>(), GATEWAYS)
            .prop_map(|listening| Event::Publish { listening }),
        2 => (0u64..300).prop_map(Event::Pause),
    ]
}

fn load() -> impl Strategy<Value = InFlight> {
    (0u32..4, 0u64..2, 0u32..4, 0u64..2).prop_map(|(requests, tokens, prefilling, prefill)| {
        match requests {
            0 => InFlight::default(),
            _ => InFlight {
                requests,
                tokens,
                prefilling: prefilling.min(requests),
                prefill_tokens: prefill,
            },
        }
    })
}

fn address(target: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8_000 + u16::try_from(target).unwrap()))
}

fn gateway(index: usize) -> Arc<str> {
    Arc::from(format!("gw-{index}"))
}

fn membership(present: &[bool]) -> Membership {
    let members = (0..TARGETS).zip(present).filter(|(_, present)| **present);
    let members = members.map(|(target, _)| Member {
        target: TargetId(target),
        address: address(target),
        name: None,
        weight: 1.0,
        price: 1.0,
        labels: Arc::default(),
    });
    Membership {
        pools: vec![PoolMembers {
            name: Arc::from(POOL),
            members: members.collect(),
            unresolved: 0,
        }],
    }
}

fn observation(now: Millis, life: u64) -> Observation {
    Observation {
        at: now,
        attempt: Attempt::Scraped,
        signals: Signals::default(),
        health: Health::Ready,
        reason: "scraped".into(),
        life,
        tallies: Default::default(),
    }
}

/// The agent, its gateways, and a plain model of who has what in flight.
struct World {
    now: Millis,
    index: Index,
    last: Option<Arc<Publication>>,
    cursors: Vec<Cursor>,
    mirrors: Vec<PoolMirror>,
    loads: BTreeMap<usize, HashMap<EndpointId, InFlight>>,
}

impl World {
    fn new() -> Self {
        let mut index = Index::new(7, 1, 500);
        index.set_membership(&membership(&[true; TARGETS as usize]), Millis(10_000));
        Self {
            now: Millis(10_000),
            index,
            last: None,
            cursors: (0..GATEWAYS).map(|_| Cursor::default()).collect(),
            mirrors: (0..GATEWAYS).map(|_| PoolMirror::new(POOL)).collect(),
            loads: BTreeMap::new(),
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        let now = self.now;
        match event {
            Event::Members(present) => self.index.set_membership(&membership(&present), now),
            Event::Page {
                target,
                waiting,
                life,
            } => {
                let mut page = observation(now, life);
                page.signals.waiting = Some(Signal::new(f32::from(waiting), now));
                self.index.observe(TargetId(target), page);
            }
            Event::Failure { target } => {
                let mut failure = observation(now, 1);
                failure.attempt = Attempt::Failed;
                failure.health = Health::Suspect;
                self.index.observe(TargetId(target), failure);
            }
            Event::Report {
                gateway: index,
                target,
                life,
                load,
            } => {
                let id = EndpointId {
                    address: address(target),
                    generation: generation(address(target), None, life),
                };
                let report = Report {
                    pool: POOL.to_owned(),
                    loads: vec![(id, load)],
                };
                self.index
                    .report(&gateway(index), index as u64, report, now);
                self.loads.insert(index, HashMap::from([(id, load)]));
            }
            Event::Gone { gateway: index } => {
                self.index.gateway_gone(&gateway(index), index as u64);
                self.loads.remove(&index);
            }
            Event::Publish { listening } => self.publish(&listening)?,
            Event::Pause(ms) => self.now = now.plus(ms),
        }
        Ok(())
    }

    fn publish(&mut self, listening: &[bool]) -> Result<(), TestCaseError> {
        for publication in self.index.publish(self.now, 1).into_values() {
            let sequence = |publication: &Arc<Publication>| publication.snapshot.version.sequence;
            if let Some(last) = &self.last {
                prop_assert_eq!(sequence(&publication), sequence(last) + 1);
            }
            let ids: Vec<EndpointId> = publication
                .snapshot
                .endpoints
                .iter()
                .map(|e| e.id)
                .collect();
            prop_assert!(
                ids.is_sorted_by(|a, b| a.address < b.address),
                "sorted, each once"
            );
            self.last = Some(publication);
        }
        let Some(publication) = self.last.clone() else {
            return Ok(());
        };
        for index in (0..GATEWAYS).filter(|index| listening[*index]) {
            self.catch_up(index, &publication)?;
            self.compare(index, &publication.snapshot)?;
        }
        Ok(())
    }

    /// Over the wire and into the mirror, as a gateway does it.
    fn catch_up(&mut self, index: usize, publication: &Publication) -> Result<(), TestCaseError> {
        let message = self.cursors[index].advance(&gateway(index), publication, self.now);
        let Some(bytes) = message else {
            return Ok(());
        };
        let mirror = &mut self.mirrors[index];
        let applied = match AgentMessage::decode(bytes).unwrap().message.unwrap() {
            Message::Snapshot(snapshot) => mirror.apply_snapshot(snapshot, self.now),
            Message::Delta(delta) => mirror.apply_delta(delta, self.now),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(applied, Ok(Applied::Taken));
        Ok(())
    }

    /// The mirror is the publication plus what the others have in flight by the model.
    fn compare(&self, index: usize, published: &PoolSnapshot) -> Result<(), TestCaseError> {
        let mirrored = self.mirrors[index].snapshot().unwrap();
        prop_assert_eq!(mirrored.version, published.version);
        prop_assert_eq!(mirrored.endpoints.len(), published.endpoints.len());
        for (mirrored, published) in mirrored.endpoints.iter().zip(&published.endpoints) {
            prop_assert_eq!(mirrored.id, published.id);
            prop_assert_eq!(mirrored.health, published.health);
            let waiting = |signals: &Signals| signals.waiting.map(|waiting| waiting.value);
            prop_assert_eq!(waiting(&mirrored.signals), waiting(&published.signals));
            if let (Some(here), Some(there)) = (mirrored.signals.waiting, published.signals.waiting)
            {
                // An age is measured when the publication is made and counted from its arrival.
                let off = here.taken_at.0.abs_diff(there.taken_at.0);
                prop_assert!(off <= 20, "an age is off by {} ms", off);
            }
            let expected = self
                .loads
                .iter()
                .filter(|(other, _)| **other != index)
                .filter_map(|(_, loads)| loads.get(&mirrored.id))
                .fold(InFlight::default(), |sum, load| sum.plus(*load));
            let others = mirrored
                .signals
                .others_in_flight
                .map_or(InFlight::default(), |others| others.value);
            prop_assert_eq!(
                others,
                expected,
                "gateway {} at {}",
                index,
                mirrored.id.address
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order, a gateway that catches up holds the agent's state, with
    /// exactly the other gateways' load on the present life of each endpoint.
    #[test]
    fn gateways_that_catch_up_hold_the_agents_state(
        events in prop::collection::vec(event(), 1..60)
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event)?;
        }
        world.now = world.now.plus(1_000);
        world.publish(&[true; GATEWAYS])?;
    }

    /// Two agents that look at the same pods give them the same identities, whatever they saw
    /// before and in whatever order.
    #[test]
    fn agents_agree_on_generations(
        lives in prop::collection::vec(1u64..4, TARGETS as usize),
        early in prop::collection::vec((0..TARGETS, 1u64..4), 0..10),
    ) {
        let ids = |early: &[(u64, u64)]| -> Vec<EndpointId> {
            let mut index = Index::new(early.len() as u64, 1, 500);
            index.set_membership(&membership(&[true; TARGETS as usize]), Millis(0));
            for (target, life) in early {
                index.observe(TargetId(*target), observation(Millis(1), *life));
            }
            for (target, life) in (0..TARGETS).zip(&lives) {
                index.observe(TargetId(target), observation(Millis(2), *life));
            }
            let publications = index.publish(Millis(3), 1);
            publications[POOL].snapshot.endpoints.iter().map(|e| e.id).collect()
        };
        let first = ids(&early);
        prop_assert_eq!(first.len(), TARGETS as usize);
        prop_assert_eq!(first, ids(&[]));
    }
}
