//! The state of one endpoint now: what it said last, corrected by what the gateways did since.
//!
//! ```text
//!       scrape                         now
//!   -----+------------------------------+----> time
//!    waiting, running, KV      ours + others in flight: N requests, Q without a first token,
//!    and what was in flight    P tokens to prefill, S prompt tokens
//!        '------ what came and went since ------'
//! ```
//!
//! The gateways' own counts are exact and immediate; the scrape knows what they cannot: other clients
//! of the pod, what really waits, what the KV cache really holds. Each claim of a scrape fades with its
//! age, and what is left is the gateways' own count. Nothing that an endpoint says can make it look
//! emptier than what was sent there.

use crate::{
    config::CostConfig,
    endpoint::Endpoint,
    freshness::Ladder,
    score::{greater, lesser, sample},
    signal::Signal,
    time::Millis,
    view::{InFlight, LocalState},
};

/// More requests, or tokens, than any endpoint holds; keeps sums of hostile numbers finite.
const MOST_REQUESTS: f32 = 1e6;
const MOST_TOKENS: f32 = 1e9;
/// How long a learned constant of an engine is used after it was last confirmed, in milliseconds.
const LEARNED_MS: u64 = 60_000;

/// One endpoint now. All finite and at least 0.
#[derive(Debug, Clone, Copy, Default)]
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
    /// KV tokens that it has room for.
    pub(super) kv_capacity: f32,
    /// Seconds of a step, of a token computed, of a KV token attended to.
    pub(super) base_s: f32,
    pub(super) token_s: f32,
    pub(super) kv_token_s: f32,
    /// How much its signals count.
    pub(super) trust: f32,
}

/// What was in flight when the present scrape was first seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Track {
    taken_at: Option<Millis>,
    requests: f32,
    waiting: f32,
    context: f32,
}

/// What all policies of the pool agree on for one decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common<'a> {
    pub(super) config: &'a CostConfig,
    pub(super) ladder: &'a Ladder,
    pub(super) now: Millis,
    pub(super) mean_output: f32,
    /// Uncached tokens of a request of which only the endpoint knows.
    pub(super) mean_uncached: f32,
}

impl State {
    /// The state of an endpoint; `speed` is what the gateway learned of it, 1 as modelled.
    pub(super) fn estimate(
        common: &Common<'_>,
        endpoint: &Endpoint,
        local: LocalState,
        speed: f32,
        track: &mut Track,
    ) -> Self {
        let Common { ladder, now, .. } = *common;
        let signals = &endpoint.signals;
        let known = Known::of(endpoint, local, common);
        let waiting = gauge(signals.waiting.as_ref(), MOST_REQUESTS);
        let running = gauge(signals.running.as_ref(), MOST_REQUESTS);
        let kv_usage = gauge(signals.kv_usage.as_ref(), 1.0);
        let newest = |one: Option<Millis>, other: Option<Millis>| one.max(other);
        let taken_at = newest(
            newest(waiting.map(|(_, at)| at), running.map(|(_, at)| at)),
            kv_usage.map(|(_, at)| at),
        );
        track.see(taken_at, &known);
        let trust =
            |seen: Option<(f32, Millis)>| seen.map_or(0.0, |(_, at)| ladder.weight(now.since(at)));
        let value = |seen: Option<(f32, Millis)>| seen.map_or(0.0, |(value, _)| value);

        // Requests of which only the endpoint knows: of those it admitted to, what we had not sent.
        let admitted = value(waiting) + value(running);
        let foreign =
            greater(admitted - track.requests, 0.0) * greater(trust(waiting), trust(running));
        let foreign_waiting = lesser(
            greater(value(waiting) - track.waiting, 0.0) * trust(waiting),
            foreign + known.requests - known.waiting,
        );
        let waiting_now = known.waiting + foreign_waiting;
        let decoding = greater(known.requests + foreign - waiting_now, 0.0);

        let kv_capacity = capacity(endpoint, common.config);
        let kv_trust = trust(kv_usage);
        let seen = value(kv_usage) * kv_capacity + known.context - track.context;
        let kv_tokens = kv_trust * greater(seen, 0.0) + (1.0 - kv_trust) * known.context;

        let scale = 1e-6 / (speed * sample::capacity(endpoint));
        let step = signals
            .step_model
            .filter(|learned| learned.age_ms(now) <= LEARNED_MS)
            .map_or(common.config.step, |learned| learned.value);
        Self {
            decoding,
            waiting: waiting_now,
            prefill_tokens: known.prefill_tokens + foreign_waiting * common.mean_uncached,
            kv_tokens,
            attended_tokens: greater(kv_tokens, known.context),
            kv_capacity,
            base_s: positive(step.base_us, common.config.step.base_us) * scale,
            token_s: positive(step.token_us, common.config.step.token_us) * scale,
            kv_token_s: positive(step.kv_token_us, common.config.step.kv_token_us) * scale,
            trust: greater(greater(trust(waiting), trust(running)), kv_trust),
        }
    }
}

