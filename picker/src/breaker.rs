//! Passive failure tracking: an endpoint where our own requests keep failing is left alone for a
//! while, whatever its metrics say.
//!
//! ```text
//!             3 failures in a row                     time is up
//!   trusted ----------------------> suspect for d  ---------------> on trial
//!      ^                                 ^  d doubles, 1 s to 10 s     |   |
//!      |                                 +-----------------------------+   |
//!      |                                          one failure              |
//!      +-------------------------------------------------------------------+
//!                                     one success
//! ```
//!
//! An endpoint that the proxy does not have among its members yet is a suspect at once, but for
//! 100 ms at first: such a pick cost nothing but the better choice, and the proxy may learn of the
//! endpoint at any moment. Doubling keeps the wait in proportion to how long that takes.
//!
//! An engine that fails fast looks idle and would attract traffic; this is what stops it. When more
//! than half of a pool is suspect the suspicion itself is doubtful and is ignored (the panic
//! threshold, in the picker's candidate filter).

use hashbrown::{HashMap, HashSet};

use crate::{
    endpoint::{Endpoint, EndpointId},
    entropy::{Entropy, SplitMix64},
    time::Millis,
};

/// Failures in a row that make an endpoint suspect.
pub const FAILURES_TO_SUSPECT: u32 = 3;
/// How long the first suspicion lasts, in milliseconds before jitter.
pub const FIRST_SUSPICION_MS: u64 = 1_000;
/// How long an endpoint that was no member is left alone at first, in milliseconds before jitter.
pub const FIRST_ABSENCE_MS: u64 = 100;
/// The longest suspicion, in milliseconds before jitter.
pub const LONGEST_SUSPICION_MS: u64 = 10_000;
/// Jitter: a suspicion lasts between this share below and above its nominal length, so that the
/// workers do not all try a broken endpoint again at the same moment.
const JITTER: f64 = 0.1;

/// One endpoint's run of failures.
#[derive(Debug, Clone, Copy)]
struct Run {
    failures: u32,
    /// When the latest suspicion began; `None` before the third failure.
    since: Option<Millis>,
    /// How long it lasts, jitter included.
    lasts_ms: u64,
    /// The nominal length of the next suspicion.
    next_ms: u64,
}

impl Run {
    /// A clock that stepped back to before the beginning ends the suspicion: failing open costs one
    /// request, failing closed could cost an endpoint for hours.
    fn is_suspect(&self, now: Millis) -> bool {
        self.since
            .is_some_and(|since| now >= since && now.since(since) < self.lasts_ms)
    }
}

/// The failures of one worker's requests, per endpoint. Endpoints that do well take no memory.
#[derive(Debug, Clone)]
pub struct Breaker<E: Entropy = SplitMix64> {
    runs: HashMap<EndpointId, Run>,
    entropy: E,
}

impl<E: Entropy> Breaker<E> {
    /// A breaker that suspects nobody and draws its jitter from `entropy`.
    #[must_use]
    pub fn new(entropy: E) -> Self {
        Self {
            runs: HashMap::new(),
            entropy,
        }
    }

    /// Notes that a request to `endpoint` ended well: everything before is forgiven.
    pub fn success(&mut self, endpoint: EndpointId) {
        self.runs.remove(&endpoint);
    }

    /// Notes that a request to `endpoint` failed. Failures that come in while the endpoint is
    /// suspect belong to requests sent before; they do not prolong the suspicion.
    pub fn failure(&mut self, endpoint: EndpointId, now: Millis) {
        self.note(endpoint, now, FAILURES_TO_SUSPECT, FIRST_SUSPICION_MS);
    }

    /// Notes that the proxy passed over `endpoint` without an attempt, because it was no member of
    /// its cluster.
    pub fn absent(&mut self, endpoint: EndpointId, now: Millis) {
        self.note(endpoint, now, 1, FIRST_ABSENCE_MS);
    }

    fn note(&mut self, endpoint: EndpointId, now: Millis, enough: u32, first_ms: u64) {
        let run = self.runs.entry(endpoint).or_insert(Run {
            failures: 0,
            since: None,
            lasts_ms: 0,
            next_ms: first_ms,
        });
        if run.is_suspect(now) {
            return;
        }
        run.failures = run.failures.saturating_add(1);
        if run.failures >= enough {
            let jitter = 1.0 + JITTER * (2.0 * self.entropy.unit() - 1.0);
            run.since = Some(now);
            run.lasts_ms = (run.next_ms as f64 * jitter) as u64;
            run.next_ms = run.next_ms.saturating_mul(2).min(LONGEST_SUSPICION_MS);
        }
    }

    /// Whether `endpoint` should be left alone at `now`.
    #[must_use]
    pub fn is_suspect(&self, endpoint: EndpointId, now: Millis) -> bool {
        self.runs
            .get(&endpoint)
            .is_some_and(|run| run.is_suspect(now))
    }

