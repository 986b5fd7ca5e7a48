//! The table against an exact list of the least recently used, on the prompts of a busy endpoint.

use hashbrown::HashMap;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// Forgets the block that was not touched for longest, whatever its bucket would have been.
struct ExactLru {
    capacity: usize,
    stamps: HashMap<u64, u64>,
    by_stamp: std::collections::BTreeMap<u64, u64>,
    now: u64,
}

impl ExactLru {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            stamps: HashMap::new(),
            by_stamp: std::collections::BTreeMap::new(),
            now: 0,
        }
    }

    fn insert(&mut self, prompt: &[u64]) {
        for hash in prompt.iter().rev() {
            self.now += 1;
            if let Some(old) = self.stamps.insert(*hash, self.now) {
                self.by_stamp.remove(&old);
            }
            self.by_stamp.insert(self.now, *hash);
            if self.stamps.len() > self.capacity {
                let (_, oldest) = self.by_stamp.pop_first().expect("not empty");
                self.stamps.remove(&oldest);
            }
        }
    }

    fn matched(&self, prompt: &[u64]) -> usize {
        prompt
            .iter()
            .take_while(|hash| self.stamps.contains_key(*hash))
            .count()
    }
}

/// Prompts as an endpoint sees them: a few system prompts, chats over them that come back soon or
/// never, and prompts of nobody else.
struct Traffic {
    entropy: SplitMix64,
    systems: Vec<Vec<u64>>,
    chats: Vec<Vec<u64>>,
}

impl Traffic {
    fn new() -> Self {
        let mut entropy = SplitMix64::new(3);
        let systems = (0..20)
            .map(|_| {
                (0..4 + entropy.below(20))
                    .map(|_| entropy.next_u64())
                    .collect()
            })
            .collect();
        Self {
            entropy,
            systems,
            chats: Vec::new(),
        }
    }

    fn next(&mut self) -> Vec<u64> {
        let entropy = &mut self.entropy;
        if self.chats.is_empty() || entropy.below(4) == 0 {
            // Zipf with exponent 1 over the systems.
            let rank = 20f64.powf(entropy.unit()) as usize - 1;
            let chat = self.systems[rank].clone();
            self.chats.push(chat);
        }
        // Young chats come back more often than old ones.
        let back = (self.chats.len() as f64).powf(entropy.unit()) as usize;
        let at = self.chats.len() - back.clamp(1, self.chats.len());
        let chat = &mut self.chats[at];
        if chat.len() < 60 {
            chat.extend((0..1 + entropy.below(6)).map(|_| entropy.next_u64()));
        }
        chat.clone()
    }
}

/// The blocks that table and exact list found in `requests` prompts.
fn found(capacity: usize, requests: usize) -> (usize, usize) {
    let mut index = index(1, capacity);
    let mut exact = ExactLru::new(capacity);
    let mut traffic = Traffic::new();
    let (mut ours, mut best) = (0, 0);
    for _ in 0..requests {
        let prompt = traffic.next();
        ours += (matched(&mut index, &facts(&prompt, &[]), 1)[0] / BLOCK) as usize;
        best += exact.matched(&prompt);
        index.insert(0, &prompt, None);
        exact.insert(&prompt);
    }
    (ours, best)
}

#[test]
fn far_below_its_capacity_a_table_finds_what_an_exact_list_finds() {
    let (ours, best) = found(40_000, 1_000);
    assert_eq!(ours, best);
    assert!(best > 5_000, "{best} blocks");
}

#[test]
fn a_full_table_finds_nearly_what_an_exact_list_finds() {
    for capacity in [500, 2_000, 6_750] {
        let (ours, best) = found(capacity, 6_000);
        let share = ours as f64 / best as f64;
        assert!(share >= 0.97, "{ours} of {best} at {capacity}: {share:.4}");
    }
}
