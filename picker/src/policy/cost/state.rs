//! What is going on at one endpoint now: the last scrape, corrected by what was sent and what ended
//! since.
//!
//! ```text
//!     scrape taken                    now
//!   -------+---------------------------+-----> time
//!     admitted = waiting + running     known = own ledger + what other gateways report
//!     known then
//!          '-- foreign = admitted - known then: requests that nobody but the endpoint tells of
//!
//!     there now = known + foreign
//! ```
//!
//! The ledger is never doubted: an endpoint can add to what was sent there, not deny it. As its account
//! ages, the foreign requests fade towards the pool's mean, and with the last account of the pool
//! towards none: then the ledger alone decides. An endpoint without an account has the mean of the
//! others; silence is not idleness.

use crate::{
    config::CostConfig,
    endpoint::Endpoint,
    freshness::Ladder,
    score::{greater, lesser},
    signal::Signal,
    step_model::StepModel,
    time::Millis,
    view::{InFlight, LocalState},
};

/// More requests, or tokens, than any endpoint holds; keeps sums of hostile numbers finite.
const MOST_REQUESTS: f32 = 1e6;
const MOST_TOKENS: f32 = 1e9;
/// What is learned of an endpoint hardly ages; it counts in full up to the first, in milliseconds, and
/// not at all from the second on.
const LEARNED_MS: (u64, u64) = (30_000, 60_000);

/// How far what is learned of an endpoint's steps may lie from what is configured, as a factor. Bounds
/// what an endpoint attracts by counters that lie.
const MOST_FACTOR: f32 = 8.0;

/// A number that only the endpoint can tell and how much that counts.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    value: f32,
    trust: f32,
}

/// One endpoint as it was looked at, before it is compared with the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sighting {
    known: Known,
    /// What was known when the scrape was taken.
    then: Known,
    /// Requests there that are not known, and those of all that wait for their first token without
    /// our knowing.
    foreign: Account,
    waiting: Account,
    /// The foreign requests that it admits to even if its account is incomplete.
    least_foreign: f32,
    kv_usage: Account,
    kv_capacity: f32,
    slots: f32,
    step: StepModel,
    /// How much that is learned.
    step_trust: f32,
    /// How much the most trusted of its gauges counts.
    pub(super) trust: f32,
}

/// One endpoint now. All finite and at least 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct State {
    /// Requests that generate tokens.
    pub(super) decoding: f32,
    /// Requests without a first token yet.
    pub(super) waiting: f32,
    /// Prompt tokens that must be computed before the last of those has its first token.
    pub(super) prefill_tokens: f32,
    /// KV tokens in use.
    pub(super) kv_tokens: f32,
    /// KV tokens that a step attends to; shared ones count for each request.
    pub(super) attended_tokens: f32,
    /// KV tokens that it has room for, at least 1.
    pub(super) kv_capacity: f32,
    /// Requests that it runs at once, at least 1.
    pub(super) slots: f32,
    /// What its steps cost.
    pub(super) step: StepModel,
}

/// What the accounts of a pool say on average, and how much the best of them counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Means {
    foreign: Mean,
    waiting: Mean,
    kv_usage: Mean,
    step: StepMean,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f32,
    trust: f32,
    most: f32,
}

impl Mean {
    fn add(&mut self, account: Account) {
        self.sum += account.trust * account.value;
        self.trust += account.trust;
        self.most = greater(self.most, account.trust);
    }

    /// The mean, less as all accounts age; 0 when there is none.
    fn get(self) -> f32 {
        if self.trust > 0.0 {
            self.most * self.sum / self.trust
        } else {
            0.0
        }
    }
}

/// What the steps of a pool's engines cost on average.
#[derive(Debug, Clone, Copy, Default)]
struct StepMean {
    base_us: f32,
    token_us: f32,
    kv_token_us: f32,
    trust: f32,
}

impl StepMean {
    fn add(&mut self, step: StepModel, trust: f32) {
        self.base_us += trust * step.base_us;
        self.token_us += trust * step.token_us;
        self.kv_token_us += trust * step.kv_token_us;
        self.trust += trust;
    }

    fn get(self) -> Option<StepModel> {
        let sum = StepModel {
            base_us: self.base_us,
            token_us: self.token_us,
            kv_token_us: self.kv_token_us,
        };
        (self.trust > 0.0).then(|| sum.times(1.0 / self.trust))
    }
}

impl Means {
    pub(super) fn add(&mut self, sighting: &Sighting) {
        self.foreign.add(sighting.foreign);
        self.waiting.add(sighting.waiting);
        self.kv_usage.add(sighting.kv_usage);
        self.step.add(sighting.step, sighting.step_trust);
    }

