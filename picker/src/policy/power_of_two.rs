//! Power of two choices: of two distinct candidates drawn uniformly, the one with fewer requests of
//! this gateway in flight; the first drawn when they have as many. Envoy's least request with its
//! default of two choices, except that Envoy draws with replacement and so compares an endpoint with
//! itself now and then. Looks at this gateway's own ledger and at nothing else. A baseline for
//! comparison: it finds neither a cached prefix nor an adapter but by luck.
//!
//! The second of our list is the one that lost, the third any other.

use super::{Policy, Round, draw};
use crate::{
    decision::{Decision, Reason},
    entropy::Entropy,
};

/// The less loaded of two.
#[derive(Debug)]
pub(crate) struct PowerOfTwo;

impl Policy for PowerOfTwo {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let drawn = draw::uniform(round.candidates.len(), round.choices.max(2), entropy);
        let mut drawn = drawn.positions(round.candidates);
        let requests = |position: usize| {
            let local = round.view.local.get(position);
            local.map_or(0, |local| local.in_flight.requests)
        };
        let pair = match (drawn.next(), drawn.next()) {
            (Some(first), Some(second)) if requests(second) < requests(first) => {
                [Some(second), Some(first)]
            }
            pair => pair.into(),
        };
        let ranked = pair.into_iter().flatten().chain(drawn);
        Decision::new(Reason::LeastInFlight, ranked.take(round.choices))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use crate::policy::{PolicyName, fixture::Pool};

    /// Many draws over endpoints with these requests in flight.
    fn firsts(requests: &[u32]) -> Vec<u32> {
        let mut pool = Pool::of(requests.len());
        for (local, requests) in pool.local.iter_mut().zip(requests) {
            local.in_flight.requests = *requests;
        }
        pool.firsts(PolicyName::PowerOfTwo, 6_000)
    }

    #[test]
    fn the_less_loaded_of_each_pair_wins() {
        // Six pairs, equally likely: the least loaded wins three, the next two, the next one.
        let counts = firsts(&[5, 7, 6, 9]);
        for (count, expected) in counts.iter().zip([3_000u32, 1_000, 2_000, 0]) {
            assert!(count.abs_diff(expected) < 150, "{counts:?}");
        }
    }

    #[test]
    fn equal_loads_share_evenly() {
        let counts = firsts(&[3, 3, 3]);
        assert!(
            counts.iter().all(|count| count.abs_diff(2_000) < 150),
            "{counts:?}"
        );
    }

    #[test]
    fn one_endpoint_is_enough_and_one_choice_still_compares_two() {
        assert_eq!(firsts(&[4]), [6_000]);
        let mut pool = Pool::of(2);
        pool.local[0].in_flight.requests = 1;
        pool.choices = 1;
        assert_eq!(pool.firsts(PolicyName::PowerOfTwo, 100), [0, 100]);
    }

    #[test]
    fn the_loser_and_another_follow() {
        let mut pool = Pool::of(3);
        for (local, requests) in pool.local.iter_mut().zip([0, 1, 2]) {
            local.in_flight.requests = requests;
        }
        let lists = pool.lists(PolicyName::PowerOfTwo, 200);
        for list in &lists {
            assert_eq!(list.len(), 3);
            assert!(list[0] < list[1], "the first two were the pair: {list:?}");
        }
        for third in 0..3 {
            assert!(
                lists.iter().any(|list| list[2] == third),
                "{third} never third"
            );
        }
    }
}
