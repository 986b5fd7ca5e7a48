//! A hub with its push service in this process, and gateways that speak the real protocol to it.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod process;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use metrics_agent::{
    clock::Clock,
    hub::Hub,
    index::{Attempt, Index, Member, Membership, Observation, PoolMembers, TargetId},
    publish,
    shutdown::{self, Shutdown, ShutdownTrigger},
    telemetry::Telemetry,
};
use picker::{EndpointId, Health, InFlight, Signal, Signals};
use pool_state::{
    convert::report_to_proto,
    proto::{
        AgentMessage, GatewayMessage, Heartbeat, Hello, agent_message, gateway_message,
        pool_state_client::PoolStateClient,
    },
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

/// No step of a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Fails the test when `future` takes too long.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"))
}

/// An agent without scrapes.
pub(crate) struct Rig {
    pub(crate) hub: Arc<Hub>,
    pub(crate) address: SocketAddr,
    pub(crate) trigger: ShutdownTrigger,
    pub(crate) shutdown: Shutdown,
    pub(crate) server: JoinHandle<Result<(), tonic::transport::Error>>,
    publisher: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.abort();
        self.publisher.abort();
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let clock = Clock::start();
        let index = Index::new(7, clock.unix_ms(), 1_000);
        let hub = Arc::new(Hub::new(clock, index, Arc::new(Telemetry::new())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = shutdown::channel();
        let server = tokio::spawn(publish::serve(
            listener,
            None,
            Arc::clone(&hub),
            shutdown.clone(),
        ));
        let publishing = Arc::clone(&hub);
        let publisher = tokio::spawn(async move { publishing.publish_changes().await });
        Self {
            hub,
            address,
            trigger,
            shutdown,
            server,
            publisher,
        }
    }

    /// Pools with the targets 0..n each.
    pub(crate) fn members(&self, pools: &[(&str, u16)]) {
        self.hub.set_membership(&membership(pools));
    }

    /// A page of target `target` with `waiting` requests in the queue.
    pub(crate) fn scraped(&self, target: u16, waiting: f32) {
        let at = self.hub.clock.now();
        self.hub.observe(
            TargetId(u64::from(target)),
            Observation {
                at,
                attempt: Attempt::Scraped,
                signals: Signals {
                    waiting: Some(Signal::new(waiting, at)),
                    ..Signals::default()
                },
                health: Health::Ready,
                reason: "scraped".into(),
                life: 1,
                tallies: Default::default(),
            },
        );
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn gateway(&self, id: &str, pools: &[&str]) -> Gateway {
        let mut gateway = Gateway::silent(self.channel().await).await;
        gateway.hello(id, pools).await;
        gateway
    }
}

pub(crate) fn address(target: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + target))
}

pub(crate) fn membership(pools: &[(&str, u16)]) -> Membership {
    Membership {
        pools: pools
            .iter()
            .map(|(name, count)| PoolMembers {
                name: Arc::from(*name),
                members: (0..*count)
                    .map(|target| Member {
                        target: TargetId(u64::from(target)),
                        address: address(target),
                        name: None,
                        weight: 1.0,
                        price: 1.0,
                        labels: Arc::default(),
                    })
                    .collect(),
                unresolved: 0,
            })
            .collect(),
    }
}

/// One stream.
pub(crate) struct Gateway {
    pub(crate) outbound: mpsc::Sender<GatewayMessage>,
    pub(crate) inbound: Streaming<AgentMessage>,
}

impl Gateway {
    /// A stream over which nothing was said so far.
    pub(crate) async fn silent(channel: Channel) -> Self {
        Self::open(channel).await.unwrap()
    }

    /// The same, or why there is none.
    pub(crate) async fn open(channel: Channel) -> Result<Self, Status> {
        let (outbound, messages) = mpsc::channel(16);
        let mut client = PoolStateClient::new(channel).max_decoding_message_size(8 << 20);
        let opened = client.sync(ReceiverStream::new(messages));
        let inbound = soon("opening a stream", opened).await?.into_inner();
        Ok(Self { outbound, inbound })
    }

    pub(crate) async fn say(&mut self, message: gateway_message::Message) {
        let message = GatewayMessage {
            message: Some(message),
        };
        self.outbound.send(message).await.unwrap();
    }

    pub(crate) async fn hello(&mut self, id: &str, pools: &[&str]) {
        let pools = pools.iter().map(|pool| (*pool).to_owned()).collect();
        let gateway_id = id.to_owned();
        self.say(gateway_message::Message::Hello(Hello { gateway_id, pools }))
            .await;
    }

    pub(crate) async fn heartbeat(&mut self) {
        self.say(gateway_message::Message::Heartbeat(Heartbeat {
            sequence: 1,
        }))
        .await;
    }

    /// Reports so many requests, none with a first token, each of 300 tokens of which 100 are not
    /// cached.
    pub(crate) async fn report(&mut self, pool: &str, loads: &[(EndpointId, u32)]) {
        let loads = loads.iter().map(|(id, requests)| {
            let load = InFlight {
                requests: *requests,
                tokens: 300 * u64::from(*requests),
                prefilling: *requests,
                prefill_tokens: 100 * u64::from(*requests),
            };
            (*id, load)
        });
        self.say(gateway_message::Message::InFlight(report_to_proto(
            pool, loads,
        )))
        .await;
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn hear(&mut self) -> Result<agent_message::Message, Status> {
        let message = soon("a message of the agent", self.inbound.message()).await?;
        let message = message.ok_or_else(|| Status::ok("the stream ended"))?;
        Ok(message.message.expect("the agent knows its own contract"))
    }

    /// The next message that is no heartbeat.
    pub(crate) async fn news(&mut self) -> Result<agent_message::Message, Status> {
        loop {
            let message = self.hear().await?;
            if !matches!(message, agent_message::Message::Heartbeat(_)) {
                return Ok(message);
            }
        }
    }

    /// Reads until the agent ends the stream.
    pub(crate) async fn ending(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
                return status;
            }
        }
    }
}
