//! One life of the simulated server process: its engine, its requests, what it has counted.
//! A restart throws it away and makes a new one.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::UnboundedSender;

use super::clock::EngineClock;
use super::http_stats::HttpStats;
use super::lora::LoraRegistry;
use crate::engine::{Engine, EngineConfig, Event, EventKind, Histogram, Request, RequestId};

/// Something that happened to one choice of an HTTP request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) choice: u32,
    pub(crate) kind: EventKind,
}

/// Where the events of an engine request go.
#[derive(Debug)]
struct Route {
    sender: UnboundedSender<Progress>,
    choice: u32,
    /// Whether events before the end are wanted.
    stream: bool,
    /// Whether the text ends by itself, not by a limit.
    stops: bool,
}

/// Request counts of the process that the engine does not keep.
#[derive(Clone, Debug)]
pub(crate) struct RequestCounters {
    pub(crate) finished_stop: u64,
    pub(crate) finished_length: u64,
    pub(crate) admission_rejections: u64,
    pub(crate) params_n: Histogram,
    pub(crate) params_max_tokens: Histogram,
    pub(crate) max_generation_tokens: Histogram,
}

/// One life of the simulated server process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) engine: Engine,
    pub(crate) clock: EngineClock,
    pub(crate) started_unix: f64,
    pub(crate) counters: RequestCounters,
    pub(crate) loras: LoraRegistry,
    pub(crate) http: HttpStats,
    /// Which life this is; names of requests are unique only within one.
    pub(crate) life: u64,
    routes: HashMap<RequestId, Route>,
}

/// What a handler asks of the engine for one choice.
pub(crate) struct Submission {
    pub(crate) request: Request,
    pub(crate) choice: u32,
    pub(crate) stops: bool,
}

impl Process {
    pub(crate) fn start(config: EngineConfig, loras: &[String], life: u64) -> Self {
        let started_unix = unix_seconds();
        let lengths = Histogram::one_two_five(config.max_model_len);
        let counters = RequestCounters {
            finished_stop: 0,
            finished_length: 0,
            admission_rejections: 0,
            params_n: Histogram::new(&[1.0, 2.0, 5.0, 10.0, 20.0]),
            params_max_tokens: lengths.clone(),
            max_generation_tokens: lengths,
        };
        Process {
            loras: LoraRegistry::new(config.max_loras, loras),
            engine: Engine::new(config),
            clock: EngineClock::new(),
            started_unix,
            counters,
            http: HttpStats::new(started_unix),
            life,
            routes: HashMap::new(),
        }
    }

    /// Submits one choice. Says whether the driver has to be woken: the engine was idle.
    pub(crate) fn submit(
        &mut self,
        submission: Submission,
        sender: &UnboundedSender<Progress>,
    ) -> (RequestId, bool) {
        self.advance();
        let now = self.clock.now();
        let was_idle = self.engine.next_event_at().is_none();
        let Submission {
            request,
            choice,
            stops,
        } = submission;
        let stream = request.token_events;
        let id = self.engine.submit(request, now);
        self.routes.insert(
            id,
            Route {
                sender: sender.clone(),
                choice,
                stream,
                stops,
            },
        );
        (id, was_idle)
    }

    pub(crate) fn abort(&mut self, id: RequestId) {
        self.advance();
        self.routes.remove(&id);
        let now = self.clock.now();
        self.engine.abort(id, now);
    }

    /// Runs the engine up to now and hands its events out. Gives the time of the next event.
    pub(crate) fn advance(&mut self) -> Option<tokio::time::Instant> {
        if self.clock.is_stopped() {
            return None;
        }
        let now = self.clock.now();
        // Step by step, since vLLM records which adapters run after each of them.
        while let Some(at) = self.engine.next_event_at().filter(|at| *at <= now) {
            let steps = self.engine.counters().steps;
            for event in self.engine.advance(at) {
                deliver(&mut self.routes, &mut self.counters, event);
            }
            if self.engine.counters().steps > steps {
                self.loras
                    .record(self.engine.running_loras(), unix_seconds());
            }
        }
        self.engine
            .next_event_at()
            .and_then(|at| self.clock.instant(at))
    }
}

fn deliver(routes: &mut HashMap<RequestId, Route>, counters: &mut RequestCounters, event: Event) {
    let Event { id, kind, .. } = event;
    match kind {
        EventKind::Finished(_) | EventKind::Rejected(_) => {
            let Some(route) = routes.remove(&id) else {
                return;
            };
            if matches!(kind, EventKind::Finished(_)) {
                let counter = if route.stops {
                    &mut counters.finished_stop
                } else {
                    &mut counters.finished_length
                };
                *counter += 1;
            }
            // The receiver is gone when the client is.
            route
                .sender
                .send(Progress {
                    choice: route.choice,
                    kind,
                })
                .ok();
        }
        EventKind::FirstToken { .. } | EventKind::Token => {
            if let Some(route) = routes.get(&id)
                && route.stream
            {
                route
                    .sender
                    .send(Progress {
                        choice: route.choice,
                        kind,
                    })
                    .ok();
            }
        }
        EventKind::Preempted => {}
    }
}

/// Seconds since 1970, as metrics and responses give them.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
