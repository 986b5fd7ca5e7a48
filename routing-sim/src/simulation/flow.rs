//! A request's way through the simulation: arrival, attempts, first token, end.

use std::time::Duration;

use model_sim::engine::{self, EventKind, SimTime, Summary};
use picker::{Completion, EndpointId, Entropy, MAX_CHOICES, SplitMix64};

use super::{Simulation, clock::millis, pod::pod_index, queue::Event, request::Request};
use crate::{
    oracle::{PodTruth, uncached},
    outcome::{RequestRecord, Status},
    scenario::{AdmissionUnderTest, Scenario},
    workload::Arrival,
};

/// From a failed attempt to the next: the mean of Envoy's first back-off (0 to 25 ms).
const RETRY_AFTER: Duration = Duration::from_millis(12);

impl Simulation<'_> {
    /// Plans the workload's next open-loop arrival.
    pub(super) fn next_arrival(&mut self) {
        match self.workload.next_arrival() {
            Some(arrival) if arrival.at < self.last_arrival => self.plan_arrival(arrival, false),
            _ => self.open = false,
        }
    }

    fn plan_arrival(&mut self, arrival: Arrival, follow_up: bool) {
        let at = arrival.at.max(self.now);
        let place = self.requests.insert(arrival, follow_up);
        self.queue.plan(at, Event::Arrival(place));
    }

    pub(super) fn arrives(&mut self, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let open = !request.follow_up;
        let dealt = deal(self.scenario, &request.arrival);
        request.gateway = (dealt % self.gateways.len() as u64) as u32;
        request.worker = ((dealt >> 32) % self.scenario.workers.max(1) as u64) as u32;
        request.sent_at = self.now;
        self.outcome.arrived += 1;
        if self.measured.contains(&self.now) {
            request.record = Some(self.outcome.requests.len());
            self.outcome.requests.push(RequestRecord {
                conversation: request.arrival.conversation,
                arrived_at: self.now,
                ttft: 0.0,
                e2e: 0.0,
                prompt_tokens: request.arrival.prompt_tokens,
                cached_tokens: 0,
                output_tokens: 0,
                pod: None,
                retries: 0,
                priority: request.arrival.priority,
                status: Status::Failed,
            });
        }
        if open {
            self.next_arrival();
        }
        if self.scenario.admission == AdmissionUnderTest::Off || !self.asks(place) {
            self.route(place);
        }
    }

    /// Picks and counts.
    fn route(&mut self, place: u32) {
        self.tell_truth(place);
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let facts = &request.arrival.facts;
        let worker = request.worker as usize;
        self.outcome.picks += 1;
        let Some(gateway) = self.gateways.get_mut(request.gateway as usize) else {
            return;
        };
        let Some(decision) = gateway.pick(worker, facts, self.now) else {
            return;
        };
        let Some(worker) = gateway.workers.get_mut(worker) else {
            return;
        };
        for (choice, position) in request.choices.iter_mut().zip(decision.choices()) {
            *choice = worker.endpoints().get(position).map(|endpoint| endpoint.id);
        }
        let Some(first) = request.target() else {
            self.ends(place, Status::Refused, None);
            return;
        };
        request.estimate = decision.estimate();
        request.counted = Some(first);
        worker.dispatched(facts, first);
        worker.ledger.begin(
            first,
            request.estimate.prompt_tokens,
            request.estimate.uncached_tokens,
        );
        worker.touched();
        self.sent(place);
    }

    /// A request is counted, and on its way.
    pub(super) fn sent(&mut self, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        if !self.scenario.streamed && request.estimate.ttft_ms > 0.0 {
            let expected = Duration::from_secs_f32(request.estimate.ttft_ms.min(1e9) / 1e3);
            let event = Event::FirstTokenExpected(place, request.serial);
            self.queue.plan(self.now + expected, event);
        }
        self.send(place);
    }

    /// Sends a request to the endpoint it is to be tried at.
    pub(super) fn send(&mut self, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let target = request.target().and_then(pod_index);
        let pod = target.and_then(|index| self.pods.get_mut(index));
        let (Some(pod), Some(index)) = (pod.filter(|pod| pod.alive), target) else {
            self.broke(place);
            return;
        };
        let arrival = &request.arrival;
        if self.truth.is_some() {
            request.to_compute = uncached(&pod.engine, arrival);
            pod.to_compute += u64::from(request.to_compute);
        }
        let id = pod.engine.submit(
            engine::Request {
                prompt_tokens: arrival.prompt_tokens,
                output_tokens: arrival.output_tokens,
                block_hashes: arrival.block_hashes.clone(),
                lora: arrival.lora,
                token_events: false,
            },
            self.now,
        );
        pod.took(id, place);
        self.plan_wake(index);
    }

    fn plan_wake(&mut self, index: usize) {
        let Some(pod) = self.pods.get_mut(index) else {
            return;
        };
        let next = pod.engine.next_event_at();
        if next != pod.wake_at {
            pod.wake_at = next;
            if let Some(at) = next {
                self.queue.plan(at.max(self.now), Event::Wake(index as u32));
            }
        }
    }

    /// An engine has something to do. A wake-up that was planned for another time is stale.
    pub(super) fn wake(&mut self, index: usize) {
        let Some(pod) = self.pods.get_mut(index) else {
            return;
        };
        if pod.wake_at.is_none_or(|at| at.max(self.now) != self.now) {
            return;
        }
        pod.wake_at = None;
        let mut events = std::mem::take(&mut self.events);
        events.extend(pod.engine.advance(self.now));
        for event in events.drain(..) {
            let Some(pod) = self.pods.get_mut(index) else {
                continue;
            };
            let Some(place) = pod.place(event.id) else {
                continue;
            };
            match event.kind {
                EventKind::FirstToken { .. } => {
                    if let Some(request) = self.requests.get_mut(place) {
                        let computed = std::mem::take(&mut request.to_compute);
                        pod.to_compute = pod.to_compute.saturating_sub(u64::from(computed));
                    }
                    self.first_token(place);
                }
                EventKind::Finished(summary) => {
                    pod.let_go(event.id);
                    self.finished(place, &summary);
                }
                EventKind::Rejected(_) => {
                    pod.let_go(event.id);
                    self.ends(place, Status::Failed, None);
                }
                EventKind::Token | EventKind::Preempted => {}
            }
        }
        self.events = events;
        self.plan_wake(index);
    }

    fn first_token(&mut self, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        // A preempted request gets it once.
        if request.first_token_at.is_some() {
            return;
        }
        request.first_token_at = Some(self.now);
        if self.scenario.streamed {
            self.answered(place);
            self.prefilled(place);
        }
    }

    /// The first token of an answer that is not streamed is never seen: when it was expected, the
    /// prefill counts as done.
    pub(super) fn first_token_expected(&mut self, place: u32, serial: u64) {
        let current = self.requests.get_mut(place);
        if current.is_some_and(|request| request.serial == serial) {
            self.prefilled(place);
        }
    }

    fn prefilled(&mut self, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let gateway = self.gateways.get_mut(request.gateway as usize);
        let worker = gateway.and_then(|gateway| gateway.workers.get_mut(request.worker as usize));
        if let (Some(worker), Some(counted), false) = (worker, request.counted, request.prefilled) {
            request.prefilled = true;
            worker
                .ledger
                .first_token(counted, request.estimate.uncached_tokens);
            worker.touched();
            let (gateway, worker) = (request.gateway, request.worker);
            self.freed(gateway, worker);
        }
    }

    /// The response headers are there: the gateway learns who answers, and the count moves there.
    fn answered(&mut self, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let gateway = self.gateways.get_mut(request.gateway as usize);
        let worker = gateway.and_then(|gateway| gateway.workers.get_mut(request.worker as usize));
        let (Some(worker), Some(counted), Some(used)) = (worker, request.counted, request.target())
        else {
            return;
        };
        let now = millis(self.now);
        if used != counted {
            worker.breaker.failure(counted, now);
            let (tokens, uncached) = (
                request.estimate.prompt_tokens,
                request.estimate.uncached_tokens,
            );
            worker.ledger.end(counted, tokens, request.prefilling());
            worker.ledger.begin(used, tokens, uncached);
            worker.touched();
            request.prefilled = false;
            request.counted = Some(used);
        }
        worker.breaker.success(used);
    }

    fn finished(&mut self, place: u32, summary: &Summary) {
        if !self.scenario.streamed {
            self.answered(place);
        }
        if self.measured.contains(&self.now) {
            self.finished_in_window += 1;
        }
        self.ends(place, Status::Finished, Some(summary));
    }

    /// An attempt failed: Envoy tries the next endpoint of the list, unless the answer has begun.
    pub(super) fn broke(&mut self, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let begun = self.scenario.streamed && request.first_token_at.is_some();
        let failed = request.target();
        request.failures += 1;
        if !begun && request.failures < MAX_CHOICES && request.target().is_some() {
            request.first_token_at = None;
            self.queue.plan(self.now + RETRY_AFTER, Event::Retry(place));
            return;
        }
        let gateway = self.gateways.get_mut(request.gateway as usize);
        let worker = gateway.and_then(|gateway| gateway.workers.get_mut(request.worker as usize));
        if let (Some(worker), Some(failed)) = (worker, failed) {
            worker.breaker.failure(failed, millis(self.now));
        }
        self.ends(place, Status::Failed, None);
    }

    /// The request is over: releases its count, writes its record, asks for the next turn.
    pub(super) fn ends(&mut self, place: u32, status: Status, summary: Option<&Summary>) {
        let Some(request) = self.requests.remove(place) else {
            return;
        };
        match status {
            Status::Finished => self.outcome.finished += 1,
            Status::Refused => self.outcome.refused += 1,
            Status::Failed => self.outcome.failed += 1,
        }
        self.release(&request, summary);
        if request.counted.is_some() {
            self.freed(request.gateway, request.worker);
        }
        self.write_down(&request, status, summary);
        let answered = status == Status::Finished;
        let conversation = request.arrival.conversation;
        let next = self.workload.on_ended(conversation, answered, self.now);
        if let Some(arrival) = next.filter(|next| next.at < self.last_arrival) {
            self.plan_arrival(arrival, true);
        }
    }

    fn release(&mut self, request: &Request, summary: Option<&Summary>) {
        let gateway = self.gateways.get_mut(request.gateway as usize);
        let worker = gateway.and_then(|gateway| gateway.workers.get_mut(request.worker as usize));
        let (Some(worker), Some(counted)) = (worker, request.counted) else {
            return;
        };
        worker.ledger.end(
            counted,
            request.estimate.prompt_tokens,
            request.prefilling(),
        );
        worker.touched();
        if let Some(summary) = summary {
            let completion = self.scenario.completion(request, counted, summary);
            worker.picker.completed(&completion);
            worker.learned_cached(&request.arrival.facts, &completion);
        }
    }

    fn write_down(&mut self, request: &Request, status: Status, summary: Option<&Summary>) {
        let record = request
            .record
            .and_then(|record| self.outcome.requests.get_mut(record));
        let Some(record) = record else {
            return;
        };
        let arrived_at = record.arrived_at;
        record.status = status;
        record.e2e = self.now.seconds_since(arrived_at);
        record.ttft = request
            .first_token_at
            .map_or(record.e2e, |at| at.seconds_since(arrived_at));
        record.retries = request.failures as u32;
        if let Some(summary) = summary {
            record.cached_tokens = summary.cached_tokens;
            record.output_tokens = summary.output_tokens;
            record.pod = request
                .target()
                .and_then(pod_index)
                .map(|index| index as u32);
            self.outcome.lookup_tokens += u64::from(summary.prompt_tokens);
            self.outcome.hit_tokens += u64::from(summary.cached_tokens);
        }
    }

    /// Shows the oracle the exact state.
    fn tell_truth(&mut self, place: u32) {
        let Some(truth) = &self.truth else {
            return;
        };
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        // Nobody panics while holding it.
        let Ok(mut truth) = truth.lock() else {
            return;
        };
        let arrival = &request.arrival;
        truth.prompt_tokens = arrival.prompt_tokens;
        truth.output_tokens = arrival.output_tokens;
        truth.pods.clear();
        let pods = self.pods.iter();
        truth
            .pods
            .extend(pods.map(|pod| PodTruth::of(pod, arrival)));
    }
}

