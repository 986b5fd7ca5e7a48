//! One root context: configured once, ticks for ever, hands out requests.

use std::{cell::RefCell, rc::Rc};

use picker::{Millis, SplitMix64};

use crate::{
    agent_stream::AgentStream,
    config::{Config, Mistakes, Mode},
    host::{Host, QueueId, StreamToken},
    lease::{Leases, TICK_MS},
    pair::{Second, SecondPresence},
    request::Request,
    slots,
    worker::Worker,
};

/// While requests are held, ticks come more often than most of the work is due: every so many
/// milliseconds, a little less than [`TICK_MS`], which a tick may come early.
const DUE_MS: u64 = TICK_MS as u64 - 10;

/// A root context after its configuration was accepted.
#[derive(Debug)]
pub enum Root {
    /// It decides requests.
    Deciding(Box<Deciding>),
    /// It holds headers for the first filter of a pair.
    Holding(SecondPresence),
}

/// What a deciding root context owns.
#[derive(Debug)]
pub struct Deciding {
    context: u32,
    worker: Rc<RefCell<Worker>>,
    leader: Option<Leader>,
    /// When all the periodic work was done last.
    ticked: Millis,
}

#[derive(Debug)]
struct Leader {
    leases: Leases,
    stream: AgentStream,
    led: bool,
}

/// The callbacks of one stream.
#[derive(Debug)]
pub enum Stream {
    /// Of a deciding root context.
    Request(Box<Request>),
    /// Of a holding one.
    Second(Second),
}

impl Root {
    /// Accepts or refuses the plugin's configuration; `context` is the host's id of this root
    /// context.
    ///
    /// # Errors
    /// Every mistake at once. Envoy then keeps the configuration it has, or refuses to start.
    pub fn configure(host: &dyn Host, context: u32) -> Result<Self, Mistakes> {
        let config = Config::parse(&host.configuration())?;
        if config.mode == Mode::PairSecond {
            return Ok(Self::Holding(SecondPresence::new()));
        }
        slots::create_common(host);
        let owner = host.random();
        let mut worker = Worker::new(host, owner, &config);
        let keys: Vec<_> = (0..config.pools.len())
            .filter_map(|index| worker.pool_keys(index).cloned())
            .collect();
        for keys in &keys {
            keys.create(host);
        }
        // A reloaded VM goes on with the policies that its predecessor had.
        worker.reload_policies(host);
        let leader = config.agent_cluster.as_deref().map(|cluster| {
            for keys in &keys {
                slots::set_agent(host, keys, cluster);
            }
            let process = slots::process_id(host);
            let entropy = SplitMix64::new(host.random());
            Leader {
                stream: AgentStream::new(cluster, process, worker.pool_names(), entropy),
                leases: Leases::new(owner, cluster, keys),
                led: false,
            }
        });
        worker.appear(host);
        host.tick_every(TICK_MS);
        Ok(Self::Deciding(Box::new(Deciding {
            context,
            worker: Rc::new(RefCell::new(worker)),
            leader,
            ticked: host.now(),
        })))
    }

    /// A new stream with the host's id `context`.
    #[must_use]
    pub fn stream(&self, context: u32) -> Stream {
        match self {
            Self::Deciding(deciding) => {
                let worker = Rc::clone(&deciding.worker);
                Stream::Request(Box::new(Request::new(worker, context)))
            }
            Self::Holding(_) => Stream::Second(Second::new(context)),
        }
    }

    /// The periodic work.
    pub fn tick(&mut self, host: &dyn Host) {
        let Self::Deciding(deciding) = self else {
            return;
        };
        let now = host.now();
        let mut worker = deciding.worker.borrow_mut();
        let is_due = !worker.ticks_fast() || now.since(deciding.ticked) >= DUE_MS;
        worker.admit_by_tick(host, deciding.context, now);
        if !is_due {
            return;
        }
        deciding.ticked = now;
        worker.tick(host, deciding.context, now);
        if let Some(leader) = &mut deciding.leader {
            leader.leases.tick(host, now);
            let leads = leader.leases.holds(0);
            if leads && !leader.led {
                worker.metrics().took_over(host);
            }
            leader.led = leads;
            worker.show_pools(host, now, |index| leader.leases.holds(index));
            leader.stream.tick(host, &mut worker, &leader.leases, now);
        } else {
            worker.show_pools(host, now, |_| true);
        }
    }

    /// A queue of ours was filled.
    pub fn queue_ready(&mut self, host: &dyn Host, queue: QueueId) {
        if let Self::Deciding(deciding) = self {
            let mut worker = deciding.worker.borrow_mut();
            worker.woken(host, deciding.context, queue);
        }
    }

    /// A message of the agent arrived.
    pub fn stream_message(&mut self, host: &dyn Host, token: StreamToken, length: usize) {
        if let Self::Deciding(deciding) = self
            && let Some(leader) = &mut deciding.leader
        {
            let mut worker = deciding.worker.borrow_mut();
            leader.stream.on_message(host, &mut worker, token, length);
        }
    }

    /// The agent's stream was closed.
    pub fn stream_closed(&mut self, host: &dyn Host, token: StreamToken, status: u32) {
        if let Self::Deciding(deciding) = self
            && let Some(leader) = &mut deciding.leader
        {
            let worker = deciding.worker.borrow();
            leader.stream.on_close(host, &worker, token, status);
        }
    }

    /// The root context is about to go: lets others lead at once.
    pub fn shut_down(&mut self, host: &dyn Host) {
        if let Self::Deciding(deciding) = self
            && let Some(leader) = &mut deciding.leader
        {
            let now = host.now();
            leader.stream.close(host, now);
            leader.leases.release(host, now);
        }
    }

    /// What decides, for tests.
    #[cfg(test)]
    pub(crate) fn worker(&self) -> Option<&Rc<RefCell<Worker>>> {
        match self {
            Self::Deciding(deciding) => Some(&deciding.worker),
            Self::Holding(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
