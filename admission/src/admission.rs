//! One worker's admission to one pool: the state machine around queue, board and claim.
//!
//! ```text
//!   claim      read ---------------------------------> replace --> the plan holds
//!                |                                        ^   \
//!   tables       '-> look around -> plan -> publish own --'    '-> somebody else planned meanwhile:
//!                                                                  undo, publish, once more
//! ```
//!
//! Two plans that hold never take the same room: the later one read the claim after the earlier one had
//! replaced it, and so saw what that had published before. Room that is plainly there is taken without a
//! claim, by what is known of the others from at most a millisecond ago. So of `n` workers that all
//! decide within one millisecond, an endpoint may get more than its limit, but never more than
//! `limit + (n - 1) limit / 2`; the half is [`AdmissionConfig::unclaimed_share`].

mod claim;
mod plan;

use picker::{Decision, EndpointId, Millis, Priority, freshness::Ladder};

use self::claim::Claim;
use crate::{
    board::Board,
    config::{AdmissionConfig, Bound, Measure},
    drain::Drain,
    effect::{Dispatch, Effect},
    queue::{Full, Queue, Ticket, Waiting},
    refusal::{Reason, Refusal},
    room::{self, Limits, Room},
    saturation,
    site::Site,
};

/// How many requests one plan looks at.
const WALK: usize = 32;
/// How often a plan is tried anew that lost the claim to another worker.
const TRIES: usize = 4;

/// A request that asks to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrival {
    /// Its priority.
    pub priority: Priority,
    /// A hash of its fairness id; 0 for none.
    pub flow: u64,
    /// The tokens of prompt and answer that it probably takes ([`picker::Picker::predicted_tokens`]).
    pub tokens: u32,
    /// The bytes of its body that would be held.
    pub bytes: u64,
    /// When it is to be answered at the latest, if it says so; no later than the configured TTL.
    pub deadline: Option<Millis>,
    /// When its first token is due, if it says so.
    pub due: Option<Millis>,
}

/// What becomes of a request that asks.
#[derive(Debug, PartialEq)]
pub enum Arrived<T> {
    /// It goes at once. It is counted in the ledger and the others were told.
    Go(Dispatch<T>),
    /// It waits, until an [`Effect`] says otherwise or [`Admission::left`] is called.
    Held(Ticket),
    /// It is answered at once.
    Refused(T, Refusal),
    /// The picker names no endpoint for it, for a reason that waiting does not change; answer it as
    /// without admission.
    Unroutable(T, Decision),
}

/// One worker's admission to one pool. `T` is a held request.
#[derive(Debug)]
pub struct Admission<T> {
    config: AdmissionConfig,
    ladder: Ladder,
    queue: Queue<T>,
    board: Board,
    drain: Drain,
    saturation: f32,
    effects: Vec<Effect<T>>,
    /// Those that lost their place to somebody more important, and are answered from the root context.
    turned_out: Vec<Effect<T>>,
}

impl<T> Admission<T> {
    /// Admission that holds nothing. `owner` identifies this worker on the board: unique among all that
    /// share the Envoy, another one after a restart. `ladder` says how signals age, as in the picker's
    /// configuration.
    #[must_use]
    pub fn new(config: AdmissionConfig, ladder: Ladder, owner: u64) -> Self {
        Self {
            queue: Queue::new(&config),
            config,
            ladder,
            board: Board::new(owner),
            drain: Drain::default(),
            saturation: 0.0,
            effects: Vec::new(),
            turned_out: Vec::new(),
        }
    }