impl Scenario {
    /// What the gateway sees of a finished answer.
    fn completion(&self, request: &Request, endpoint: EndpointId, summary: &Summary) -> Completion {
        let since = |at: SimTime| (at.seconds_since(request.sent_at) * 1e3) as f32;
        Completion {
            endpoint,
            estimate: request.estimate,
            prompt_bytes: request.arrival.facts.prompt_bytes,
            prompt_tokens: Some(summary.prompt_tokens),
            cached_tokens: self.tells_cached_tokens.then_some(summary.cached_tokens),
            output_tokens: Some(summary.output_tokens),
            first_token_ms: self.streamed.then(|| since(summary.first_token_at)),
            total_ms: since(summary.finished_at),
        }
    }
}

/// Which gateway (low half) and worker (high half) gets a request: at random, but the same for every
/// policy.
fn deal(scenario: &Scenario, arrival: &Arrival) -> u64 {
    let turn = u64::from(arrival.prompt_tokens) << 32 | u64::from(arrival.output_tokens);
    let turn = if scenario.conversations_stay { 0 } else { turn };
    let conversation = arrival.conversation.0.rotate_left(17);
    let mut draw = SplitMix64::new(scenario.seed ^ conversation ^ turn);
    draw.next_u64();
    draw.next_u64()
}
