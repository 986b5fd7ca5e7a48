//! The counters of shadow mode, as Envoy's `/stats` has them.

use std::collections::BTreeMap;

/// What became of a pool's requests, by who served them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// The endpoint that the filter would have chosen.
    pub agree: Tally,
    /// Another one.
    pub differ: Tally,
    /// Nobody, or nobody knows.
    pub unknown: Tally,
}

/// Requests of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub requests: u64,
    /// Of streams: when their first tokens were to come at our choice, summed, in milliseconds.
    pub predicted_ms: u64,
    /// When they came where the requests went.
    pub measured_ms: u64,
}

impl Compared {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let Self {
            agree,
            differ,
            unknown,
        } = self;
        let all = [agree, differ, unknown].map(|tally| tally.requests);
        all.into_iter().fold(0, u64::saturating_add)
    }
}

/// Adds a page of `/stats` to what is known by pool. Returns whether there was anything of shadow mode on it.
/// Lines that are not ours are passed over, for Envoy's filter also finds names that only contain ours.
pub(super) fn add(pools: &mut BTreeMap<String, Compared>, page: &str) -> bool {
    let counters = page.lines().filter_map(Counter::parse);
    let mut any = false;
    for counter in counters {
        any = true;
        let pool = pools.entry(counter.pool.to_owned()).or_default();
        let sum = (counter.sum)((counter.tally)(pool));
        *sum = sum.saturating_add(counter.value);
    }
    any
}

/// One counter, with its place in a [`Compared`].
struct Counter<'a> {
    pool: &'a str,
    tally: fn(&mut Compared) -> &mut Tally,
    sum: fn(&mut Tally) -> &mut u64,
    value: u64,
}

impl<'a> Counter<'a> {
    /// Reads `wasmcustom.pool=.=POOL;.;result=.=RESULT;.;FAMILY: VALUE`.
    fn parse(line: &'a str) -> Option<Self> {
        let (name, value) = line.rsplit_once(": ")?;
        let (_, labels) = name.split_once("pool=.=")?;
        let (pool, rest) = labels.split_once(";.;result=.=")?;
        let (result, family) = rest.split_once(";.;")?;
        Some(Self {
            pool,
            tally: match result {
                "agree" => |pool| &mut pool.agree,
                "differ" => |pool| &mut pool.differ,
                "unknown" => |pool| &mut pool.unknown,
                _ => return None,
            },
            sum: match family {
                "zerohop_shadow_total" => |tally| &mut tally.requests,
                "zerohop_shadow_predicted_ttft_milliseconds_total" => {
                    |tally| &mut tally.predicted_ms
                }
                "zerohop_shadow_measured_ttft_milliseconds_total" => |tally| &mut tally.measured_ms,
                _ => return None,
            },
            value: value.trim().parse().ok()?,
        })
    }
}
