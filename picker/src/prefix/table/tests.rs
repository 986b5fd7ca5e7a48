#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::entropy::{Entropy, SplitMix64};

/// A hash in the region `region` with the tag `tag`.
fn block(region: u64, tag: u64) -> u64 {
    // Newton's iteration finds the multiplicative inverse, each round twice as many bits of it.
    let inverse = (0..6).fold(1u64, |inverse, _| {
        inverse.wrapping_mul(2u64.wrapping_sub(GOLDEN_RATIO.wrapping_mul(inverse)))
    });
    (tag << 32 | region << 29 | 0xabc_def0).wrapping_mul(inverse)
}

#[test]
fn the_least_recently_used_of_a_bucket_falls_out() {
    let mut table = TagTable::with_capacity(64);
    assert_eq!(table.places(), REGIONS * WAYS, "one bucket a region");
    for tag in 1..=WAYS as u64 {
        table.touch(block(3, tag));
    }
    table.touch(block(3, 1));
    table.touch(block(3, 100));
    assert!(table.contains(block(3, 1)), "used since");
    assert!(!table.contains(block(3, 2)), "the oldest");
    assert_eq!(table.len(), WAYS);
    assert!(
        !table.contains(block(4, 1)),
        "the same tag in another region"
    );
}

#[test]
fn forgetting_keeps_the_order_of_the_others() {
    let mut table = TagTable::with_capacity(64);
    for tag in [1, 2, 3, 4] {
        table.touch(block(0, tag));
    }
    table.forget(block(0, 3));
    table.forget(block(0, 9));
    assert_eq!(table.buckets[0].0[..4], [4, 2, 1, EMPTY]);
    TagTable::default().forget(1);
}

#[test]
fn a_table_without_places_holds_nothing() {
    let mut table = TagTable::default();
    table.touch(1);
    assert!(!table.contains(1));
    assert_eq!(table.places(), 0);
    assert!(table.resized(64).places() > 0);
}

/// The plain reading of the rules: a list per bucket, most recently used first, each entry with its
/// bucket's region and its tag.
struct Model {
    per_region: u64,
    buckets: Vec<Vec<u32>>,
}

impl Model {
    fn new(per_region: u64) -> Self {
        Self {
            per_region,
            buckets: vec![Vec::new(); per_region as usize * REGIONS],
        }
    }

    fn place(&self, hash: u64) -> (usize, u32) {
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let tag = (mixed / (1 << 32)).max(1);
        let region = mixed / (1 << 29) % 8;
        let bucket = region * self.per_region + tag * self.per_region / (1 << 32);
        (bucket as usize, tag as u32)
    }

    fn touch(&mut self, hash: u64) {
        let (bucket, tag) = self.place(hash);
        let bucket = &mut self.buckets[bucket];
        bucket.retain(|held| *held != tag);
        bucket.insert(0, tag);
        bucket.truncate(WAYS);
    }

    fn forget(&mut self, hash: u64) {
        let (bucket, tag) = self.place(hash);
        self.buckets[bucket].retain(|held| *held != tag);
    }

    fn contains(&self, hash: u64) -> bool {
        let (bucket, tag) = self.place(hash);
        self.buckets[bucket].contains(&tag)
    }

    fn resized(&self, per_region: u64) -> Self {
        let mut resized = Self::new(per_region);
        for age in (0..WAYS).rev() {
            for (at, bucket) in self.buckets.iter().enumerate() {
                if let Some(tag) = bucket.get(age) {
                    let region = at as u64 / self.per_region;
                    resized.touch(block(region, u64::from(*tag)));
                }
            }
        }
        resized
    }
}

#[test]
fn it_agrees_with_plain_lists_over_100_000_steps() {
    let mut entropy = SplitMix64::new(5);
    let mut table = TagTable::with_capacity(500);
    let mut model = Model::new(5);
    let mut seen = Vec::new();
    for step in 0..100_000 {
        let hash = match entropy.below(50) {
            0 => [0, u64::MAX, 1 << 32, block(0, 0), block(7, 0xffff_ffff)][entropy.below(5)],
            1..20 => entropy.next_u64(),
            _ => seen[entropy.below(seen.len().clamp(1, 1_500))],
        };
        seen.push(hash);
        let last = seen.len() - 1;
        seen.swap(last, entropy.below(1_500).min(last));
        match entropy.below(2_000) {
            0 => {
                let per_region = 1 + entropy.below(12);
                table = table.resized(per_region * REGIONS * WAYS * 4 / 5);
                model = model.resized(per_region as u64);
            }
            1..200 => {
                table.forget(hash);
                model.forget(hash);
                assert!(!table.contains(hash), "step {step}");
            }
            _ => {
                table.touch(hash);
                model.touch(hash);
                assert!(table.contains(hash), "step {step}");
            }
        }
        let other = seen[entropy.below(seen.len())];
        assert_eq!(table.contains(other), model.contains(other), "step {step}");
        if step % 100 == 0 {
            assert_eq!(table.places(), model.buckets.len() * WAYS, "step {step}");
            for (bucket, listed) in table.buckets.iter().zip(&model.buckets) {
                assert_eq!(bucket.0[..listed.len()], listed[..], "step {step}");
                assert!(bucket.0[listed.len()..].iter().all(|tag| *tag == EMPTY));
            }
        }
    }
}

#[test]
fn growing_keeps_everything_and_shrinking_rather_the_young() {
    let mut entropy = SplitMix64::new(7);
    let mut draw = |count: usize| -> Vec<u64> { (0..count).map(|_| entropy.next_u64()).collect() };
    let mut table = TagTable::with_capacity(3_000);
    let few = draw(600);
    few.iter().for_each(|hash| table.touch(*hash));
    for capacity in [4_000, 5_000, 30_000, 31_000] {
        table = table.resized(capacity);
        assert_eq!(table.len(), few.len(), "growing to {capacity} lost some");
        assert!(few.iter().all(|hash| table.contains(*hash)));
    }

    let mut table = TagTable::with_capacity(2_000);
    let (old, young) = (draw(1_000), draw(1_000));
    old.iter().chain(&young).for_each(|hash| table.touch(*hash));
    let table = table.resized(1_000);
    let kept = |hashes: &[u64]| hashes.iter().filter(|hash| table.contains(**hash)).count();
    let (young, old) = (kept(&young), kept(&old));
    assert!(
        young > 850 && old < 400,
        "{young} of 1,000 young and {old} of 1,000 old"
    );
}

#[test]
fn sizes_cannot_overflow() {
    assert!(TagTable::places_for(usize::MAX) > 0);
    assert_eq!(TagTable::places_for(0), REGIONS * WAYS);
    assert_eq!(TagTable::places_for(64), REGIONS * WAYS);
}