    /// A request asks.
    pub fn arrive(
        &mut self,
        site: &mut impl Site<T>,
        now: Millis,
        arrival: &Arrival,
        held: T,
    ) -> Arrived<T> {
        let highest = self.queue.highest();
        self.board.read(site, now);
        let is_first = highest.is_none_or(|highest| highest < arrival.priority)
            && self.board.highest_elsewhere() <= Some(arrival.priority);
        if is_first {
            let decision = site.consider(&held);
            if self.is_too_slow(arrival.priority, &decision) {
                self.saturation = self.saturation_of(site, &decision);
                let refusal = self.refusal(Reason::Shed, arrival.priority, arrival.flow, now);
                return Arrived::Refused(held, refusal);
            }
            if decision.first().is_none() && decision.reason() != picker::Reason::NoEndpoints {
                return Arrived::Unroutable(held, decision);
            }
            let went = match self.unclaimed(site, arrival.priority, decision) {
                None => self.claimed(site, arrival.priority, &held),
                went => went,
            };
            if let Some((decision, endpoint)) = went {
                self.drain.dispatched(arrival.tokens, now);
                return Arrived::Go(Dispatch {
                    held,
                    decision,
                    endpoint,
                    waited_ms: 0,
                });
            }
        }
        if arrival.priority.is_sheddable()
            && let Some(refusal) = self.sheds_behind(arrival, now)
        {
            return Arrived::Refused(held, refusal);
        }
        self.hold(site, now, arrival, held, is_first)
    }

    /// Takes room that is plainly there: counts the request and tells the others.
    fn unclaimed(
        &mut self,
        site: &mut impl Site<T>,
        priority: Priority,
        decision: Decision,
    ) -> Option<(Decision, EndpointId)> {
        let limits = self.limits(priority);
        let limits = Limits {
            // A cache that is half full is no sign of anything.
            kv_usage: limits.kv_usage,
            ..limits.times(self.config.unclaimed_share)
        };
        self.saturation = self.saturation_of(site, &decision);
        let endpoint = self.has_room(site, &decision, &limits)?;
        if self.is_full(site) {
            return None;
        }
        site.begin(endpoint, decision.estimate());
        site.publish();
        Some((decision, endpoint))
    }

    /// Takes room that others may want as well.
    fn claimed(
        &mut self,
        site: &mut impl Site<T>,
        priority: Priority,
        held: &T,
    ) -> Option<(Decision, EndpointId)> {
        let limits = self.limits(priority);
        for _ in 0..TRIES {
            let claim = Claim::read(site);
            site.look_around();
            // Where no endpoint has room, the best has none, and which it is does not matter.
            if self.is_full(site) || !room::any(&site.view(), &self.ladder, &limits) {
                return None;
            }
            let decision = site.consider(held);
            let endpoint = self.has_room(site, &decision, &limits)?;
            site.begin(endpoint, decision.estimate());
            if claim.replace(site) {
                return Some((decision, endpoint));
            }
            site.undo(endpoint, decision.estimate());
            site.publish();
        }
        None
    }

    fn hold(
        &mut self,
        site: &mut impl Site<T>,
        now: Millis,
        arrival: &Arrival,
        held: T,
        is_first: bool,
    ) -> Arrived<T> {
        let ticket = match self.push(site, now, arrival, held) {
            Ok(ticket) => ticket,
            Err((Full(bound), held)) => {
                let refusal =
                    self.refusal(Reason::Full(bound), arrival.priority, arrival.flow, now);
                return Arrived::Refused(held, refusal);
            }
        };
        // The row is up before the look for room: whoever frees some in between sees the row.
        self.say(site, now);
        if !is_first {
            return Arrived::Held(ticket);
        }
        // The first alone is planned for, and that is this one.
        self.plan(site, now, 1);
        match self.effects.pop() {
            Some(Effect::Dispatch(dispatch)) => Arrived::Go(dispatch),
            Some(Effect::Refuse { held, refusal, .. }) => Arrived::Refused(held, refusal),
            None => Arrived::Held(ticket),
        }
    }

    /// Puts a request into the queue. Where all places are taken, a less important one is turned out for it.
    fn push(
        &mut self,
        site: &mut impl Site<T>,
        now: Millis,
        arrival: &Arrival,
        held: T,
    ) -> Result<Ticket, (Full, T)> {
        let waiting = self.waiting(arrival, now);
        let held = match self.queue.push(waiting, held) {
            Err((Full(Bound::Worker), held)) => held,
            result => return result,
        };
        let loser = self.queue.place_for(arrival.priority, arrival.bytes);
        let Some((least, loser)) = loser.and_then(|ticket| self.queue.remove(ticket)) else {
            return Err((Full(Bound::Worker), held));
        };
        let reason = Reason::Full(Bound::Worker);
        self.turned_out.push(Effect::Refuse {
            held: loser,
            refusal: self.refusal(reason, least.priority, least.flow, now),
            waited_ms: now.since(least.arrived),
        });
        if let Some(queue) = site.queue() {
            site.wake(queue);
        }
        self.queue.push(waiting, held)
    }

