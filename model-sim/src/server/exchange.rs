//! One request and its answer: counted when it begins and, whatever happens, when it ends.

use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::http_stats;
use super::locked;
use super::process::unix_seconds;
use super::shared::Shared;
use super::stats::StatsCounter;

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Health, metrics, versions, model lists: what monitoring asks.
    Probe,
    /// Control of the simulation.
    Control,
    /// Everything else.
    Api,
}

/// One request and its answer. Its end is counted when it is dropped: as finished if
/// [`Exchange::finish`] was called, else as aborted.
#[derive(Debug)]
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    kind: Kind,
    handler: Option<&'static str>,
    method: String,
    began_at: Instant,
    pub(crate) status: u16,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    finished: bool,
    broken: bool,
}

impl Exchange {
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        connection: &Arc<Connection>,
        kind: Kind,
        handler: Option<&'static str>,
        method: &http::Method,
    ) -> Self {
        connection.begin_exchange();
        match kind {
            Kind::Probe => StatsCounter::add(&shared.stats.probes, 1),
            Kind::Api => StatsCounter::add(&shared.stats.started, 1),
            Kind::Control => {}
        }
        Exchange {
            shared: Arc::clone(shared),
            connection: Arc::clone(connection),
            kind,
            handler,
            method: method.to_string(),
            began_at: Instant::now(),
            status: 0,
            request_bytes: 0,
            response_bytes: 0,
            finished: false,
            broken: false,
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The last byte of the answer was handed over.
    pub(crate) fn finish(&mut self) {
        self.finished = !self.broken;
    }

    /// The client broke off: whatever is answered, the exchange counts as aborted.
    pub(crate) fn client_left(&mut self) {
        self.broken = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.end_exchange();
        if let Some(handler) = self.handler
            && self.status != 0
        {
            locked(&self.shared.process)
                .http
                .record(&http_stats::Exchange {
                    handler,
                    method: &self.method,
                    status: self.status,
                    request_bytes: self.request_bytes,
                    response_bytes: self.response_bytes,
                    seconds: self.began_at.elapsed().as_secs_f64(),
                    now_unix: unix_seconds(),
                });
        }
        if self.kind != Kind::Api {
            return;
        }
        let stats = &self.shared.stats;
        StatsCounter::add(&stats.response_bytes, self.response_bytes);
        if self.status != 0 {
            stats.record_status(self.status);
        }
        let ended = if self.finished {
            &stats.finished
        } else {
            &stats.aborted
        };
        StatsCounter::add(ended, 1);
    }
}