    /// What an endpoint without any account is taken to say.
    pub(super) fn silent(&self, same_engine_factor: f32) -> Silent {
        Silent {
            foreign: self.foreign.get(),
            waiting: self.waiting.get(),
            kv_usage: self.kv_usage.get(),
            step: self.step.get(),
            same_engine_factor,
        }
    }
}

/// What silence stands for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Silent {
    foreign: f32,
    waiting: f32,
    kv_usage: f32,
    /// `None` when no endpoint's steps were learned.
    step: Option<StepModel>,
    same_engine_factor: f32,
}

/// What was in flight when the present scrape was first seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Track {
    taken_at: Option<Millis>,
    known: Known,
}

/// What the gateways themselves sent there and did not see end.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    requests: f32,
    waiting: f32,
    prefill_tokens: f32,
    /// Prompt tokens in the KV cache by our account: those cached before and those computed.
    prompt_tokens: f32,
}

/// What applies to every endpoint of one decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) config: &'a CostConfig,
    pub(super) ladder: &'a Ladder,
    pub(super) now: Millis,
}

impl Moment<'_> {
    /// How much counts what was taken then.
    fn trust(&self, taken_at: Millis) -> f32 {
        self.ladder.weight(self.now.since(taken_at))
    }
}

impl Sighting {
    /// Looks at an endpoint.
    pub(super) fn take(
        moment: &Moment<'_>,
        endpoint: &Endpoint,
        local: LocalState,
        track: &mut Track,
    ) -> Self {
        let signals = &endpoint.signals;
        let known = Known::of(endpoint, local, moment);
        let taken_at = |signal: &Option<Signal<f32>>| signal.map(|signal| signal.taken_at);
        let newest = taken_at(&signals.waiting).max(taken_at(&signals.running));
        let newest = newest.max(taken_at(&signals.kv_usage));
        // All of one scrape, as a rule, so their age is weighed once.
        let trust = newest.map_or(0.0, |newest| moment.trust(newest));
        let gauge = |signal: Option<&Signal<f32>>, most: f32| match signal {
            Some(signal) if (0.0..=f32::MAX).contains(&signal.value) => Account {
                value: lesser(signal.value, most),
                trust: if Some(signal.taken_at) == newest {
                    trust
                } else {
                    moment.trust(signal.taken_at)
                },
            },
            // What is no number from 0 up is unknown.
            _ => Account::default(),
        };
        let waiting = gauge(signals.waiting.as_ref(), MOST_REQUESTS);
        let running = gauge(signals.running.as_ref(), MOST_REQUESTS);
        let kv_usage = gauge(signals.kv_usage.as_ref(), 1.0);
        if track.taken_at != newest {
            *track = Track {
                taken_at: newest,
                known,
            };
        }
        let then = track.known;

        let (step, step_trust) = step(signals.step_model.as_ref(), moment);
        let most = greater(waiting.trust, running.trust);
        let foreign = greater(waiting.value + running.value - then.requests, 0.0);
        let kv_capacity = match (signals.kv_blocks, signals.kv_block_size) {
            (Some(blocks), Some(size)) => greater(blocks as f32 * size as f32, 1.0),
            _ => moment.config.kv_tokens,
        };
        Self {
            known,
            then,
            foreign: Account {
                value: foreign,
                trust: lesser(waiting.trust, running.trust),
            },
            waiting: Account {
                value: greater(waiting.value - then.waiting, 0.0),
                trust: waiting.trust,
            },
            least_foreign: most * foreign,
            kv_usage,
            kv_capacity: lesser(kv_capacity, MOST_TOKENS),
            slots: match local.sequence_limit {
                Some(limit) => limit.max(1) as f32,
                None => moment.config.max_num_seqs,
            },
            step,
            step_trust,
            trust: greater(most, kv_usage.trust),
        }
    }

