//! The simulation: one event after the other.
//!
//! ```text
//!   Arrival --> Gateway.pick --> Pod.engine --Wake--> first token --> end --> Workload.on_ended
//!                  ^                 |                                              |
//!      Push -------'      Scrape <---'         Retry <-- Pod (fails)      Arrival <-'
//! ```

mod admission;
mod agent;
mod clock;
mod flow;
mod gateway;
mod learner;
mod pod;
mod queue;
mod request;
mod worker;

use std::sync::{Arc, Mutex};

use model_sim::engine::SimTime;
use picker::{Endpoint, Entropy, Picker, PickerConfig, SplitMix64};

pub(crate) use self::pod::Pod;
use self::{
    agent::Agent,
    clock::phase,
    gateway::Gateway,
    pod::endpoint_id,
    queue::{Event, EventQueue},
    request::Requests,
    worker::Worker,
};
use crate::{
    oracle::{Oracle, Truth},
    outcome::Outcome,
    scenario::{AdmissionUnderTest, PodEventKind, PolicyUnderTest, Scenario},
    workload::Workload,
};

/// The generation of members that only the gateway's configuration names.
const SEED_GENERATION: u64 = 0;

/// Runs an experiment to its end.
pub fn simulate(scenario: &Scenario, workload: &mut dyn Workload) -> Outcome {
    let mut simulation = Simulation::new(scenario, workload);
    simulation.begin();
    while let Some((at, event)) = simulation.queue.next() {
        simulation.now = at;
        simulation.happens(event);
        if simulation.is_over() {
            break;
        }
    }
    simulation.end()
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    workload: &'a mut dyn Workload,
    now: SimTime,
    queue: EventQueue,
    requests: Requests,
    gateways: Vec<Gateway>,
    pods: Vec<Pod>,
    agent: Agent,
    push_planned: bool,
    /// What the oracle sees.
    truth: Option<Arc<Mutex<Truth>>>,
    /// Whether the workload has further open-loop arrivals.
    open: bool,
    measured: std::ops::Range<SimTime>,
    last_arrival: SimTime,
    finished_in_window: u64,
    /// Room for the events of one engine.
    events: Vec<model_sim::engine::Event>,
    outcome: Outcome,
}

impl<'a> Simulation<'a> {
    fn new(scenario: &'a Scenario, workload: &'a mut dyn Workload) -> Self {
        let pods: Vec<Pod> = scenario.endpoints.iter().cloned().map(Pod::new).collect();
        let truth = (scenario.policy == PolicyUnderTest::Oracle)
            .then(|| Arc::new(Mutex::new(Truth::default())));
        let mut seeds = SplitMix64::new(scenario.seed);
        let mut owner = 0;
        let mut worker = || {
            owner += 1;
            let worker = Worker::new(
                owner,
                picker_of(scenario, truth.as_ref()),
                members(pods.len()),
                seeds.next_u64(),
            );
            match scenario.admission {
                AdmissionUnderTest::Ours(config) => worker.admitting(config),
                AdmissionUnderTest::Off | AdmissionUnderTest::Reference => worker,
            }
        };
        let gateways = (0..scenario.gateways.max(1))
            .map(|_| Gateway::new((0..scenario.workers.max(1)).map(|_| worker()).collect()))
            .collect::<Vec<_>>();
        let begin = SimTime::ZERO + scenario.warm_up;
        let end = begin + scenario.duration;
        Self {
            agent: Agent::new(
                &pods,
                gateways.len(),
                scenario.adapters,
                scenario.share_between_gateways,
            ),
            scenario,
            workload,
            now: SimTime::ZERO,
            queue: EventQueue::default(),
            requests: Requests::default(),
            gateways,
            pods,
            push_planned: false,
            truth,
            open: true,
            measured: begin..end,
            last_arrival: end + scenario.cool_down,
            finished_in_window: 0,
            events: Vec::new(),
            outcome: Outcome {
                window_seconds: scenario.duration.as_secs_f64(),
                ..Outcome::default()
            },
        }
    }

