//! `make bench-rewrite`: the CPU that rewriting a model adds to a request.

use e2e::{
    bench::{figures, rewrite_cost},
    rig::RigError,
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), RigError> {
    let rounds = std::env::var("ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let figures = rewrite_cost::run(rounds.unwrap_or(30)).await?;
    figures::add("policy", &figures).map(|_| ())
}
