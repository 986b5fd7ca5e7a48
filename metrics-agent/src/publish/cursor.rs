//! What one gateway holds of one pool, and the message that brings it up to date.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use picker::{EndpointId, InFlight, Millis, PoolSnapshot, Signal};
use pool_state::{
    convert::{delta_to_proto, endpoint_to_proto, id_to_proto, others_to_proto, snapshot_to_proto},
    proto::{self, AgentMessage, agent_message::Message},
};
use prost::Message as _;

use crate::index::Publication;

/// An encoded message is shared among gateways as long as its ages are not off by more than this.
const SHARED_FOR_MS: u64 = 20;

/// What was sent last.
#[derive(Debug)]
struct Sent {
    snapshot: Arc<PoolSnapshot>,
    others: HashMap<EndpointId, Signal<InFlight>>,
}

/// One gateway's position in one pool's publications. Pure: it decides what to send, the gateway's
/// task sends it.
#[derive(Debug, Default)]
pub struct Cursor {
    sent: Option<Sent>,
}

impl Cursor {
    /// The encoded message that brings `gateway` from what it holds to `publication`, which counts
    /// as sent from then on; `None` when it holds that already.
    pub fn advance(
        &mut self,
        gateway: &str,
        publication: &Publication,
        now: Millis,
    ) -> Option<Bytes> {
        let version = publication.snapshot.version;
        let sent = self.sent.as_ref();
        if sent.is_some_and(|sent| sent.snapshot.version.sequence == version.sequence) {
            return None;
        }
        let others = others_in(publication, gateway);
        let message = match sent {
            None => encode(Message::Snapshot(whole(publication, &others, now))),
            Some(sent) => change(sent, publication, &others, now),
        };
        self.sent = Some(Sent {
            snapshot: Arc::clone(&publication.snapshot),
            others,
        });
        Some(message)
    }
}

/// Encodes a message of the agent.
pub(super) fn encode(message: Message) -> Bytes {
    let message = AgentMessage {
        message: Some(message),
    };
    Bytes::from(message.encode_to_vec())
}

/// Others' load on the endpoints that are in the publication.
fn others_in(publication: &Publication, gateway: &str) -> HashMap<EndpointId, Signal<InFlight>> {
    let mut others = publication.loads.others(gateway);
    if !others.is_empty() {
        others.retain(|id, _| find(&publication.snapshot, *id).is_some());
    }
    others
}

fn find(snapshot: &PoolSnapshot, id: EndpointId) -> Option<&picker::Endpoint> {
    let endpoints = &snapshot.endpoints;
    let index = endpoints
        .binary_search_by_key(&id, |endpoint| endpoint.id)
        .ok()?;
    endpoints.get(index)
}

fn whole(
    publication: &Publication,
    others: &HashMap<EndpointId, Signal<InFlight>>,
    now: Millis,
) -> proto::Snapshot {
    let mut snapshot = snapshot_to_proto(&publication.snapshot, now);
    if !others.is_empty() {
        let ids = publication.snapshot.endpoints.iter();
        for (raw, endpoint) in snapshot.endpoints.iter_mut().zip(ids) {
            raw.others_in_flight = others
                .get(&endpoint.id)
                .map(|load| others_to_proto(*load, now));
        }
    }
    snapshot
}

fn change(
    sent: &Sent,
    publication: &Publication,
    others: &HashMap<EndpointId, Signal<InFlight>>,
    now: Millis,
) -> Bytes {
    let follows = publication
        .base
        .as_ref()
        .is_some_and(|base| base.version.sequence == sent.snapshot.version.sequence);
    let shared = follows && now.since(publication.at) <= SHARED_FOR_MS;
    let alone = others.is_empty() && sent.others.is_empty();
    if shared
        && alone
        && let Some(bytes) = publication.encoded_delta(|delta| encode(Message::Delta(delta)))
    {
        return bytes;
    }
    let mut delta = match publication.delta().filter(|_| shared) {
        Some(delta) => delta.clone(),
        None => delta_to_proto(&sent.snapshot, &publication.snapshot, now),
    };
    if !alone {
        tell_of_others(&mut delta, sent, publication, others, now);
    }
    encode(Message::Delta(delta))
}

/// Writes others' loads into the changed endpoints, and adds the endpoints where nothing changed but
/// these loads.
fn tell_of_others(
    delta: &mut proto::Delta,
    sent: &Sent,
    publication: &Publication,
    others: &HashMap<EndpointId, Signal<InFlight>>,
    now: Millis,
) {
    let mut untold: HashMap<EndpointId, Option<Signal<InFlight>>> = HashMap::new();
    for (id, load) in others {
        if sent.others.get(id).map(|before| before.value) != Some(load.value) {
            untold.insert(*id, Some(*load));
        }
    }
    for id in sent.others.keys() {
        if !others.contains_key(id) {
            untold.insert(*id, None);
        }
    }
    let told: HashMap<proto::EndpointId, EndpointId> = others
        .keys()
        .chain(untold.keys())
        .map(|id| (id_to_proto(*id), *id))
        .collect();
    for upsert in &mut delta.upserts {
        let id = upsert.id.as_ref().and_then(|raw| told.get(raw));
        if let Some(id) = id {
            upsert.others_in_flight = others.get(id).map(|load| others_to_proto(*load, now));
            untold.remove(id);
        }
    }
    for (id, load) in untold {
        if let Some(endpoint) = find(&publication.snapshot, id) {
            let mut upsert = endpoint_to_proto(endpoint, now);
            upsert.others_in_flight = load.map(|load| others_to_proto(load, now));
            delta.upserts.push(upsert);
        }
    }
}
