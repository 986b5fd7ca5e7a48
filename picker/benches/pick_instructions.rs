//! Instructions per pick, counted by callgrind: the same on every run, so that they can gate CI.
//!
//! `make bench-pick` runs this under `valgrind --tool=callgrind --toggle-collect=*counted_picks*`
//! with the pool's size as argument; counting is on only inside of [`counted_picks`].

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench is a program of its own; a broken scene should stop it"
)]

mod scene;

use std::{hint::black_box, process::ExitCode};

use scene::Scene;

/// Picks that are counted, after as many that are not.
const PICKS: usize = 64;

fn main() -> ExitCode {
    let size = std::env::args().nth(1).and_then(|size| size.parse().ok());
    let Some(endpoints) = size.filter(|size| (1..=10_000).contains(size)) else {
        eprintln!("usage: pick_instructions ENDPOINTS (1 to 10000)");
        return ExitCode::FAILURE;
    };
    let mut scene = Scene::new(endpoints);
    for _ in 0..PICKS {
        black_box(scene.pick_and_dispatch());
    }
    counted_picks(&mut scene);
    println!("{PICKS}");
    ExitCode::SUCCESS
}

#[inline(never)]
fn counted_picks(scene: &mut Scene) {
    for _ in 0..PICKS {
        black_box(scene.pick_and_dispatch());
    }
}
