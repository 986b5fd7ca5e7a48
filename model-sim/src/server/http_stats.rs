//! The `http_*` families of `/metrics`: requests by handler, as the FastAPI instrumentator counts
//! them. Probes and `/metrics` itself are not counted, as in vLLM.

use crate::engine::Histogram;

const HANDLER_EDGES: [f64; 3] = [0.1, 0.5, 1.0];
const FINE_EDGES: [f64; 21] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0,
    7.5, 10.0, 30.0, 60.0,
];

/// Counts with labels handler, method and status class.
#[derive(Clone, Debug)]
pub(crate) struct StatusCount {
    pub(crate) handler: &'static str,
    pub(crate) method: String,
    pub(crate) status: &'static str,
    pub(crate) count: u64,
    pub(crate) created: f64,
}

/// Sizes with label handler.
#[derive(Clone, Debug)]
pub(crate) struct SizeSum {
    pub(crate) handler: &'static str,
    pub(crate) count: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) created: f64,
}

/// Durations with labels handler and method.
#[derive(Clone, Debug)]
pub(crate) struct HandlerTimes {
    pub(crate) handler: &'static str,
    pub(crate) method: String,
    pub(crate) seconds: Histogram,
    pub(crate) created: f64,
}

/// All `http_*` counts of a process.
#[derive(Clone, Debug)]
pub(crate) struct HttpStats {
    pub(crate) started_unix: f64,
    pub(crate) statuses: Vec<StatusCount>,
    pub(crate) sizes: Vec<SizeSum>,
    pub(crate) times: Vec<HandlerTimes>,
    pub(crate) fine: Histogram,
}

/// One exchange to count.
pub(crate) struct Exchange<'a> {
    pub(crate) handler: &'static str,
    pub(crate) method: &'a str,
    pub(crate) status: u16,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) now_unix: f64,
}

impl HttpStats {
    pub(crate) fn new(started_unix: f64) -> Self {
        HttpStats {
            started_unix,
            statuses: Vec::new(),
            sizes: Vec::new(),
            times: Vec::new(),
            fine: Histogram::new(&FINE_EDGES),
        }
    }

    pub(crate) fn record(&mut self, exchange: &Exchange<'_>) {
        let Exchange {
            handler,
            method,
            request_bytes,
            response_bytes,
            seconds,
            ..
        } = *exchange;
        let created = exchange.now_unix;
        let status = match exchange.status {
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let known = self.statuses.iter_mut().find(|known| {
            known.handler == handler && known.method == method && known.status == status
        });
        match known {
            Some(known) => known.count += 1,
            None => {
                let method = method.to_owned();
                self.statuses.push(StatusCount {
                    handler,
                    method,
                    status,
                    count: 1,
                    created,
                });
            }
        }
        match self.sizes.iter_mut().find(|known| known.handler == handler) {
            Some(known) => {
                known.count += 1;
                known.request_bytes += request_bytes;
                known.response_bytes += response_bytes;
            }
            None => self.sizes.push(SizeSum {
                handler,
                count: 1,
                request_bytes,
                response_bytes,
                created,
            }),
        }
        let known = self
            .times
            .iter_mut()
            .find(|known| known.handler == handler && known.method == method);
        match known {
            Some(known) => known.seconds.observe(seconds),
            None => {
                let mut histogram = Histogram::new(&HANDLER_EDGES);
                histogram.observe(seconds);
                let method = method.to_owned();
                self.times.push(HandlerTimes {
                    handler,
                    method,
                    seconds: histogram,
                    created,
                });
            }
        }
        self.fine.observe(seconds);
    }
}
