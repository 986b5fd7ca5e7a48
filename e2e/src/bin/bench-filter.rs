//! `make bench-filter`: the CPU that the filter adds to a request, beside `ext_proc`.

use e2e::{
    bench::{figures, filter_cost},
    rig::RigError,
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), RigError> {
    let rounds = std::env::var("ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let figures = filter_cost::run(rounds.unwrap_or(15)).await?;
    figures::report("filter", &figures).map(|_| ())
}
