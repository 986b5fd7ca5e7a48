//! What the metrics of a request and a chunk of a stream cost in the VM: `make bench-operating`.
//!
//! Runs in V8 with a host that does nothing, and counts the calls of the host, of which Envoy's own
//! cost is added by `scripts/operating-bench.mjs`. Prints one line a figure: id, microseconds in the
//! VM, repetitions.

#[cfg(target_arch = "wasm32")]
fn main() {
    bench::run();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    println!("this runs in V8: make bench-operating");
}

#[cfg(target_arch = "wasm32")]
mod bench {
    use std::{hint::black_box, time::Instant};

    use filter::{
        answer::{Answer, Measured, Watch},
        body::ScanOutcome,
        host::{EnvoyHost, Host},
        metrics::{Ended, Metrics, RequestMetrics},
        usage::Usage,
    };
    use picker::{Estimate, Millis, Reason};

    const HOST: EnvoyHost = EnvoyHost;
    /// Rounds; the best counts.
    const ROUNDS: u32 = 20;
    /// Requests between two showings: what a worker with 100 requests a second has.
    const REQUESTS: u32 = 100;
    const CHUNKS: u32 = 1_000;
    const CHUNK_BYTES: usize = 200;

    pub(crate) fn run() {
        let names = || ["default"].into_iter();
        let metrics = Metrics::define(&HOST, names(), false);
        let mut requests = RequestMetrics::new(names());
        let row = requests.row(0, "meta-llama/Llama-3.1-8B-Instruct", "llama");
        let mut second = 0;
        let mut all = |requests_a_second: u32| {
            for request in 0..requests_a_second {
                metrics.scanned(&HOST, ScanOutcome::Complete);
                metrics.picked(&HOST, 0, Reason::LeastCost);
                metrics.pick_took(&HOST, 7_000);
                let row = black_box(requests.served(0, "llama").max(row));
                requests.begin(row);
                requests.decided(7_000, true);
                let estimate = black_box(Estimate {
                    prompt_tokens: 1_000,
                    uncached_tokens: 10 * (request % 100),
                    ..Estimate::default()
                });
                requests.chosen(0, Some(150), 4_000, &estimate);
                requests.end(row, &ended(request));
                // The looks at the clock around the callbacks of the headers and of a body.
                let looks: u64 = (0..3).map(|_| black_box(HOST.monotonic_nanos())).sum();
                requests.at_work(40_000 + looks % 1_000);
            }
            second += 1_001;
            requests.show(&HOST, Millis(second));
        };
        all(REQUESTS);
        figure("metrics_us_per_request", REQUESTS, || all(REQUESTS));
        figure("metrics_us_per_request.at_1_a_second", 1, || all(1));
        for (id, reports_usage) in [("sse_chunk_us.counted", false), ("sse_chunk_us", true)] {
            figure(id, CHUNKS, || {
                let watch = Watch {
                    streamed: Some(true),
                    reports_usage,
                };
                let mut answer = Answer::new(watch, HOST.monotonic_nanos());
                answer.on_headers(&HOST, true);
                for _ in 0..CHUNKS {
                    let chunk = answer.on_chunk(&HOST, CHUNK_BYTES, false);
                    black_box(chunk.is_first);
                }
                black_box(answer.measured());
            });
        }
    }

    fn ended(request: u32) -> Ended<'static> {
        const MEASURED: Measured = Measured {
            first_token_ms: Some(80.0),
            total_ms: 2_000.0,
            usage: Usage {
                prompt_tokens: Some(1_000),
                cached_tokens: Some(800),
                output_tokens: Some(150),
            },
        };
        Ended {
            nanos: 2_000_000_000 + u64::from(request) * 1_000_000,
            status: Some(200),
            refused: false,
            request_bytes: 4_000,
            response_bytes: 30_000,
            first_token_nanos: Some(80_000_000),
            measured: Some(&MEASURED),
        }
    }

    /// Tells the script what begins and how much it is of, and what the best round took in the VM.
    fn figure(id: &str, count: u32, mut work: impl FnMut()) {
        println!("begin {id} {}", count * ROUNDS);
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            work();
            best = best.min(begun.elapsed().as_secs_f64() * 1e6);
        }
        println!("end {id} {}", best / f64::from(count));
    }
}