    /// Forgets every endpoint that is not in `live`.
    pub fn retain(&mut self, live: &[Endpoint]) {
        if self.runs.is_empty() {
            return;
        }
        let live: HashSet<EndpointId> = live.iter().map(|endpoint| endpoint.id).collect();
        self.runs.retain(|id, _| live.contains(id));
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn id(generation: u64) -> EndpointId {
        EndpointId {
            address: ([10, 0, 0, 1], 8000).into(),
            generation,
        }
    }

    fn breaker() -> Breaker {
        Breaker::new(SplitMix64::new(1))
    }

    /// Fails until the endpoint is suspect; returns how long that lasts.
    fn trip(breaker: &mut Breaker, now: Millis) -> u64 {
        while !breaker.is_suspect(id(0), now) {
            breaker.failure(id(0), now);
        }
        (0..)
            .find(|after| !breaker.is_suspect(id(0), now.plus(*after)))
            .unwrap_or(u64::MAX)
    }

    #[test]
    fn the_third_failure_in_a_row_makes_it_suspect() {
        let mut breaker = breaker();
        let now = Millis(50);
        breaker.failure(id(0), now);
        breaker.failure(id(0), now);
        assert!(!breaker.is_suspect(id(0), now));
        breaker.failure(id(0), now);
        assert!(breaker.is_suspect(id(0), now));
        assert!(!breaker.is_suspect(id(1), now), "another life is innocent");
    }

    #[test]
    fn a_success_clears_the_run() {
        let mut breaker = breaker();
        for _ in 0..10 {
            breaker.failure(id(0), Millis(0));
            breaker.failure(id(0), Millis(0));
            breaker.success(id(0));
        }
        assert!(!breaker.is_suspect(id(0), Millis(0)));
        assert!(
            breaker.runs.is_empty(),
            "a healthy endpoint takes no memory"
        );
    }

    #[test]
    fn suspicion_doubles_up_to_ten_seconds_with_a_tenth_of_jitter() {
        let mut breaker = breaker();
        let mut now = Millis(1_000);
        for nominal in [1_000u64, 2_000, 4_000, 8_000, 10_000, 10_000] {
            let lasted = trip(&mut breaker, now);
            assert!(
                (nominal * 9 / 10..=nominal * 11 / 10).contains(&lasted),
                "suspicion of {nominal} ms lasted {lasted} ms"
            );
            now = now.plus(lasted);
            assert!(!breaker.is_suspect(id(0), now), "then it is on trial");
        }
    }

    #[test]
    fn a_pod_that_is_no_member_yet_is_tried_again_within_twice_the_time_that_takes() {
        for member_after in [1, 50, 200, 350, 1_000, 4_000] {
            let mut breaker = breaker();
            // A pick at every millisecond that it is not suspect.
            let picked = (0..).map(Millis).find(|now| {
                let picked = !breaker.is_suspect(id(0), *now);
                if picked && now.0 < member_after {
                    breaker.absent(id(0), *now);
                }
                picked && now.0 >= member_after
            });
            let picked = picked.unwrap().0;
            let latest = (FIRST_ABSENCE_MS + 2 * member_after) * 12 / 10;
            assert!(picked <= latest, "a member after {member_after}: {picked}");
        }
    }

    #[test]
    fn a_pod_that_never_becomes_a_member_is_picked_ever_more_rarely() {
        let mut breaker = breaker();
        let mut picks = 0;
        for now in (0..60_000).map(Millis) {
            if !breaker.is_suspect(id(0), now) {
                picks += 1;
                breaker.absent(id(0), now);
            }
        }
        assert!((8..=16).contains(&picks), "{picks} picks in a minute");
    }

    #[test]
    fn late_failures_do_not_prolong_a_suspicion() {
        let mut breaker = breaker();
        let lasts = trip(&mut breaker, Millis(0));
        for at in 0..lasts {
            breaker.failure(id(0), Millis(at));
        }
        assert!(!breaker.is_suspect(id(0), Millis(lasts)));
    }

    #[test]
    fn a_clock_that_jumps_never_locks_an_endpoint_out() {
        let mut breaker = breaker();
        let hour = 3_600_000;
        trip(&mut breaker, Millis(hour));
        assert!(!breaker.is_suspect(id(0), Millis(0)), "an hour back");
        assert!(
            !breaker.is_suspect(id(0), Millis(u64::MAX)),
            "a long way on"
        );
    }

    #[test]
    fn endpoints_that_left_are_forgotten() {
        let mut breaker = breaker();
        trip(&mut breaker, Millis(0));
        breaker.retain(&[Endpoint::new(id(0))]);
        assert!(breaker.is_suspect(id(0), Millis(0)));
        breaker.retain(&[Endpoint::new(id(1))]);
        assert!(breaker.runs.is_empty());
    }
}