    fn waiting(&self, arrival: &Arrival, now: Millis) -> Waiting {
        let mut expires = now.plus(self.config.ttl_ms);
        if let Some(deadline) = arrival.deadline {
            expires = expires.min(deadline);
        }
        if arrival.priority.is_sheddable() {
            expires = expires.min(now.plus(self.config.sheddable_hold_ms));
        }
        Waiting {
            priority: arrival.priority,
            flow: arrival.flow,
            tokens: arrival.tokens,
            bytes: arrival.bytes,
            arrived: now,
            due: arrival.due,
            expires,
        }
    }

    /// The client of a held request left. Returns the request, unless it went or was answered before.
    pub fn left(&mut self, site: &mut impl Site<T>, now: Millis, ticket: Ticket) -> Option<T> {
        let (_, held) = self.queue.remove(ticket)?;
        self.say(site, now);
        Some(held)
    }

    /// A held request's body grew to so many bytes.
    ///
    /// # Errors
    /// When a bound would be passed; the request is still held, as it was counted before.
    pub fn grow(&mut self, ticket: Ticket, bytes: u64) -> Result<(), Full> {
        self.queue.grow(ticket, bytes)
    }

    /// A request that was sent has its first token, or ended: wakes those who wait for the room.
    pub fn freed(&mut self, site: &mut impl Site<T>, now: Millis) {
        self.board.glance(site, now);
        let highest = self.queue.highest().max(self.board.highest_elsewhere());
        if let Some(highest) = highest {
            // Those who are woken must see what was freed.
            site.publish();
            self.wake(site, highest);
        }
    }

    /// The worker's queue woke it: plans, and says what became of the held requests. Only from the root
    /// context, where they can be answered.
    pub fn woken(&mut self, site: &mut impl Site<T>, now: Millis) -> Vec<Effect<T>> {
        self.board.read(site, now);
        self.plan(site, now, WALK);
        let mut effects = std::mem::take(&mut self.turned_out);
        effects.append(&mut self.effects);
        effects
    }

    /// Every 20 ms while something waits: answers those whose time is over, and plans. Only from the root
    /// context.
    pub fn tick(&mut self, site: &mut impl Site<T>, now: Millis) -> Vec<Effect<T>> {
        self.sweep(site, now);
        self.woken(site, now)
    }

    /// Answers those whose time is over.
    fn sweep(&mut self, site: &mut impl Site<T>, now: Millis) {
        let mut empty = None;
        while let Some(ticket) = self.queue.expired(now) {
            let Some((waiting, held)) = self.queue.remove(ticket) else {
                return;
            };
            let empty = *empty.get_or_insert_with(|| {
                site.look_around();
                site.view().endpoints.is_empty()
            });
            let reason = match () {
                () if empty => Reason::NoEndpoints,
                () if waiting.priority.is_sheddable() => Reason::Shed,
                () => Reason::Expired,
            };
            let refusal = self.refusal(reason, waiting.priority, waiting.flow, now);
            self.effects.push(Effect::Refuse {
                held,
                refusal,
                waited_ms: now.since(waiting.arrived),
            });
        }
    }

    /// Plans until a plan holds, and shows the others what is left.
    fn plan(&mut self, site: &mut impl Site<T>, now: Millis, most: usize) {
        let mut held = true;
        for _ in 0..TRIES {
            if self.queue.is_empty() {
                break;
            }
            let claim = Claim::read(site);
            site.look_around();
            let plan = self.draw_up(site, most);
            held = plan.holds(site, &claim);
            if held {
                self.carry_out(plan, now);
                break;
            }
        }
        self.say(site, now);
        if !held && let Some(queue) = site.queue() {
            // The others took what they could; whether all of it, is for another look to say.
            site.wake(queue);
        }
    }

