//! The leader's stream to the agent.
//!
//! ```text
//!             open + Hello           message               silence, close, contract error
//!   Down ----------------------> Up <-------> heard ------------------------------------> Down
//!    ^   (retry_at passed)        | every second: Heartbeat; ShedReport, if changed        |
//!    |                            | every tick:   InFlightReport, if changed               |
//!    +---------------- back-off: 100 ms doubling to 2 s, jittered ------------------------+
//! ```
//!
//! Whatever happens here never fails a request: workers go on with what is in the slots.

mod backoff;

use picker::{Millis, SplitMix64};
use pool_state::{
    convert::{Hello, hello_to_proto, report_to_proto, sheds_to_proto},
    error::ContractError,
    limits,
    mirror::{Applied, PoolMirror},
    proto::{self, agent_message, gateway_message},
};
use prost::Message;
use thiserror::Error;
use xxhash_rust::xxh64::xxh64;

use self::backoff::Backoff;
use crate::{
    host::{Host, StreamToken},
    lease::Leases,
    metrics::{StateEvent, StreamEvent},
    worker::{Load, Worker},
};

const SERVICE: &str = "zerohop.poolstate.v1.PoolState";
const METHOD: &str = "Sync";
/// How often we say that we live, in milliseconds.
const HEARTBEAT_MS: u64 = 1_000;
/// An agent that says nothing for this long is taken for dead, in milliseconds.
const SILENCE_MS: u64 = 3_000;

/// The stream and what it fed so far.
#[derive(Debug)]
pub struct AgentStream {
    cluster: String,
    process: u64,
    link: Link,
    backoff: Backoff,
    feeds: Vec<Feed>,
}

#[derive(Debug)]
enum Link {
    Down { retry_at: Millis },
    Up(Session),
}

#[derive(Debug)]
struct Session {
    token: StreamToken,
    pools: Vec<usize>,
    heard: Millis,
    beat: Millis,
    beats: u64,
}

/// What is known of one pool. The mirror is kept while another root context leads, and then
/// renewed from the slot.
#[derive(Debug)]
struct Feed {
    name: String,
    mirror: Option<PoolMirror>,
    reported: Vec<Load>,
    /// The refusals of which the session told last.
    sheds: Option<u64>,
}

#[derive(Debug, Error)]
enum MessageError {
    #[error("message of {0} bytes is over the limit")]
    TooLong(usize),
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    #[error(transparent)]
    Contract(#[from] ContractError),
}

impl AgentStream {
    /// A stream to the agent behind `cluster`, not open yet. `process` identifies this Envoy.
    #[must_use]
    pub fn new<'a>(
        cluster: &str,
        process: u64,
        pools: impl Iterator<Item = &'a str>,
        entropy: SplitMix64,
    ) -> Self {
        let feed = |name: &str| Feed {
            name: name.to_owned(),
            mirror: None,
            reported: Vec::new(),
            sheds: None,
        };
        Self {
            cluster: cluster.to_owned(),
            process,
            link: Link::Down {
                retry_at: Millis(0),
            },
            backoff: Backoff::new(entropy),
            feeds: pools.map(feed).collect(),
        }
    }

    /// The periodic work: opens, keeps alive, reports, gives up.
    pub fn tick(&mut self, host: &dyn Host, worker: &mut Worker, leases: &Leases, now: Millis) {
        let wanted: Vec<usize> = (0..self.feeds.len()).filter(|i| leases.holds(*i)).collect();
        self.forget_others_pools(&wanted);
        match &self.link {
            Link::Up(session) if session.pools != wanted => self.close(host, now),
            Link::Up(session) if now.since(session.heard) >= SILENCE_MS => {
                log::warn!("the agent said nothing for {SILENCE_MS} ms");
                worker.stream_event(host, StreamEvent::Silent);
                self.reopen_later(host, now);
            }
            Link::Up(_) | Link::Down { .. } => {}
        }
        if wanted.is_empty() {
            return;
        }
        if let Link::Down { retry_at } = self.link
            && now >= retry_at
        {
            self.open(host, worker, wanted, now);
        }
        self.beat(host, worker, now);
        self.report(host, worker, now);
        worker.metrics().stream_up(host, self.is_heard());
    }

