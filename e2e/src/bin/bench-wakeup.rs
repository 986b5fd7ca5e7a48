//! Part of `make bench-admission`: how soon a held request goes when room is freed.

use e2e::{
    bench::{figures, wakeup},
    rig::RigError,
};

const ROUNDS: u64 = 1_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), RigError> {
    let figures = wakeup::run(ROUNDS).await?;
    figures::add("admission", &figures).map(|_| ())
}
