//! How many requests an engine runs at once (vLLM's `max_num_seqs`), which no engine tells.
//!
//! ```text
//!   scrape          1    2    3    4    5    6   ...  60 s later
//!   running         6    8    8    8    8    8         8
//!   waiting         0    1    2    2    1    0         0
//!   limit           -    -    -    -    8    8         9    nobody waited: perhaps it is more by now
//! ```
//!
//! While requests wait and always the same number runs, that number is the limit, unless memory, the
//! prompts still to be computed or adapters explain the waiting. One scrape proves nothing: a request that
//! came within a step waits for the next step in an idle engine too. A limit that nothing confirms rises
//! bit by bit, and it is forgotten when the engine runs more and nobody waits. What was proven of an
//! engine is doubted only for long: its limit does not change while it lives.

use picker::{Endpoint, EndpointId, Millis};

/// Scrapes in a row that must say the same.
const ROW: u8 = 4;
/// As many must say so that it is less.
const ROW_LESS: u8 = 20;
/// From this KV-cache utilization on, memory may be what requests wait for.
const KV_USAGE: f32 = 0.9;
/// From so many prompt tokens on, their computation may be what requests wait for.
const PREFILL_TOKENS: u64 = 4_096;
/// How long a limit holds that nothing confirms, in milliseconds, before more is tried: twice as long each
/// time that more was too much, up to an hour.
const PROBE_MS: u64 = 60_000;
const MOST_PROBE_MS: u64 = 3_600_000;

/// What was learned of each endpoint's limit, by the one worker that sees every state of the pool. Sorted by
/// id, like the pool.
#[derive(Debug, Clone, Default)]
pub struct SequenceLimits(Vec<(EndpointId, Seen)>);

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    taken_at: Millis,
    /// How many ran, and in how many scrapes in a row that was so while others waited.
    running: u32,
    row: u8,
    limit: Option<Limit>,
}

/// What is held to be the limit.
#[derive(Debug, Clone, Copy)]
struct Limit {
    /// How many others were last seen to wait for.
    proven: u32,
    /// What it is taken for: as proven, or more.
    taken: u32,
    /// By how much it rises next: twice as much each time, so that what was wrong does not last.
    step: u32,
    /// After how many milliseconds.
    probe_ms: u64,
    /// When it was confirmed or raised.
    since: Millis,
}

impl SequenceLimits {
    /// Begins with what was known before.
    #[must_use]
    pub fn resume(known: &[(EndpointId, u32)]) -> Self {
        let seen = |limit| Seen {
            limit: Some(Limit::proven(limit, Millis(0), PROBE_MS)),
            ..Seen::default()
        };
        Self(
            known
                .iter()
                .map(|(id, limit)| (*id, seen(*limit)))
                .collect(),
        )
    }

    /// Learns from a new state of the pool, and forgets who is not in it. `prefill_tokens` says how much of
    /// the prompts that were sent to an endpoint is still to be computed.
    pub fn observe(&mut self, endpoints: &[Endpoint], prefill_tokens: impl Fn(EndpointId) -> u64) {
        let looks = endpoints.iter().map(|endpoint| {
            let at = self.0.binary_search_by_key(&endpoint.id, |(id, _)| *id);
            let seen = at.ok().and_then(|at| self.0.get(at));
            let mut seen = seen.map(|(_, seen)| *seen).unwrap_or_default();
            seen.look(endpoint, prefill_tokens(endpoint.id));
            (endpoint.id, seen)
        });
        self.0 = looks.collect();
    }

    /// Whether nothing was observed yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limits of the endpoints of which they are known, by id.
    #[must_use]
    pub fn known(&self) -> Vec<(EndpointId, u32)> {
        let known = self.0.iter();
        known
            .filter_map(|(id, seen)| Some((*id, seen.limit?.taken)))
            .collect()
    }
}

impl Limit {
    const fn proven(count: u32, since: Millis, probe_ms: u64) -> Self {
        Self {
            proven: count,
            taken: count,
            step: 1,
            probe_ms,
            since,
        }
    }
}

impl Seen {
    fn look(&mut self, endpoint: &Endpoint, prefill_tokens: u64) {
        let signals = &endpoint.signals;
        let (Some(waiting), Some(running)) = (signals.waiting, signals.running) else {
            return;
        };
        let now = running.taken_at;
        if now <= self.taken_at || !running.value.is_finite() {
            return;
        }
        self.taken_at = now;
        // A cast from a float saturates.
        let count = running.value as u32;
        let waits = waiting.value >= 1.0 && count > 0 && !is_explained(endpoint, prefill_tokens);
        self.row = match waits {
            true if count == self.running => self.row.saturating_add(1),
            true => 1,
            false => 0,
        };
        self.running = count;
        let row = match self.limit {
            None => ROW,
            Some(limit) if count < limit.proven => ROW_LESS,
            // What was proven before, or more while others wait: at least that is the limit.
            Some(_) => 1,
        };
        if self.row >= row {
            let probe_ms = match self.limit {
                Some(limit) if limit.proven == count && limit.taken > count => {
                    limit.probe_ms.saturating_mul(2).min(MOST_PROBE_MS)
                }
                Some(limit) if limit.proven == count => limit.probe_ms,
                _ => PROBE_MS,
            };
            self.limit = Some(Limit::proven(count, now, probe_ms));
        }
        if let Some(limit) = &mut self.limit {
            if count > limit.taken {
                self.limit = None;
            } else if now.since(limit.since) >= limit.probe_ms {
                limit.taken = limit.taken.saturating_add(limit.step);
                limit.step = limit.step.saturating_mul(2);
                limit.since = now;
            }
        }
    }
}

/// Whether something else than the number of requests may be what they wait for.
fn is_explained(endpoint: &Endpoint, prefill_tokens: u64) -> bool {
    let signals = &endpoint.signals;
    let lora = signals.lora.as_ref().map(|lora| &lora.value);
    let kv_usage = signals.kv_usage.map_or(0.0, |kv| kv.value);
    // What is no number explains everything.
    let has_memory = kv_usage < KV_USAGE;
    !has_memory
        || prefill_tokens >= PREFILL_TOKENS
        || lora.is_some_and(|lora| lora.max > 0 && lora.active.len() >= lora.max as usize)
}

#[cfg(test)]
mod tests;
