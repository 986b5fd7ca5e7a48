//! A pool, shared data and workers in memory: what the filter finds in Envoy.
#![allow(
    dead_code,
    reason = "each test and bench that includes this uses its own part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault of the fake is a fault of the test"
)]

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use admission::{Guard, Shared, Site};
use picker::{
    Decision, Endpoint, EndpointId, Entropy, Estimate, InFlight, Ledger, LocalState, Millis,
    Picker, PickerConfig, PoolView, Reason, RequestFacts, SplitMix64, SubsetEntry,
    policy::{Policy, Round},
};

/// A worker's table is ignored from this age on, as in the filter.
pub(crate) const TABLE_EXPIRY_MS: u64 = 2_000;
/// The least time between two readings of the other tables before a request is looked at.
pub(crate) const REFRESH_MS: u64 = 1;

/// What one worker shows the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) beat: Millis,
    pub(crate) loads: Vec<(EndpointId, InFlight)>,
}

/// What all workers share.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) endpoints: Arc<Vec<Endpoint>>,
    pub(crate) values: HashMap<Shared, (Vec<u8>, u32)>,
    /// By owner.
    pub(crate) tables: BTreeMap<u64, Table>,
    /// Wake-ups that were not delivered yet, by queue.
    pub(crate) wakes: BTreeMap<u32, u32>,
    /// A fault that is put in to see the tests fail.
    pub(crate) fault: Fault,
}

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Wake-ups vanish.
    WakesAreLost,
    /// A claim always succeeds.
    ClaimsAreIgnored,
    /// Nobody reads what others write on the board.
    BoardIsBlank,
}

impl World {
    pub(crate) fn new(endpoints: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            endpoints: Arc::new((0..endpoints).map(endpoint).collect()),
            now: Millis(1_000_000),
            ..Self::default()
        }))
    }

    /// Requests without a first token at an endpoint, by the tables that count.
    pub(crate) fn waiting_at(&self, endpoint: EndpointId) -> u32 {
        let tables = self.tables.values();
        let live = tables.filter(|table| self.now.since(table.beat) < TABLE_EXPIRY_MS);
        live.flat_map(|table| &table.loads)
            .filter(|(id, _)| *id == endpoint)
            .map(|(_, load)| load.prefilling)
            .sum()
    }
}

pub(crate) fn id(index: usize) -> EndpointId {
    EndpointId {
        address: SocketAddr::from(([10, 0, 0, index as u8 + 1], 8000)),
        generation: 1,
    }
}

fn endpoint(index: usize) -> Endpoint {
    Endpoint::new(id(index))
}

/// A request that may go to some endpoints only; to all when `only` is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) facts: RequestFacts,
}

impl Held {
    pub(crate) fn new(number: u64, prompt_tokens: u64) -> Self {
        Self {
            number,
            facts: RequestFacts {
                prompt_bytes: prompt_tokens * 4,
                ..RequestFacts::default()
            },
        }
    }

    pub(crate) fn only(mut self, endpoints: &[usize]) -> Self {
        let entry = |index: &usize| SubsetEntry {
            ip: id(*index).address.ip(),
            port: None,
        };
        self.facts.subset = Some(endpoints.iter().map(entry).collect());
        self
    }
}

/// Chooses the emptiest endpoint by the default limits: one that has room, if any has. Predicts a TTFT of
/// 50 ms for each request that waits there.
#[derive(Debug)]
pub(crate) struct Emptiest;

impl Policy for Emptiest {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let load = |position: u32| round.local(position).in_flight;
        let fullness = |position: u32| {
            let load = load(position);
            (u64::from(load.prefilling) * 512).max(load.prefill_tokens)
        };
        let least = round.candidates.iter().map(|at| fullness(*at)).min();
        let mut ties: Vec<u32> = round.candidates.to_vec();
        ties.retain(|position| Some(fullness(*position)) == least);
        let drawn = ties[entropy.below(ties.len())];
        let prompt = (round.facts.prompt_bytes / 4).max(1) as u32;
        Decision::new(Reason::LeastInFlight, [drawn as usize]).expecting(Estimate {
            prompt_tokens: prompt,
            uncached_tokens: prompt,
            ttft_ms: 50.0 * (load(drawn).prefilling as f32 + 1.0),
            total_ms: 1_000.0,
        })
    }
}

/// Called before every look at what is shared.
pub(crate) type Pause = Arc<dyn Fn() + Send + Sync>;

/// One worker's site.
pub(crate) struct Worker {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) owner: u64,
    pub(crate) ledger: Ledger,
    picker: Picker,
    entropy: SplitMix64,
    endpoints: Arc<Vec<Endpoint>>,
    local: Vec<LocalState>,
    others: HashMap<EndpointId, InFlight>,
    looked_at: Option<Millis>,
    now: Millis,
    pause: Option<Pause>,
}

impl Worker {
    pub(crate) fn new(world: &Arc<Mutex<World>>, owner: u64) -> Self {
        let config = PickerConfig::default();
        Self::with_picker(
            world,
            owner,
            Picker::with_policy(config, Box::new(Emptiest)),
        )
    }

    pub(crate) fn with_picker(world: &Arc<Mutex<World>>, owner: u64, picker: Picker) -> Self {
        let mut worker = Self {
            world: Arc::clone(world),
            owner,
            ledger: Ledger::new(),
            picker,
            entropy: SplitMix64::new(owner),
            endpoints: Arc::default(),
            local: Vec::new(),
            others: HashMap::new(),
            looked_at: None,
            now: Millis(0),
            pause: None,
        };
        worker.look_around();
        worker
    }

