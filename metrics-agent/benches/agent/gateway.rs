//! One gateway that does what an Envoy does: says hello, shows life, reports load, reads.

use std::{error::Error, net::SocketAddr, time::Duration};

use pool_state::{
    convert::report_to_proto,
    proto::{
        AgentMessage, GatewayMessage, Heartbeat, Hello, agent_message, gateway_message,
        pool_state_client::PoolStateClient,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

/// What came over the stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heard {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) upserts: u64,
}

pub(crate) struct Gateway {
    outbound: mpsc::Sender<GatewayMessage>,
    inbound: Streaming<AgentMessage>,
}

impl Gateway {
    pub(crate) async fn connect(agent: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let (outbound, messages) = mpsc::channel(16);
        let channel = Channel::from_shared(format!("http://{agent}"))?;
        let mut client = PoolStateClient::new(channel.connect().await?);
        let stream = client.sync(ReceiverStream::new(messages));
        say(
            &outbound,
            gateway_message::Message::Hello(Hello {
                gateway_id: "bench".to_owned(),
                pools: vec!["default".to_owned()],
            }),
        )
        .await?;
        let inbound = stream.await?.into_inner();
        Ok(Self { outbound, inbound })
    }

    /// Listens for `time`.
    pub(crate) async fn listen(&mut self, time: Duration) -> Result<Heard, Box<dyn Error>> {
        let mut heard = Heard::default();
        let mut heartbeat = tokio::time::interval(Duration::from_secs(1));
        let mut report = tokio::time::interval(Duration::from_millis(100));
        let mut sequence = 0;
        let end = tokio::time::sleep(time);
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = end.as_mut() => return Ok(heard),
                _ = heartbeat.tick() => {
                    sequence += 1;
                    let heartbeat = gateway_message::Message::Heartbeat(Heartbeat { sequence });
                    say(&self.outbound, heartbeat).await?;
                }
                _ = report.tick() => {
                    let load = report_to_proto("default", []);
                    say(&self.outbound, gateway_message::Message::InFlight(load)).await?;
                }
                message = self.inbound.message() => {
                    let message = message?.ok_or("the agent ended the stream")?;
                    heard.messages += 1;
                    heard.bytes += prost::Message::encoded_len(&message) as u64;
                    if let Some(agent_message::Message::Delta(delta)) = message.message {
                        heard.upserts += delta.upserts.len() as u64;
                    }
                }
            }
        }
    }
}

async fn say(
    outbound: &mpsc::Sender<GatewayMessage>,
    message: gateway_message::Message,
) -> Result<(), Box<dyn Error>> {
    let message = Some(message);
    outbound.send(GatewayMessage { message }).await?;
    Ok(())
}
