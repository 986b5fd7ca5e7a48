//! What the prefix index takes: the memory that the operating system counts for 1 and for 8 workers'
//! indexes of 100 endpoints with 30,000 blocks each, filled by dispatches.
//!
//! Prints `workers bytes`, one line each. Linux only: it reads the resident memory from
//! `/proc/self/statm`, which counts what was touched, with all that the allocator adds.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    reason = "a bench is a program of its own; a broken scene should stop it"
)]

use std::{fs, process::ExitCode};

use picker::{
    Endpoint, EndpointId, Entropy, Millis, Picker, PickerConfig, PoolView, RequestFacts,
    SplitMix64, Turn,
};

const ENDPOINTS: u8 = 100;
const BLOCKS: usize = 30_000;
/// Blocks of one prompt.
const PROMPT: usize = 60;
/// The size of a page that `statm` counts in, on every machine that this runs on.
const PAGE_BYTES: u64 = 4_096;

fn main() -> ExitCode {
    if resident().is_none() {
        eprintln!("prefix_memory: there is no /proc/self/statm here");
        return ExitCode::SUCCESS;
    }
    let endpoints: Vec<Endpoint> = (0..ENDPOINTS).map(endpoint).collect();
    let before = resident().expect("it was there");
    let mut workers = Vec::new();
    for count in 1..=8u64 {
        workers.push(worker(&endpoints, count));
        if matches!(count, 1 | 8) {
            let now = resident().expect("it was there");
            println!("{count} {}", now.saturating_sub(before));
        }
    }
    std::hint::black_box(&workers);
    ExitCode::SUCCESS
}

/// An engine whose KV cache holds 30,000 of our blocks: 120,000 of 16 tokens.
fn endpoint(host: u8) -> Endpoint {
    let mut endpoint = Endpoint::new(EndpointId {
        address: ([10, 0, 0, host], 8000).into(),
        generation: 0,
    });
    endpoint.signals.kv_block_size = Some(16);
    endpoint.signals.kv_blocks = Some(BLOCKS as u32 * 256 / 4 / 16);
    endpoint
}

/// One worker's picker after as many blocks went to each endpoint as it can hold.
fn worker(endpoints: &[Endpoint], seed: u64) -> Picker {
    let mut picker = Picker::new(PickerConfig::default());
    let mut entropy = SplitMix64::new(seed);
    let view = PoolView {
        endpoints,
        local: &[],
        now: Millis(0),
    };
    picker.pick(&RequestFacts::default(), &view, &mut entropy);
    for endpoint in endpoints {
        for _ in 0..BLOCKS / PROMPT {
            let facts = RequestFacts {
                prefix: (0..PROMPT).map(|_| entropy.next_u64()).collect(),
                turns: vec![Turn {
                    hash: entropy.next_u64(),
                    end_bytes: 256 * PROMPT as u32,
                }],
                ..RequestFacts::default()
            };
            picker.dispatched(&facts, endpoint.id);
        }
    }
    picker
}

/// The memory of this process that is in use, in bytes.
fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}
