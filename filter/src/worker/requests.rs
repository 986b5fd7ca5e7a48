//! The metrics of requests: which row a request counts in, from its begin to its end.

use picker::{Endpoint, Millis};

use super::{Fate, Worker};
use crate::{
    answer::{Answer, Measured},
    host::Host,
    record::Record,
};

impl Worker {
    /// A request for the pool at `pool` arrived; `model` is what it named and what becomes of it.
    pub fn record(
        &mut self,
        pool: usize,
        model: Option<&(String, Fate)>,
        arrived: u64,
        bytes: u64,
    ) -> Record {
        let mut unknown = None;
        let row = match model {
            None => pool,
            Some((model, fate)) => {
                let serves = || self.policy(pool).is_some_and(|policy| policy.serves(model));
                if fate.target.is_some() || serves() {
                    let target = fate.target.as_deref().unwrap_or(model);
                    self.requests.row(pool, model, target)
                } else {
                    let row = self.requests.served(pool, model);
                    unknown = (row == pool).then(|| model.clone());
                    row
                }
            }
        };
        self.requests.begin(row);
        Record {
            pool,
            row,
            unknown,
            arrived,
            bytes,
            status: None,
            refused: false,
        }
    }

    /// The time between two events of a recorded request's stream.
    pub fn between_tokens(&mut self, record: &Record, nanos: u64) {
        self.requests.between_tokens(record.row, nanos);
    }

    /// A recorded request ended, for which the filter had been at work for so many nanoseconds before its
    /// answer.
    pub fn end_record(
        &mut self,
        host: &dyn Host,
        record: &Record,
        at_work: u64,
        answer: Option<&Answer>,
        measured: Option<&Measured>,
    ) {
        let ended = record.ended(answer, measured, host.monotonic_nanos());
        self.requests.end(record.row, &ended);
        self.requests.at_work(at_work);
        if let Some(model) = record.proven() {
            self.requests.row(record.pool, model, model);
        }
    }

    /// Gives the models of the policies rows, so that their series are there before any request.
    pub(super) fn foresee_requests(&mut self) {
        let pools = self.pools.iter().enumerate();
        let policies = pools.filter_map(|(index, pool)| Some((index, pool.policy.view()?)));
        for (index, policy) in policies {
            for model in policy.models() {
                let mut targets = policy
                    .rule(model)
                    .into_iter()
                    .flat_map(|rule| rule.targets());
                let mut any = false;
                for (target, _) in &mut targets {
                    any = true;
                    self.requests.row(index, model, target);
                }
                if !any {
                    self.requests.row(index, model, model);
                }
            }
        }
    }
}

/// How old the oldest signal of load of an endpoint is, in milliseconds.
pub(super) fn signal_age(endpoint: &Endpoint, now: Millis) -> Option<u64> {
    let signals = &endpoint.signals;
    let ages = [&signals.waiting, &signals.running, &signals.kv_usage];
    ages.iter()
        .filter_map(|signal| Some(signal.as_ref()?.age_ms(now)))
        .max()
}