    /// Says on the board what waits here. If that is less than before, wakes those whose turn it is now.
    fn say(&mut self, site: &mut impl Site<T>, now: Millis) {
        let highest = self.queue.highest();
        let waits = highest.map(|highest| (highest, self.queue.len(), self.queue.bytes()));
        if self.board.say(site, waits, now)
            && let Some(next) = highest.max(self.board.highest_elsewhere())
        {
            self.wake(site, next);
        }
    }

    /// Wakes every worker in which the priority waits.
    fn wake(&mut self, site: &mut impl Site<T>, priority: Priority) {
        for queue in self.board.queues_of(priority) {
            site.wake(queue);
        }
        if self.queue.highest() == Some(priority)
            && let Some(queue) = site.queue()
        {
            site.wake(queue);
        }
    }

    /// The limits that hold for a priority.
    fn limits(&self, priority: Priority) -> Limits {
        let hold_back = self.config.hold_back;
        let room = Limits {
            spare: priority.is_sheddable().then_some(self.config.spare_share),
            ..self.config.room
        };
        if priority < hold_back.below && hold_back.share > 0.0 {
            room.times(1.0 - hold_back.share)
        } else {
            room
        }
    }

    /// Where a decision goes first, if there is room.
    fn has_room(
        &self,
        site: &impl Site<T>,
        decision: &Decision,
        limits: &Limits,
    ) -> Option<EndpointId> {
        let first = decision.first()?;
        let view = site.view();
        let room = Room::at(&view, first, &self.ladder)?;
        room.is_within(limits).then(|| room::id_at(&view, first))?
    }

    /// Whether the pool as a whole counts as full, by the reference's measure if that is configured.
    fn is_full(&self, site: &impl Site<T>) -> bool {
        self.config.measure == Measure::Utilization
            && saturation::of_pool(&site.view(), &self.ladder) >= 1.0
    }

    /// Whether a sheddable request should be refused because it would be slow where it is quickest.
    fn is_too_slow(&self, priority: Priority, decision: &Decision) -> bool {
        self.config.measure == Measure::PredictedTtft
            && priority.is_sheddable()
            && decision.estimate().ttft_ms > self.config.ttft_target_ms
    }

    fn saturation_of(&self, site: &impl Site<T>, decision: &Decision) -> f32 {
        match self.config.measure {
            Measure::PredictedTtft => {
                saturation::by_ttft(decision.estimate(), self.config.ttft_target_ms)
            }
            Measure::Utilization => saturation::of_pool(&site.view(), &self.ladder),
        }
    }

    /// Refuses a sheddable request that would wait too long behind others.
    fn sheds_behind(&self, arrival: &Arrival, now: Millis) -> Option<Refusal> {
        let before = self.queue.tokens_before(arrival.priority, arrival.flow);
        let waits_ms = self.drain.wait_ms(before, now);
        (waits_ms > self.config.ttft_target_ms)
            .then(|| self.refusal(Reason::Shed, arrival.priority, arrival.flow, now))
    }

    fn refusal(&self, reason: Reason, priority: Priority, flow: u64, now: Millis) -> Refusal {
        let before = self.queue.tokens_before(priority, flow);
        Refusal {
            reason,
            retry_after_s: self.drain.retry_after_s(before, now),
        }
    }

    /// Whether neither a tick nor a wake-up would do anything: nothing waits here, and the board says so.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_empty() && !self.board.has_row()
    }

    /// Whether no request waits here, be it for room or for its refusal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.turned_out.is_empty()
    }

    /// The queue, for gauges.
    #[must_use]
    pub const fn queue(&self) -> &Queue<T> {
        &self.queue
    }

    /// What waits in the other workers, by the last reading of the board: requests and bytes.
    #[must_use]
    pub fn waiting_elsewhere(&self) -> (u64, u64) {
        self.board.waiting_elsewhere()
    }

    /// How full the pool was when it was last looked at; 1 is full.
    #[must_use]
    pub const fn saturation(&self) -> f32 {
        self.saturation
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &AdmissionConfig {
        &self.config
    }
}
