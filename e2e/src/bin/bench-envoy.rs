//! `make bench-envoy`: real Envoy over simulated pods, from half of their capacity to beyond it.
//! `--quick` only shows that it works.

use e2e::{
    bench::{
        figures,
        knee::{self, Plan},
    },
    rig::RigError,
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), RigError> {
    if std::env::args().any(|argument| argument == "--quick") {
        return knee::run(&Plan::quick()).await.map(|_| ());
    }
    let figures = knee::run(&Plan::full()).await?;
    figures::report("envoy", &figures).map(|_| ())
}
