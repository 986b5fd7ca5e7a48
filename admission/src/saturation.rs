//! How full a pool is: 1 is full, more is overload.
//!
//! ```text
//!   the reference's   mean over the endpoints of max(waiting / 5, KV-cache utilization / 0.8)
//!   ours              predicted TTFT at the best endpoint / the TTFT that is to be kept
//! ```
//!
//! The reference counts an endpoint without fresh metrics as full, so that a pool whose metrics are
//! lost is halted. [`utilization`] does so only in [`Missing::Full`], for comparison; otherwise what is
//! unknown takes no part, and a pool of which nothing is known is not full.

use picker::{Endpoint, Estimate, PoolView, freshness::Ladder};

/// Waiting requests at which an endpoint is full, the reference's default.
pub const QUEUE_LIMIT: f32 = 5.0;
/// KV-cache utilization at which an endpoint is full, the reference's default.
pub const KV_LIMIT: f32 = 0.8;

/// What an endpoint without metrics that are fresh enough counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Full, and so does a pool without endpoints: the reference's rule.
    Full,
    /// Nothing.
    Ignored,
}

/// The reference's measure.
///
/// `stale_ms` is the age from which metrics count as missing; the reference's is 200.
#[must_use]
pub fn utilization(
    endpoints: &[Endpoint],
    now: picker::Millis,
    (queue_limit, kv_limit): (f32, f32),
    stale_ms: u64,
    missing: Missing,
) -> f32 {
    let full = match missing {
        Missing::Full => Some(1.0),
        Missing::Ignored => None,
    };
    let fullness = |endpoint: &Endpoint| {
        let (waiting, kv) = (
            endpoint.signals.waiting.as_ref()?,
            endpoint.signals.kv_usage.as_ref()?,
        );
        let fresh = waiting.age_ms(now) <= stale_ms && kv.age_ms(now) <= stale_ms;
        fresh.then(|| (waiting.value / queue_limit).max(kv.value / kv_limit))
    };
    let mut sum = 0.0;
    let mut count = 0.0;
    for endpoint in endpoints {
        if let Some(fullness) = fullness(endpoint).or(full) {
            sum += fullness;
            count += 1.0;
        }
    }
    match missing {
        _ if count > 0.0 => sum / count,
        Missing::Full => 1.0,
        Missing::Ignored => 0.0,
    }
}

/// The reference's measure with its default limits, in which metrics count until they expire and the
/// unknown takes no part.
#[must_use]
pub fn of_pool(view: &PoolView<'_>, ladder: &Ladder) -> f32 {
    let limits = (QUEUE_LIMIT, KV_LIMIT);
    utilization(
        view.endpoints,
        view.now,
        limits,
        ladder.expired_ms(),
        Missing::Ignored,
    )
}

/// Ours: the TTFT that is predicted at the best endpoint over the one that is to be kept, in
/// milliseconds.
#[must_use]
pub fn by_ttft(best: Estimate, target_ms: f32) -> f32 {
    best.ttft_ms.max(0.0) / target_ms.max(1.0)
}

#[cfg(test)]
mod tests;