impl Track {
    /// Remembers what was in flight when this scrape was first seen.
    fn see(&mut self, taken_at: Option<Millis>, known: &Known) {
        if self.taken_at != taken_at {
            *self = Self {
                taken_at,
                requests: known.requests,
                waiting: known.waiting,
                context: known.context,
            };
        }
    }
}

/// What the gateways themselves sent there.
#[derive(Debug, Clone, Copy)]
struct Known {
    requests: f32,
    waiting: f32,
    prefill_tokens: f32,
    /// Tokens of those that have a first token: their prompts and half of a mean answer.
    context: f32,
}

impl Known {
    fn of(endpoint: &Endpoint, local: LocalState, common: &Common<'_>) -> Self {
        let own = local.in_flight;
        let mut sum = [
            own.requests as f32,
            own.prefilling as f32,
            own.tokens as f32,
            own.prefill_tokens as f32,
        ];
        if let Some(others) = &endpoint.signals.others_in_flight {
            let trust = common.ladder.weight(others.age_ms(common.now));
            let InFlight {
                requests,
                tokens,
                prefilling,
                prefill_tokens,
            } = others.value;
            let theirs = [
                requests as f32,
                prefilling as f32,
                tokens as f32,
                prefill_tokens as f32,
            ];
            for (sum, theirs) in sum.iter_mut().zip(theirs) {
                *sum += trust * theirs;
            }
        }
        let [requests, prefilling, tokens, prefill_tokens] = sum;
        let requests = lesser(requests, MOST_REQUESTS);
        let waiting = lesser(prefilling, requests);
        let tokens = lesser(tokens, MOST_TOKENS);
        let prefill_tokens = lesser(prefill_tokens, MOST_TOKENS);
        Self {
            requests,
            waiting,
            prefill_tokens,
            context: greater(tokens - prefill_tokens, 0.0)
                + 0.5 * common.mean_output * (requests - waiting),
        }
    }
}

/// A signal's value and moment; what is no number from 0 up is unknown.
fn gauge(signal: Option<&Signal<f32>>, most: f32) -> Option<(f32, Millis)> {
    let signal = signal.filter(|signal| (0.0..=f32::MAX).contains(&signal.value))?;
    Some((lesser(signal.value, most), signal.taken_at))
}

fn capacity(endpoint: &Endpoint, config: &CostConfig) -> f32 {
    match (endpoint.signals.kv_blocks, endpoint.signals.kv_block_size) {
        (Some(blocks), Some(size)) => greater(blocks as f32 * size as f32, 1.0),
        _ => config.kv_tokens,
    }
}

/// A coefficient that makes sense, or the default.
fn positive(value: f32, default: f32) -> f32 {
    if (0.0..=1e9).contains(&value) {
        value
    } else {
        default
    }
}