    pub(crate) fn pausing(mut self, pause: Pause) -> Self {
        self.pause = Some(pause);
        self
    }

    fn world(&self) -> MutexGuard<'_, World> {
        if let Some(pause) = &self.pause {
            pause();
        }
        self.world.lock().unwrap()
    }

    /// The worker's clock, which stands still during a callback.
    pub(crate) fn tell_time(&mut self) -> Millis {
        self.now = self.world.lock().unwrap().now;
        self.now
    }

    /// Looks around unless that was done just now, as the filter does before it picks.
    pub(crate) fn refresh(&mut self) {
        if self
            .looked_at
            .is_none_or(|at| self.now.since(at) >= REFRESH_MS)
        {
            self.look_around();
        }
    }

    fn recount(&mut self) {
        for (local, endpoint) in self.local.iter_mut().zip(self.endpoints.iter()) {
            let others = self.others.get(&endpoint.id).copied().unwrap_or_default();
            local.in_flight = self.ledger.get(endpoint.id).plus(others);
        }
    }

    fn recount_one(&mut self, endpoint: EndpointId) {
        let position = self.endpoints.iter().position(|one| one.id == endpoint);
        if let Some(local) = position.and_then(|at| self.local.get_mut(at)) {
            let others = self.others.get(&endpoint).copied().unwrap_or_default();
            local.in_flight = self.ledger.get(endpoint).plus(others);
        }
    }

    /// A first token came for a request of so many prompt tokens.
    pub(crate) fn first_token(&mut self, endpoint: EndpointId, tokens: u32) {
        assert!(self.ledger.first_token(endpoint, tokens));
        self.recount_one(endpoint);
    }

    /// A request ended.
    pub(crate) fn ended(&mut self, endpoint: EndpointId, tokens: u32, prefilling: bool) {
        assert!(
            self.ledger
                .end(endpoint, tokens, prefilling.then_some(tokens))
        );
        self.recount_one(endpoint);
    }

    /// Takes a wake-up of this worker, if there is one.
    pub(crate) fn is_woken(&mut self) -> bool {
        let queue = self.owner as u32;
        self.world.lock().unwrap().wakes.remove(&queue).is_some()
    }
}

impl Site<Held> for Worker {
    fn read(&mut self, value: Shared) -> (Vec<u8>, Guard) {
        let world = self.world();
        if world.fault == Fault::BoardIsBlank && value == Shared::Board {
            let guard = world.values.get(&value).map(|(_, guard)| *guard);
            return (Vec::new(), guard);
        }
        match world.values.get(&value) {
            Some((bytes, guard)) => (bytes.clone(), Some(*guard)),
            None => (Vec::new(), None),
        }
    }

    fn replace(&mut self, value: Shared, bytes: &[u8], guard: Guard) -> bool {
        let mut world = self.world();
        let careless = world.fault == Fault::ClaimsAreIgnored && value == Shared::Claim;
        let now = world.values.get(&value).map(|(_, guard)| *guard);
        if now != guard && !careless {
            return false;
        }
        let next = now.unwrap_or(0).wrapping_add(1);
        world.values.insert(value, (bytes.to_vec(), next));
        true
    }

    fn wake(&mut self, queue: u32) {
        let mut world = self.world();
        if world.fault != Fault::WakesAreLost {
            *world.wakes.entry(queue).or_default() += 1;
        }
    }

    fn queue(&self) -> Option<u32> {
        Some(self.owner as u32)
    }

    fn look_around(&mut self) {
        self.looked_at = Some(self.now);
        let owner = self.owner;
        // Table by table, as they are read from shared data.
        let tables: Vec<u64> = self.world().tables.keys().copied().collect();
        self.others.clear();
        for other in tables {
            let world = self.world();
            let Some(table) = world.tables.get(&other).filter(|_| other != owner) else {
                continue;
            };
            if world.now.since(table.beat) >= TABLE_EXPIRY_MS {
                continue;
            }
            let loads = table.loads.clone();
            drop(world);
            for (id, load) in loads {
                let sum = self.others.entry(id).or_default();
                *sum = sum.plus(load);
            }
        }
        let endpoints = Arc::clone(&self.world().endpoints);
        self.endpoints = endpoints;
        self.local
            .resize(self.endpoints.len(), LocalState::default());
        self.recount();
    }

    fn consider(&mut self, held: &Held) -> Decision {
        let view = PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now: self.now,
        };
        self.picker.consider(&held.facts, &view, &mut self.entropy)
    }

    fn view(&self) -> PoolView<'_> {
        PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now: self.now,
        }
    }

    fn begin(&mut self, endpoint: EndpointId, estimate: Estimate) {
        self.ledger
            .begin(endpoint, estimate.prompt_tokens, estimate.uncached_tokens);
        self.recount_one(endpoint);
    }

    fn undo(&mut self, endpoint: EndpointId, estimate: Estimate) {
        assert!(self.ledger.end(
            endpoint,
            estimate.prompt_tokens,
            Some(estimate.uncached_tokens)
        ));
        self.recount_one(endpoint);
    }

    fn publish(&mut self) {
        let (owner, beat) = (self.owner, self.now);
        let mut world = self.world();
        let table = world.tables.entry(owner).or_default();
        table.beat = beat;
        table.loads.clear();
        table.loads.extend(self.ledger.iter());
    }
}
