//! Who may be picked at all.
//!
//! ```text
//!   all endpoints
//!     - draining        never, while any other endpoint is left
//!     - suspect         not, unless more than half of those left are suspect (panic threshold)
//!     = candidates
//! ```
//!
//! When most of a pool looks broken, the view is likelier to be broken than the pool, and piling all
//! traffic onto the few endpoints that look well would break those too: then suspicion is ignored.

use crate::{endpoint::Health, view::PoolView};

/// Fills `candidates` with the positions of all endpoints that may be picked, in the view's order;
/// empty only when the view has no endpoint.
pub(crate) fn select(view: &PoolView<'_>, candidates: &mut Vec<u32>) {
    candidates.clear();
    let mut suspects = 0usize;
    let mut staying = 0usize;
    for (position, standing) in standings(view) {
        match standing {
            Health::Ready => {
                staying += 1;
                candidates.push(position);
            }
            Health::Suspect => {
                staying += 1;
                suspects += 1;
            }
            Health::Draining => {}
        }
    }
    if suspects * 2 > staying {
        candidates.clear();
        candidates.extend(
            standings(view)
                .filter(|(_, standing)| *standing != Health::Draining)
                .map(|(position, _)| position),
        );
    } else if staying == 0 {
        candidates.extend(standings(view).map(|(position, _)| position));
    }
}

/// Each endpoint's health with our own suspicion added.
fn standings<'a>(view: &PoolView<'a>) -> impl Iterator<Item = (u32, Health)> + 'a {
    let local = view.local;
    let endpoints = (0u32..).zip(view.endpoints).enumerate();
    endpoints.map(move |(at, (position, endpoint))| {
        let suspect = local.get(at).is_some_and(|local| local.suspect);
        let standing = match endpoint.health {
            Health::Ready if suspect => Health::Suspect,
            health => health,
        };
        (position, standing)
    })
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        endpoint::{Endpoint, EndpointId},
        time::Millis,
        view::LocalState,
    };

    /// `r`eady, `d`raining, `s`uspect to the agent, `l`ocally suspect.
    fn candidates(pool: &str) -> Vec<u32> {
        let mut endpoints = Vec::new();
        let mut local = Vec::new();
        for (port, letter) in (1..).zip(pool.chars()) {
            let mut endpoint = Endpoint::new(EndpointId {
                address: ([10, 0, 0, 1], port).into(),
                generation: 0,
            });
            endpoint.health = match letter {
                'd' => Health::Draining,
                's' => Health::Suspect,
                _ => Health::Ready,
            };
            endpoints.push(endpoint);
            local.push(LocalState {
                suspect: letter == 'l',
                ..LocalState::default()
            });
        }
        let mut candidates = Vec::new();
        let view = PoolView {
            endpoints: &endpoints,
            local: &local,
            now: Millis(0),
        };
        select(&view, &mut candidates);
        candidates
    }

    #[test]
    fn the_rules_in_one_table() {
        let table: [(&str, &[u32]); 12] = [
            ("", &[]),
            ("rrr", &[0, 1, 2]),
            ("rdr", &[0, 2]),
            ("rsr", &[0, 2]),
            ("lrr", &[1, 2]),
            ("rs", &[0]),
            ("rsl", &[0, 1, 2]),
            ("rsld", &[0, 1, 2]),
            ("ddd", &[0, 1, 2]),
            ("dds", &[2]),
            ("ddl", &[2]),
            ("rrssdd", &[0, 1]),
        ];
        for (pool, expected) in table {
            assert_eq!(candidates(pool), expected, "pool {pool:?}");
        }
    }
}