    /// Plans what happens by itself.
    fn begin(&mut self) {
        let interval = self.scenario.scrape_interval;
        let mut phases = SplitMix64::new(self.scenario.seed ^ 0x5ca1_ab1e);
        if self.scenario.agent_alive {
            self.push();
            for pod in 0..self.pods.len() {
                let first = SimTime::ZERO + phase(interval, phases.next_u64());
                self.queue.plan(first, Event::Scrape(pod as u32));
            }
            if self.gateways.len() > 1 && self.scenario.share_between_gateways {
                for gateway in 0..self.gateways.len() {
                    let first = SimTime::ZERO + phase(interval, phases.next_u64());
                    self.queue.plan(first, Event::Report(gateway as u32));
                }
            }
        }
        for (index, event) in self.scenario.events.iter().enumerate() {
            self.queue
                .plan(SimTime::ZERO + event.at, Event::Pod(index as u32));
        }
        self.next_arrival();
    }

    /// No request is under way and none will come.
    fn is_over(&self) -> bool {
        !self.open && self.requests.is_empty()
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrival(place) => self.arrives(place),
            Event::Wake(pod) => self.wake(pod as usize),
            Event::Scrape(pod) => self.scrape(pod as usize),
            Event::Report(gateway) => self.report(gateway as usize),
            Event::Push => self.push(),
            Event::FirstTokenExpected(place, serial) => self.first_token_expected(place, serial),
            Event::Retry(place) => self.send(place),
            Event::Woken(gateway, worker) => self.woken(gateway, worker),
            Event::Tick(gateway, worker) => self.tick(gateway, worker),
            Event::Pod(index) => self.pod_event(index as usize),
        }
    }

    fn agent_is_dead(&self) -> bool {
        let dies_at = self.scenario.agent_dies_at;
        dies_at.is_some_and(|at| self.now >= SimTime::ZERO + at)
    }

    fn scrape(&mut self, index: usize) {
        if self.agent_is_dead() {
            return;
        }
        if let Some(pod) = self.pods.get(index) {
            self.agent.scrape(index, pod, self.now);
        }
        self.plan_push();
        let next = self.now + self.scenario.scrape_interval;
        self.queue.plan(next, Event::Scrape(index as u32));
    }

    fn report(&mut self, index: usize) {
        if self.agent_is_dead() {
            return;
        }
        if let Some(gateway) = self.gateways.get(index) {
            self.agent.hear(index, self.now, gateway.loads());
        }
        self.plan_push();
        let next = self.now + self.scenario.scrape_interval;
        self.queue.plan(next, Event::Report(index as u32));
    }

    /// What is new reaches the gateways after the push delay; what comes in the meantime goes with
    /// it.
    fn plan_push(&mut self) {
        if !self.push_planned {
            self.push_planned = true;
            let at = self.now + self.scenario.push_delay;
            self.queue.plan(at, Event::Push);
        }
    }

    fn push(&mut self) {
        self.push_planned = false;
        let slots = self.agent.publish();
        for (gateway, slot) in self.gateways.iter_mut().zip(slots) {
            gateway.receive(slot);
        }
    }

    fn pod_event(&mut self, index: usize) {
        let Some(event) = self.scenario.events.get(index).copied() else {
            return;
        };
        let Some(pod) = self.pods.get_mut(event.pod) else {
            return;
        };
        match event.kind {
            PodEventKind::Fails => {
                for place in pod.fail() {
                    self.broke(place);
                }
            }
            PodEventKind::Returns => pod.come_back(),
            PodEventKind::Speed(speed) => pod.engine.set_speed(speed),
        }
    }

    fn end(mut self) -> Outcome {
        self.outcome.pods = self.pods.iter().map(Pod::record).collect();
        self.outcome.simulated_seconds = self.now.as_seconds();
        self.outcome.throughput = self.finished_in_window as f64 / self.outcome.window_seconds;
        let workers = self.gateways.iter().flat_map(|gateway| &gateway.workers);
        let left = workers.flat_map(|worker| worker.ledger.iter());
        self.outcome.left_in_ledgers = left.map(|(_, load)| u64::from(load.requests)).sum();
        self.outcome
    }
}

/// The members as a gateway's configuration names them.
fn members(pods: usize) -> Vec<Endpoint> {
    (0..pods)
        .map(|index| Endpoint::new(endpoint_id(index, SEED_GENERATION)))
        .collect()
}

fn picker_of(scenario: &Scenario, truth: Option<&Arc<Mutex<Truth>>>) -> Picker {
    match (scenario.policy, truth) {
        (PolicyUnderTest::Picker(policy), _) => Picker::new(PickerConfig {
            policy,
            ..scenario.picker
        }),
        (PolicyUnderTest::Oracle, truth) => {
            let truth = truth.cloned().unwrap_or_default();
            Picker::with_policy(scenario.picker, Box::new(Oracle::new(truth)))
        }
    }
}
