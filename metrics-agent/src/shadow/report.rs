//! The report for people.

use std::collections::BTreeMap;

use super::compared::{Compared, Tally};
use crate::fetch::printable;

/// Fewer requests than this say little.
const MANY: u64 = 1_000;

/// What would have been different, pool by pool, since the Envoys started.
#[must_use]
pub fn text(pools: &BTreeMap<String, Compared>) -> String {
    let pools = pools.iter();
    pools
        .map(|(name, pool)| of_pool(&printable(name), pool))
        .collect()
}

fn of_pool(name: &str, pool: &Compared) -> String {
    let all = pool.requests();
    let mut text = format!("pool {name}: {all} requests compared since the Envoys started\n");
    for (what, tally) in [
        ("served where we would have sent them", pool.agree),
        ("served elsewhere", pool.differ),
        ("served by nobody, or nobody knows", pool.unknown),
    ] {
        let requests = tally.requests;
        let share = share(requests, all);
        text += &format!("  {what:<40}{requests:>12}   {share:>5.1} %\n");
    }
    text += &first_tokens(pool.agree, pool.differ);
    if all < MANY {
        text += &format!("  fewer than {MANY} requests: wait before you trust it\n");
    }
    text.push('\n');
    text
}

/// What our choice would have changed for the first tokens of those streams that went elsewhere. What is
/// predicted wrongly where both agree is predicted wrongly everywhere, so it is corrected by that.
fn first_tokens(agree: Tally, differ: Tally) -> String {
    if differ.measured_ms == 0 || differ.predicted_ms == 0 {
        return "  nothing is known of first tokens: no stream was served elsewhere, or none was predicted\n"
            .to_owned();
    }
    let known = agree.measured_ms > 0 && agree.predicted_ms > 0;
    let correction = if known {
        agree.measured_ms as f64 / agree.predicted_ms as f64
    } else {
        1.0
    };
    let measured_s = differ.measured_ms as f64 / 1e3;
    let expected_s = differ.predicted_ms as f64 / 1e3 * correction;
    let change = (expected_s / measured_s - 1.0) * 100.0;
    let (size, word) = (change.abs(), if change > 0.0 { "more" } else { "less" });
    let basis = if known {
        format!("predictions times {correction:.2}, as measured where both agree")
    } else {
        "predictions as they are: no stream was served where we would have sent it".to_owned()
    };
    format!(
        "  first tokens of the streams served elsewhere, all waits added up\n\
         \x20   {:<38}{measured_s:>12.1} s\n\
         \x20   {:<38}{expected_s:>12.1} s  {size:.1} % {word}\n\
         \x20   ({basis})\n",
        "measured there", "expected at our choice",
    )
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 {
        return 0.0;
    }
    part as f64 / all as f64 * 100.0
}
