//! 100,000 random steps of the ledger against the plainest model of what must be true.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use picker::{EndpointId, Entropy, InFlight, Ledger, SplitMix64};

const STEPS: usize = 100_000;
const ENDPOINTS: usize = 40;

/// A request that is open, as the ledger was told of it.
#[derive(Debug, Clone, Copy)]
struct Request {
    endpoint: usize,
    tokens: u32,
    uncached: u32,
    has_first_token: bool,
}

impl Request {
    fn random(endpoint: usize, entropy: &mut SplitMix64) -> Self {
        let tokens = entropy.below(1 << 20) as u32;
        Self {
            endpoint,
            tokens,
            uncached: entropy.below(tokens as usize + 1) as u32,
            has_first_token: false,
        }
    }

    fn end(self, ledger: &mut Ledger) -> bool {
        let prefilling = (!self.has_first_token).then_some(self.uncached);
        ledger.end(id(self.endpoint), self.tokens, prefilling)
    }
}

fn id(number: usize) -> EndpointId {
    EndpointId {
        address: ([10, 0, 0, (number % 8) as u8], 8000).into(),
        generation: (number / 8) as u64,
    }
}

/// What is in flight at one endpoint, added up from the list.
fn total(requests: &[Request], at: usize) -> InFlight {
    let mine = requests.iter().filter(|request| request.endpoint == at);
    mine.fold(InFlight::default(), |sum, request| {
        let waits = u32::from(!request.has_first_token);
        sum.plus(InFlight {
            requests: 1,
            tokens: request.tokens.into(),
            prefilling: waits,
            prefill_tokens: u64::from(waits) * u64::from(request.uncached),
        })
    })
}

#[test]
fn the_ledger_agrees_with_a_list_of_open_requests() {
    let mut entropy = SplitMix64::new(17);
    let mut ledger = Ledger::new();
    let mut open: Vec<Request> = Vec::new();
    for step in 0..STEPS {
        let mut at = entropy.below(ENDPOINTS);
        // The number of open requests swings between none and a few hundred.
        let filling = step / 1_000 % 2 == 0;
        match entropy.below(12) {
            0 if total(&open, at).requests == 0 => {
                assert!(
                    !ledger.end(id(at), 1, None) && !ledger.end(id(at), 1, Some(1)),
                    "step {step}: ended what never began"
                );
                assert!(
                    !ledger.first_token(id(at), 1),
                    "step {step}: a first token of nothing"
                );
            }
            1 if total(&open, at).prefilling == 0 => {
                assert!(
                    !ledger.first_token(id(at), 1),
                    "step {step}: a second first token"
                );
            }
            2 | 3 if !open.is_empty() => {
                let place = entropy.below(open.len());
                let request = &mut open[place];
                at = request.endpoint;
                if !request.has_first_token {
                    request.has_first_token = true;
                    assert!(
                        ledger.first_token(id(at), request.uncached),
                        "step {step}: lost a prefill"
                    );
                }
            }
            lot if (lot < 8) == filling => {
                let request = Request::random(at, &mut entropy);
                ledger.begin(id(at), request.tokens, request.uncached);
                open.push(request);
            }
            _ if !open.is_empty() => {
                let request = open.swap_remove(entropy.below(open.len()));
                at = request.endpoint;
                assert!(request.end(&mut ledger), "step {step}: lost a request");
            }
            _ => {}
        }
        assert_eq!(ledger.get(id(at)), total(&open, at), "step {step}");
        assert_eq!(ledger.is_empty(), open.is_empty(), "step {step}");
        if step % 100 == 0 {
            for (endpoint, load) in ledger.iter() {
                assert!(load.requests > 0, "step {step}: an entry without a request");
                let at = (0..ENDPOINTS).find(|at| id(*at) == endpoint).unwrap();
                assert_eq!(load, total(&open, at), "step {step}");
            }
        }
    }
    for request in open {
        assert!(request.end(&mut ledger));
    }
    assert!(ledger.is_empty(), "at rest, the ledger is empty");
    assert_eq!(ledger.iter().count(), 0);
}

/// Whoever tells the ledger nonsense moves only what he named, and no count below zero.
#[test]
fn wrong_tokens_never_wrap_nor_stay() {
    let mut entropy = SplitMix64::new(18);
    let mut ledger = Ledger::new();
    let mut open = [0u32; 4];
    for step in 0..STEPS {
        let at = entropy.below(open.len());
        let tokens = (entropy.next_u64() >> entropy.below(64)) as u32;
        match entropy.below(3) {
            0 => {
                ledger.begin(id(at), tokens, tokens);
                open[at] += 1;
            }
            1 => {
                ledger.first_token(id(at), tokens);
            }
            _ => {
                let prefilling = tokens.is_multiple_of(2).then_some(tokens);
                let ended = ledger.end(id(at), tokens, prefilling);
                assert_eq!(ended, open[at] > 0, "step {step}");
                open[at] = open[at].saturating_sub(1);
            }
        }
        let load = ledger.get(id(at));
        assert_eq!(load.requests, open[at], "step {step}");
        assert!(load.prefilling <= load.requests, "step {step}: {load:?}");
        let bound = (STEPS as u64) << 32;
        assert!(load.tokens < bound, "step {step}: {load:?}");
        if load.prefilling == 0 {
            assert_eq!(load.prefill_tokens, 0, "step {step}: {load:?}");
        }
    }
}