    /// Whether a session is open and its agent has not fallen silent.
    const fn is_heard(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// A message arrived.
    pub fn on_message(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        token: StreamToken,
        length: usize,
    ) {
        let now = host.now();
        match &mut self.link {
            Link::Up(session) if session.token == token => session.heard = now,
            // A late message of a stream that was given up.
            Link::Up(_) | Link::Down { .. } => return,
        }
        let message = if length > limits::MAX_MESSAGE_BYTES {
            Err(MessageError::TooLong(length))
        } else {
            decode(&host.stream_message(length))
        };
        let result = message.and_then(|message| self.take(host, worker, message, now));
        if let Err(error) = result {
            log::warn!("agent's message refused, the stream starts over: {error}");
            worker.stream_event(host, StreamEvent::ContractError);
            self.reopen_later(host, now);
        }
    }

    /// The stream was closed by the other side or the network.
    pub fn on_close(&mut self, host: &dyn Host, worker: &Worker, token: StreamToken, status: u32) {
        match &self.link {
            Link::Up(session) if session.token == token => {}
            Link::Up(_) | Link::Down { .. } => return,
        }
        log::info!("the agent's stream was closed with gRPC status {status}");
        worker.stream_event(host, StreamEvent::Closed);
        worker.metrics().stream_up(host, false);
        let retry_at = host.now().plus(self.backoff.next());
        self.link = Link::Down { retry_at };
    }

    /// Closes the stream for good.
    pub fn close(&mut self, host: &dyn Host, now: Millis) {
        if let Link::Up(session) = &self.link {
            host.reset_stream(session.token);
        }
        self.link = Link::Down { retry_at: now };
    }

    fn reopen_later(&mut self, host: &dyn Host, now: Millis) {
        let retry_at = now.plus(self.backoff.next());
        self.close(host, retry_at);
    }

    fn open(&mut self, host: &dyn Host, worker: &Worker, pools: Vec<usize>, now: Millis) {
        let token = match host.open_stream(&self.cluster, SERVICE, METHOD) {
            Ok(token) => token,
            Err(error) => {
                log::info!(
                    "no stream to the agent's cluster {} yet: {error}",
                    self.cluster
                );
                worker.stream_event(host, StreamEvent::OpenFailed);
                let retry_at = now.plus(self.backoff.next());
                self.link = Link::Down { retry_at };
                return;
            }
        };
        worker.stream_event(host, StreamEvent::Opened);
        for index in &pools {
            self.start_feed(host, worker, *index, now);
        }
        let hello = hello_to_proto(&Hello {
            gateway_id: self.gateway_id(&pools),
            pools: pools
                .iter()
                .filter_map(|index| self.feeds.get(*index))
                .map(|feed| feed.name.clone())
                .collect(),
        });
        self.link = Link::Up(Session {
            token,
            pools,
            heard: now,
            beat: now,
            beats: 0,
        });
        self.send(host, gateway_message::Message::Hello(hello), now);
        self.report_sheds(host, worker, now);
    }

    /// Starts from what the former leader published, so that the rules of acceptance (whose view
    /// counts, how long another is held back) outlive a change of leader.
    fn start_feed(&mut self, host: &dyn Host, worker: &Worker, index: usize, now: Millis) {
        let Some(feed) = self.feeds.get_mut(index) else {
            return;
        };
        feed.reported.clear();
        feed.sheds = None;
        if feed.mirror.is_none() {
            feed.mirror = Some(match worker.published(host, index) {
                Some(snapshot) => PoolMirror::resume(&feed.name, snapshot, now),
                None => PoolMirror::new(&feed.name),
            });
        }
    }

    fn forget_others_pools(&mut self, wanted: &[usize]) {
        for (index, feed) in self.feeds.iter_mut().enumerate() {
            if !wanted.contains(&index) {
                feed.mirror = None;
            }
        }
    }

    /// Unique among the gateways of the agent, and the same for whichever root context of this
    /// process feeds these pools: a pool is fed by one of them at a time.
    fn gateway_id(&self, pools: &[usize]) -> String {
        let first = pools.first().and_then(|index| self.feeds.get(*index));
        let first = first.map_or("", |feed| feed.name.as_str());
        format!(
            "envoy-{:016x}-{:08x}",
            self.process,
            xxh64(first.as_bytes(), 0) >> 32
        )
    }

    fn beat(&mut self, host: &dyn Host, worker: &Worker, now: Millis) {
        let Link::Up(session) = &mut self.link else {
            return;
        };
        if now.since(session.beat) < HEARTBEAT_MS {
            return;
        }
        session.beat = now;
        session.beats = session.beats.saturating_add(1);
        let heartbeat = proto::Heartbeat {
            sequence: session.beats,
        };
        self.send(host, gateway_message::Message::Heartbeat(heartbeat), now);
        self.report_sheds(host, worker, now);
    }

    /// Tells what all workers refused, where that is not what the session told last.
    fn report_sheds(&mut self, host: &dyn Host, worker: &Worker, now: Millis) {
        let Link::Up(session) = &self.link else {
            return;
        };
        for index in session.pools.clone() {
            let total = worker.metrics().refusals(host, index);
            let Some(feed) = self.feeds.get_mut(index) else {
                continue;
            };
            if let Some(total) = total.filter(|_| feed.sheds != total) {
                feed.sheds = Some(total);
                let report = sheds_to_proto(&feed.name, total);
                self.send(host, gateway_message::Message::Sheds(report), now);
            }
        }
    }

    fn report(&mut self, host: &dyn Host, worker: &Worker, now: Millis) {
        let Link::Up(session) = &self.link else {
            return;
        };
        for index in session.pools.clone() {
            let loads = worker.loads(index);
            let Some(feed) = self.feeds.get_mut(index) else {
                continue;
            };
            if feed.reported == loads {
                continue;
            }
            let report = report_to_proto(&feed.name, loads.iter().copied());
            feed.reported = loads;
            self.send(host, gateway_message::Message::InFlight(report), now);
        }
    }

    fn send(&mut self, host: &dyn Host, message: gateway_message::Message, now: Millis) {
        let Link::Up(session) = &self.link else {
            return;
        };
        let message = proto::GatewayMessage {
            message: Some(message),
        };
        if let Err(error) = host.send(session.token, &message.encode_to_vec()) {
            log::info!("the agent's stream is gone: {error}");
            self.reopen_later(host, now);
        }
    }

    fn take(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        message: agent_message::Message,
        now: Millis,
    ) -> Result<(), MessageError> {
        let (pool, applied) = match message {
            agent_message::Message::Heartbeat(_) => return Ok(()),
            agent_message::Message::Refusal(refusal) => {
                log::warn!("the agent refuses a pool: {}", refusal.pool.escape_debug());
                worker.stream_event(host, StreamEvent::PoolRefused);
                return Ok(());
            }
            agent_message::Message::Policy(policy) => {
                worker.publish_policy(host, &policy);
                return Ok(());
            }
            agent_message::Message::Snapshot(snapshot) => {
                let Some((index, mirror)) = self.mirror(&snapshot.pool) else {
                    return Ok(());
                };
                (index, mirror.apply_snapshot(snapshot, now)?)
            }
            agent_message::Message::Delta(delta) => {
                let Some((index, mirror)) = self.mirror(&delta.pool) else {
                    return Ok(());
                };
                (index, mirror.apply_delta(delta, now)?)
            }
        };
        let event = match applied {
            Applied::Taken => StateEvent::Taken,
            Applied::Held => StateEvent::Held,
            Applied::Old => StateEvent::Old,
        };
        worker.metrics().state(host, event);
        if applied == Applied::Taken {
            self.backoff.reset();
            let mirror = self.feeds.get(pool).and_then(|feed| feed.mirror.as_ref());
            if let Some(snapshot) = mirror.and_then(PoolMirror::snapshot) {
                worker.publish(host, pool, snapshot);
            }
        }
        Ok(())
    }

    /// The mirror of a pool that this session asked for.
    fn mirror(&mut self, pool: &str) -> Option<(usize, &mut PoolMirror)> {
        let index = self.feeds.iter().position(|feed| feed.name == pool)?;
        let feed = self.feeds.get_mut(index)?;
        feed.mirror.as_mut().map(|mirror| (index, mirror))
    }
}

/// A message of a kind that this build does not know counts as a sign of life.
fn decode(bytes: &[u8]) -> Result<agent_message::Message, MessageError> {
    let message = proto::AgentMessage::decode(bytes)?;
    let unknown = agent_message::Message::Heartbeat(proto::Heartbeat::default());
    Ok(message.message.unwrap_or(unknown))
}

#[cfg(test)]
mod tests;
