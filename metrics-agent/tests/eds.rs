//! Endpoints for Envoy over real gRPC on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::time::Duration;

use envoy_types::pb::envoy::{
    config::endpoint::v3::ClusterLoadAssignment,
    service::{
        discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse},
        endpoint::v3::endpoint_discovery_service_client::EndpointDiscoveryServiceClient,
    },
};
use prost::Message as _;
use support::{Rig, soon};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

struct Envoy {
    outbound: mpsc::Sender<DiscoveryRequest>,
    inbound: Streaming<DiscoveryResponse>,
}

impl Envoy {
    async fn ask(rig: &Rig, names: &[&str]) -> Self {
        let (outbound, requests) = mpsc::channel(4);
        outbound.send(request(names, None)).await.unwrap();
        let mut client = EndpointDiscoveryServiceClient::new(rig.channel().await);
        let stream = client.stream_endpoints(ReceiverStream::new(requests));
        let inbound = soon("open", stream).await.unwrap().into_inner();
        Self { outbound, inbound }
    }

    async fn hear(&mut self) -> Result<DiscoveryResponse, Status> {
        let heard = soon("a response", self.inbound.message()).await?;
        heard.ok_or_else(|| Status::ok("the stream ended"))
    }

    async fn nothing_more(&mut self) {
        let more = timeout(Duration::from_millis(300), self.inbound.message()).await;
        assert!(more.is_err(), "got {more:?}");
    }
}

fn request(names: &[&str], about: Option<&DiscoveryResponse>) -> DiscoveryRequest {
    DiscoveryRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        version_info: about.map_or_else(String::new, |about| about.version_info.clone()),
        response_nonce: about.map_or_else(String::new, |about| about.nonce.clone()),
        ..DiscoveryRequest::default()
    }
}

/// Each pool of a response with the number of its endpoints.
fn told(response: &DiscoveryResponse) -> Vec<(String, usize)> {
    let resources = response.resources.iter();
    resources
        .map(|any| {
            let cluster = ClusterLoadAssignment::decode(any.value.as_slice()).unwrap();
            let endpoints = cluster.endpoints.iter();
            let count = endpoints.map(|locality| locality.lb_endpoints.len()).sum();
            (cluster.cluster_name, count)
        })
        .collect()
}

fn told_as(pools: &[(&str, usize)]) -> Vec<(String, usize)> {
    let pools = pools.iter();
    pools
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[tokio::test]
async fn several_pools_on_one_stream_follow_every_change() {
    let rig = Rig::start().await;
    rig.members(&[("a", 1), ("b", 2)]);
    (0..2).for_each(|target| rig.scraped(target, 0.0));
    let mut envoy = Envoy::ask(&rig, &["a", "b"]).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let response = envoy.hear().await.unwrap();
        heard.extend(told(&response));
        envoy
            .outbound
            .send(request(&["a", "b"], Some(&response)))
            .await
            .unwrap();
    }
    heard.sort();
    assert_eq!(heard, told_as(&[("a", 1), ("b", 2)]));
    // A new signal is none of Envoy's business.
    rig.scraped(0, 5.0);
    envoy.nothing_more().await;

    rig.members(&[("a", 3), ("b", 2)]);
    rig.scraped(2, 0.0);
    let response = envoy.hear().await.unwrap();
    assert_eq!(told(&response), told_as(&[("a", 3)]));
    assert_eq!(rig.hub.telemetry.eds_streams.get(), 1);
    drop(envoy);
    soon("the stream is let go", async {
        while rig.hub.telemetry.eds_streams.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_is_not_known_is_answered_when_it_is() {
    let rig = Rig::start().await;
    rig.members(&[("a", 0)]);
    let mut envoy = Envoy::ask(&rig, &["later"]).await;
    envoy.nothing_more().await;
    rig.members(&[("a", 0), ("later", 0)]);
    assert_eq!(told(&envoy.hear().await.unwrap()), told_as(&[("later", 0)]));
    // A pool that is deleted is not taken away from an Envoy that still routes to it.
    rig.members(&[("a", 0)]);
    envoy.nothing_more().await;
}

#[tokio::test]
async fn a_refusal_is_counted_and_does_not_loop() {
    let rig = Rig::start().await;
    rig.members(&[("a", 0)]);
    let mut envoy = Envoy::ask(&rig, &["a"]).await;
    let response = envoy.hear().await.unwrap();
    let mut refusal = request(&["a"], Some(&response));
    refusal.error_detail = Some(envoy_types::pb::google::rpc::Status {
        message: "not so".to_owned(),
        ..Default::default()
    });
    envoy.outbound.send(refusal).await.unwrap();
    envoy.nothing_more().await;
    assert_eq!(rig.hub.telemetry.eds_refusals.get(), 1);
    assert_eq!(rig.hub.telemetry.eds_responses.get(), 1);
}

#[tokio::test]
async fn breaches_are_told_and_streams_end_with_the_agent() {
    let rig = Rig::start().await;
    rig.members(&[("a", 0)]);
    let mut envoy = Envoy::ask(&rig, &["a"]).await;
    envoy.hear().await.unwrap();
    let mut other = request(&["a"], None);
    other.type_url = "type.googleapis.com/envoy.config.listener.v3.Listener".to_owned();
    envoy.outbound.send(other).await.unwrap();
    assert_eq!(
        envoy.hear().await.unwrap_err().code(),
        Code::InvalidArgument
    );

    let mut client = EndpointDiscoveryServiceClient::new(rig.channel().await);
    let (_keep, deltas) = mpsc::channel::<DeltaDiscoveryRequest>(1);
    let refused = client.delta_endpoints(ReceiverStream::new(deltas)).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);

    let mut envoy = Envoy::ask(&rig, &["a"]).await;
    envoy.hear().await.unwrap();
    rig.trigger.request();
    assert_eq!(envoy.hear().await.unwrap_err().code(), Code::Unavailable);
}
