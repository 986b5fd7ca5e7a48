//! An HTTPRoute to a Service of model servers, with the files that are applied by hand.

use crate::stage::{Backend, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs istiod: make test-istio"]
async fn istiod_makes_the_wasmplugins_a_pair_that_picks() {
    let stage = Stage::start(Backend::Service).await;
    stage.apply(&["wasmplugin.yaml", "cluster.yaml"]).await;
    let envoy = stage.gateway().await;
    stage.picks_the_idle_pod(&envoy, true).await;
    let filters = stage.filters(&envoy).await;
    let place = |name: &str| filters.iter().position(|filter| filter.contains(name));
    let (first, second) = (place("zerohop-first"), place("zerohop-second"));
    assert!(first.is_some(), "{filters:?}");
    assert_eq!(second, first.map(|first| first + 1), "{filters:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs istiod: make test-istio"]
async fn istiod_makes_the_envoyfilter_one_filter_that_picks() {
    let stage = Stage::start(Backend::Service).await;
    stage.apply(&["envoyfilter.yaml", "cluster.yaml"]).await;
    let envoy = stage.gateway().await;
    stage.picks_the_idle_pod(&envoy, true).await;
    let filters = stage.filters(&envoy).await;
    let ours = filters.iter().filter(|filter| filter.contains("zerohop"));
    assert_eq!(ours.count(), 1, "{filters:?}");
}