    #[inline]
    /// The endpoint's state, with its accounts completed by what silence stands for.
    pub(super) fn state(&self, silent: Silent, mean_output: f32, mean_uncached: f32) -> State {
        let Self { known, then, .. } = *self;
        let faded = |account: Account, mean: f32| {
            account.trust * account.value + (1.0 - account.trust) * mean
        };
        let foreign = greater(faded(self.foreign, silent.foreign), self.least_foreign);
        let requests = known.requests + foreign;
        let unseen = faded(self.waiting, silent.waiting);
        let unseen = lesser(unseen, requests - known.waiting);
        let waiting = known.waiting + unseen;

        // Half of its answer is there of each request that decodes.
        let half = 0.5 * mean_output;
        let context = |known: &Known| known.prompt_tokens + half * (known.requests - known.waiting);
        let (context_now, context_then) = (context(&known), context(&then));
        let scraped = self.kv_usage.value * self.kv_capacity;
        let seen = greater(scraped + context_now - context_then, 0.0);
        let unseen_kv = greater(silent.kv_usage * self.kv_capacity, context_now);
        let trust = self.kv_usage.trust;
        let kv_tokens = trust * seen + (1.0 - trust) * unseen_kv;
        State {
            decoding: greater(requests - waiting, 0.0),
            waiting,
            prefill_tokens: known.prefill_tokens + unseen * mean_uncached,
            kv_tokens,
            attended_tokens: greater(kv_tokens, context_now),
            kv_capacity: self.kv_capacity,
            slots: self.slots,
            step: self.step(silent),
        }
    }
}

impl Sighting {
    /// The endpoint's speed besides its step model: `local` is what this gateway learned, which counts as
    /// far as the agent has learned nothing.
    pub(super) fn speed(&self, local: f32) -> f32 {
        1.0 + (1.0 - self.step_trust) * (local - 1.0)
    }

    /// What its steps cost, in a pool with these means.
    ///
    /// Engines that differ by less than `same_engine_factor` are taken for equal: what the counters say of an
    /// engine errs by as much, and not by chance. One that holds a prefix which many requests share
    /// attends to it once for each, with one copy in its KV cache, and so looks slow exactly where it
    /// has most to offer.
    fn step(&self, pool: Silent) -> StepModel {
        let (Some(mean), same) = (pool.step, pool.same_engine_factor) else {
            return self.step;
        };
        let (own, usual) = (self.step.busy_step_us(), mean.busy_step_us());
        let faded = usual + self.step_trust * (own - usual);
        if faded < usual * same && faded * same > usual {
            mean
        } else {
            self.step.times(faded / own)
        }
    }
}

impl Known {
    fn of(endpoint: &Endpoint, local: LocalState, moment: &Moment<'_>) -> Self {
        let own = Self::from(local.in_flight);
        let sum = match &endpoint.signals.others_in_flight {
            Some(others) => {
                let trust = moment.ladder.trust(Some(others), moment.now);
                let others = Self::from(others.value);
                Self {
                    requests: own.requests + trust * others.requests,
                    waiting: own.waiting + trust * others.waiting,
                    prefill_tokens: own.prefill_tokens + trust * others.prefill_tokens,
                    prompt_tokens: own.prompt_tokens + trust * others.prompt_tokens,
                }
            }
            None => own,
        };
        let requests = lesser(sum.requests, MOST_REQUESTS);
        Self {
            requests,
            waiting: lesser(sum.waiting, requests),
            prefill_tokens: lesser(sum.prefill_tokens, MOST_TOKENS),
            prompt_tokens: lesser(sum.prompt_tokens, MOST_TOKENS),
        }
    }
}

impl From<InFlight> for Known {
    fn from(load: InFlight) -> Self {
        Self {
            requests: load.requests as f32,
            waiting: load.prefilling as f32,
            prefill_tokens: load.prefill_tokens as f32,
            prompt_tokens: load.tokens.saturating_sub(load.prefill_tokens) as f32,
        }
    }
}

/// What a step costs there as learned, within a factor of [`MOST_FACTOR`] of what is configured, and how
/// much that counts; as configured where it is unknown or no number.
fn step(learned: Option<&Signal<StepModel>>, moment: &Moment<'_>) -> (StepModel, f32) {
    let default = moment.config.step;
    let Some(learned) = learned else {
        return (default, 0.0);
    };
    let (full, none) = LEARNED_MS;
    let left = none - learned.age_ms(moment.now).clamp(full, none);
    let trust = left as f32 * (1.0 / (none - full) as f32);
    if trust <= 0.0 {
        return (default, 0.0);
    }
    let StepModel {
        base_us,
        token_us,
        kv_token_us,
    } = learned.value;
    // Not `clamp`, which formats its bounds where it refuses them.
    let within = |learned: f32, default: f32| {
        if !learned.is_finite() {
            return default;
        }
        let most = lesser(learned, default * MOST_FACTOR);
        greater(most, default / MOST_FACTOR)
    };
    let step = StepModel {
        base_us: within(base_us, default.base_us),
        token_us: within(token_us, default.token_us),
        kv_token_us: within(kv_token_us, default.kv_token_us),
    };
    (step, trust)
}
