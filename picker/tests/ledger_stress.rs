//! 100,000 random steps of the ledger against the plainest model of what must be true.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use picker::{EndpointId, Entropy, InFlight, Ledger, SplitMix64};

const STEPS: usize = 100_000;
const ENDPOINTS: usize = 40;

fn endpoint(number: usize) -> EndpointId {
    EndpointId {
        address: ([10, 0, 0, (number % 8) as u8], 8000).into(),
        generation: (number / 8) as u64,
    }
}

fn total(requests: &[(usize, u32)], at: usize) -> InFlight {
    let mine = requests.iter().filter(|(endpoint, _)| *endpoint == at);
    mine.fold(InFlight::default(), |sum, (_, tokens)| InFlight {
        requests: sum.requests + 1,
        tokens: sum.tokens + u64::from(*tokens),
        ..InFlight::default()
    })
}

#[test]
fn the_ledger_agrees_with_a_list_of_open_requests() {
    let mut entropy = SplitMix64::new(17);
    let mut ledger = Ledger::new();
    let mut open: Vec<(usize, u32)> = Vec::new();
    for step in 0..STEPS {
        let at = entropy.below(ENDPOINTS);
        // The number of open requests swings between none and a few hundred.
        let filling = step / 1_000 % 2 == 0;
        match entropy.below(10) {
            0 if total(&open, at).requests == 0 => {
                assert!(
                    !ledger.end(endpoint(at), 1, None),
                    "step {step}: ended what never began"
                );
            }
            lot if (lot < 6) == filling => {
                let tokens = entropy.below(1 << 20) as u32;
                ledger.begin(endpoint(at), tokens, tokens);
                open.push((at, tokens));
            }
            _ if !open.is_empty() => {
                let (at, tokens) = open.swap_remove(entropy.below(open.len()));
                assert!(
                    ledger.end(endpoint(at), tokens, Some(tokens)),
                    "step {step}: lost a request"
                );
            }
            _ => {}
        }
        assert_eq!(ledger.get(endpoint(at)), total(&open, at), "step {step}");
        assert_eq!(ledger.is_empty(), open.is_empty(), "step {step}");
        if step % 100 == 0 {
            for (id, load) in ledger.iter() {
                assert!(load.requests > 0, "step {step}: an entry without a request");
                let at = (0..ENDPOINTS).find(|at| endpoint(*at) == id).unwrap();
                assert_eq!(load, total(&open, at), "step {step}");
            }
        }
    }
    for (at, tokens) in open {
        assert!(ledger.end(endpoint(at), tokens, Some(tokens)));
    }
    assert!(ledger.is_empty(), "at rest, the ledger is empty");
    assert_eq!(ledger.iter().count(), 0);
}
