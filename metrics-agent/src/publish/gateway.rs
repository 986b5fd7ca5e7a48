//! The task that serves one gateway's stream.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use picker::Millis;
use pool_state::{
    convert::{Hello, hello_from_proto, report_from_proto, sheds_from_proto},
    limits::MAX_MESSAGE_BYTES,
    proto::{GatewayMessage, Heartbeat, Refusal, agent_message, gateway_message},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::{Cursor, HEARTBEAT, SILENCE, cursor::encode};
use crate::{
    hub::{Hub, Published},
    index::Publication,
    resources::{Policies, PolicyMessage},
    shutdown::Shutdown,
    telemetry::SentKind,
};

/// Tells the streams of this process apart.
static STREAMS: AtomicU64 = AtomicU64::new(1);

pub(super) type Outbound = mpsc::Sender<Result<Bytes, Status>>;

/// Where this gateway stands with one pool.
#[derive(Debug)]
enum Standing {
    /// Nothing sent so far.
    Waiting,
    /// It gets the pool's publications.
    Served(Cursor),
    /// It was told that there is no such pool; it will be served when there is.
    Refused,
    /// It was told that the pool, with so many endpoints, does not fit into a message; it will be
    /// served when there are fewer.
    TooLarge(usize),
}

/// Serves a gateway until it leaves, falls silent, breaks the contract or the agent stops.
pub(super) async fn serve(
    hub: Arc<Hub>,
    mut inbound: Streaming<GatewayMessage>,
    outbound: Outbound,
    shutdown: Shutdown,
) {
    let ending = match greeting(&mut inbound).await {
        Ok(hello) => {
            let mut gateway = Gateway::new(&hub, hello);
            info!(gateway = %gateway.id, pools = gateway.pools.len(), "gateway connected");
            hub.telemetry.gateways.inc();
            let follower = hub.followed();
            let pools = gateway.pools.keys().map(Arc::clone).collect();
            hub.gateway_came(&gateway.id, gateway.stream, pools);
            let ending = gateway.run(inbound, &outbound, shutdown).await;
            drop(follower);
            hub.telemetry.gateways.dec();
            hub.gateway_gone(&gateway.id, gateway.stream);
            info!(gateway = %gateway.id, reason = %Reason(&ending), "gateway disconnected");
            ending
        }
        Err(status) => {
            warn!(reason = %status.message(), "gateway refused");
            Some(status)
        }
    };
    if let Some(status) = ending {
        // Best effort: a gateway that does not read any more will see the connection end.
        drop(timeout(HEARTBEAT, outbound.send(Err(status))).await);
    }
}

/// The first message, which must be a Hello and come soon.
async fn greeting(inbound: &mut Streaming<GatewayMessage>) -> Result<Hello, Status> {
    let first = timeout(SILENCE, inbound.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello within 3 s"))?
        .map_err(|status| Status::invalid_argument(status.message().to_owned()))?;
    match first.and_then(|first| first.message) {
        Some(gateway_message::Message::Hello(hello)) => {
            hello_from_proto(hello).map_err(|error| Status::invalid_argument(error.to_string()))
        }
        _ => Err(Status::invalid_argument(
            "the first message of a stream must be a hello",
        )),
    }
}

struct Gateway<'a> {
    hub: &'a Hub,
    id: Arc<str>,
    stream: u64,
    pools: BTreeMap<Arc<str>, Standing>,
    /// The policies that it was sent last.
    policies: BTreeMap<Arc<str>, Arc<PolicyMessage>>,
    heartbeats: u64,
}

impl<'a> Gateway<'a> {
    fn new(hub: &'a Hub, hello: Hello) -> Self {
        let pools = hello.pools.iter().map(|pool| Arc::from(pool.as_str()));
        Self {
            hub,
            id: Arc::from(hello.gateway_id),
            stream: STREAMS.fetch_add(1, Ordering::Relaxed),
            pools: pools.map(|pool| (pool, Standing::Waiting)).collect(),
            policies: BTreeMap::new(),
            heartbeats: 0,
        }
    }

    /// Runs the stream; `None` when the gateway ended it.
    async fn run(
        &mut self,
        mut inbound: Streaming<GatewayMessage>,
        outbound: &Outbound,
        mut shutdown: Shutdown,
    ) -> Option<Status> {
        let mut published = self.hub.subscribe();
        let mut policies = self.hub.subscribe_policies();
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        let (mut behind, mut heartbeat_due) = (true, false);
        loop {
            tokio::select! {
                message = inbound.message() => match message {
                    Ok(Some(message)) => {
                        last_heard = Instant::now();
                        if let Err(status) = self.hear(message) {
                            return Some(status);
                        }
                    }
                    Ok(None) => return None,
                    Err(status) => {
                        debug!(gateway = %self.id, %status, "stream broke");
                        return None;
                    }
                },
                changed = published.changed(), if !behind => match changed {
                    Ok(()) => behind = true,
                    Err(_) => return Some(stopping()),
                },
                changed = policies.changed(), if !behind => match changed {
                    Ok(()) => behind = true,
                    Err(_) => return Some(stopping()),
                },
                permit = outbound.reserve(), if behind || heartbeat_due => {
                    let Ok(permit) = permit else { return None };
                    if heartbeat_due {
                        heartbeat_due = false;
                        permit.send(Ok(self.heartbeat()));
                    } else if let Some(message) = self.next_policy(&mut policies) {
                        permit.send(Ok(message));
                    } else if let Some(message) = self.next_message(&mut published) {
                        permit.send(Ok(message));
                    } else {
                        behind = false;
                    }
                }
                _ = heartbeat.tick() => heartbeat_due = true,
                () = sleep_until(last_heard + SILENCE) => {
                    return Some(Status::deadline_exceeded("nothing heard for 3 s"));
                }
                () = outbound.closed() => return None,
                () = shutdown.requested() => return Some(stopping()),
            }
        }
    }

    fn hear(&self, message: GatewayMessage) -> Result<(), Status> {
        match message.message {
            Some(gateway_message::Message::InFlight(report)) => match report_from_proto(report) {
                Ok(report) => self.hub.report(&self.id, self.stream, report),
                Err(error) => return Err(Status::invalid_argument(error.to_string())),
            },
            Some(gateway_message::Message::Sheds(report)) => match sheds_from_proto(report) {
                Ok(report) => self.hub.sheds(&self.id, self.stream, &report),
                Err(error) => return Err(Status::invalid_argument(error.to_string())),
            },
            Some(gateway_message::Message::Hello(_)) => {
                return Err(Status::invalid_argument("a second hello"));
            }
            // A message of a later contract says at least that the gateway lives.
            Some(gateway_message::Message::Heartbeat(_)) | None => {
                self.hub.heard(&self.id, self.stream);
            }
        }
        Ok(())
    }

    fn heartbeat(&mut self) -> Bytes {
        self.heartbeats = self.heartbeats.saturating_add(1);
        let message = encode(agent_message::Message::Heartbeat(Heartbeat {
            sequence: self.heartbeats,
        }));
        self.hub.telemetry.sent(SentKind::Heartbeat, message.len());
        message
    }

    /// The next policy that the gateway does not have as it is now. One that is gone stays with
    /// it: only another policy takes a policy out of force.
    fn next_policy(&mut self, policies: &mut watch::Receiver<Arc<Policies>>) -> Option<Bytes> {
        let latest = Arc::clone(&policies.borrow_and_update());
        let (pool, policy) = latest.iter().find(|(pool, policy)| {
            let sent = self.policies.get(*pool);
            self.pools.contains_key(*pool) && sent.is_none_or(|sent| !Arc::ptr_eq(sent, policy))
        })?;
        self.policies.insert(Arc::clone(pool), Arc::clone(policy));
        let message = policy.message.clone();
        self.hub.telemetry.sent(SentKind::Policy, message.len());
        Some(message)
    }

    /// The next message about a pool that the gateway does not hold as it is now.
    fn next_message(&mut self, published: &mut watch::Receiver<Arc<Published>>) -> Option<Bytes> {
        let now = self.hub.clock.now();
        let latest = Arc::clone(&published.borrow_and_update());
        for (name, standing) in &mut self.pools {
            if matches!(standing, Standing::Waiting) && self.hub.awaits_policy(name) {
                continue;
            }
            if let Some((kind, message)) = step(&self.id, name, standing, latest.get(name), now) {
                self.hub.telemetry.sent(kind, message.len());
                return Some(message);
            }
        }
        None
    }
}

/// Brings the gateway one message further with one pool; `None` when there is nothing to say.
fn step(
    gateway: &str,
    pool: &str,
    standing: &mut Standing,
    published: Option<&Option<Arc<Publication>>>,
    now: Millis,
) -> Option<(SentKind, Bytes)> {
    let Some(published) = published else {
        if matches!(standing, Standing::Refused) {
            return None;
        }
        *standing = Standing::Refused;
        return Some((SentKind::Refusal, refusal(pool, "there is no such pool")));
    };
    let publication = published.as_ref()?;
    let endpoints = publication.snapshot.endpoints.len();
    let (kind, message) = match standing {
        Standing::Served(cursor) => (SentKind::Delta, cursor.advance(gateway, publication, now)?),
        Standing::TooLarge(limit) if endpoints >= *limit => return None,
        Standing::Waiting | Standing::Refused | Standing::TooLarge(_) => {
            let mut cursor = Cursor::default();
            let message = cursor.advance(gateway, publication, now)?;
            *standing = Standing::Served(cursor);
            (SentKind::Snapshot, message)
        }
    };
    if message.len() > MAX_MESSAGE_BYTES {
        warn!(
            pool,
            bytes = message.len(),
            endpoints,
            "pool does not fit into a message"
        );
        *standing = Standing::TooLarge(endpoints);
        return Some((
            SentKind::Refusal,
            refusal(pool, "the pool does not fit into a message"),
        ));
    }
    Some((kind, message))
}

fn refusal(pool: &str, reason: &str) -> Bytes {
    encode(agent_message::Message::Refusal(Refusal {
        pool: pool.to_owned(),
        reason: reason.to_owned(),
    }))
}

fn stopping() -> Status {
    Status::unavailable("the agent is stopping")
}

struct Reason<'a>(&'a Option<Status>);

impl std::fmt::Display for Reason<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = self.0.as_ref().map_or("it left", Status::message);
        formatter.write_str(reason)
    }
}
