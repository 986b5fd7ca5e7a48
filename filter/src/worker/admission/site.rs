//! [`Site`] over one worker and Envoy's shared data.

use admission::{Guard, Shared, Site};
use picker::{Decision, EndpointId, Estimate, Millis, PoolView};

use crate::{
    host::{self, Host, QueueId},
    queueing::Held,
    wake,
    worker::Worker,
};

/// One worker, for as long as the admission of one of its pools looks at it.
pub(super) struct Surroundings<'a> {
    host: &'a dyn Host,
    worker: &'a mut Worker,
    index: usize,
    queue: Option<QueueId>,
    now: Millis,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(
        host: &'a dyn Host,
        worker: &'a mut Worker,
        index: usize,
        queue: Option<QueueId>,
        now: Millis,
    ) -> Self {
        Self {
            host,
            worker,
            index,
            queue,
            now,
        }
    }

    fn key(&self, value: Shared) -> &str {
        let keys = self.worker.pools.get(self.index).map(|pool| &pool.keys);
        keys.map_or("", |keys| match value {
            Shared::Board => &keys.board,
            Shared::Claim => &keys.claim,
        })
    }

    /// Takes the ledger over into the view after it changed at an endpoint.
    fn recount(&mut self, endpoint: EndpointId) {
        self.worker.recount(endpoint.address);
        self.refresh();
    }

    fn refresh(&mut self) {
        if let Some(pool) = self.worker.pools.get_mut(self.index) {
            pool.view.at(self.now, &pool.breaker, &pool.backpressure);
        }
    }
}

impl Site<Held> for Surroundings<'_> {
    fn read(&mut self, value: Shared) -> (Vec<u8>, Guard) {
        let host::Shared { value, guard } = self.host.shared(self.key(value));
        (value, guard)
    }

    fn replace(&mut self, value: Shared, bytes: &[u8], guard: Guard) -> bool {
        let seen = host::Shared {
            value: Vec::new(),
            guard,
        };
        let key = self.key(value);
        self.host.replace_shared(key, bytes, &seen).is_ok()
    }

    fn wake(&mut self, queue: u32) {
        wake::ring(self.host, QueueId(queue));
    }

    fn queue(&self) -> Option<u32> {
        self.queue.map(|queue| queue.0)
    }

    fn look_around(&mut self) {
        self.worker.look_again(self.host, self.index, self.now);
        self.refresh();
    }

    fn consider(&mut self, held: &Held) -> Decision {
        let entropy = &mut self.worker.entropy;
        match self.worker.pools.get_mut(self.index) {
            Some(pool) => {
                let view = pool.view.at(self.now, &pool.breaker, &pool.backpressure);
                pool.picker.consider(held.facts(), &view, entropy)
            }
            None => Decision::none(picker::Reason::NoEndpoints),
        }
    }

    fn view(&self) -> PoolView<'_> {
        let pool = self.worker.pools.get(self.index);
        pool.map_or(
            PoolView {
                endpoints: &[],
                local: &[],
                now: self.now,
            },
            |pool| pool.view.as_it_was(self.now),
        )
    }

    fn begin(&mut self, endpoint: EndpointId, estimate: Estimate) {
        let (tokens, uncached) = (estimate.prompt_tokens, estimate.uncached_tokens);
        self.worker.ledger.begin(endpoint, tokens, uncached);
        self.recount(endpoint);
    }

    fn undo(&mut self, endpoint: EndpointId, estimate: Estimate) {
        let (tokens, uncached) = (estimate.prompt_tokens, estimate.uncached_tokens);
        if !self.worker.ledger.end(endpoint, tokens, Some(uncached)) {
            log::error!("a plan took back what it had not counted");
        }
        self.recount(endpoint);
    }

    fn publish(&mut self) {
        let worker = &mut *self.worker;
        worker.table.write(self.host, &worker.ledger, self.now);
    }
}
