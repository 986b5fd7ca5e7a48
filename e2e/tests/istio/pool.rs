//! An HTTPRoute to an InferencePool, without ext_proc, with what the Kustomize overlay installs.

use crate::stage::{Backend, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs istiod: make test-istio"]
async fn an_inferencepool_is_served_without_its_picker() {
    let stage = Stage::start(Backend::Pool).await;
    let before = stage.gateway().await;
    assert!(
        stage
            .filters(&before)
            .await
            .iter()
            .any(|filter| filter == EXT_PROC),
        "Istio no longer asks a picker; the test has lost its point"
    );
    drop(before);
    stage.apply_overlay().await;
    let envoy = stage.gateway().await;
    // header_to_metadata takes the header away behind the filter.
    stage.picks_the_idle_pod(&envoy, false).await;
    let filters = stage.filters(&envoy).await;
    let place = |name: &str| filters.iter().position(|filter| filter == name);
    let (ours, moved) = (place("zerohop"), place("zerohop-to-metadata"));
    assert!(ours.is_some() && ours < moved, "{filters:?}");
    assert!(
        !filters.iter().any(|filter| filter == EXT_PROC),
        "{filters:?}"
    );
}

const EXT_PROC: &str = "envoy.filters.http.ext_proc";
