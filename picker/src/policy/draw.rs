//! Drawing an ordered list from scored or equal candidates.

use crate::{decision::MAX_CHOICES, entropy::Entropy};

/// Up to three places in a list, best first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drawn {
    places: [usize; MAX_CHOICES],
    count: usize,
}

impl Drawn {
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().take(self.count).copied()
    }

    /// The candidates at these places.
    pub(super) fn positions(&self, candidates: &[u32]) -> impl Iterator<Item = usize> {
        let named = self.places().filter_map(|place| candidates.get(place));
        named.map(|position| *position as usize)
    }

    fn push(&mut self, place: usize) {
        if let Some(slot) = self.places.get_mut(self.count) {
            *slot = place;
            self.count += 1;
        }
    }

    fn has(&self, place: usize) -> bool {
        self.places().any(|other| other == place)
    }
}

/// The `count` best of `totals`, greatest first. Each is drawn uniformly from those within `band` of
/// the greatest that is left, so that workers which see the same numbers part ways. `near` is
/// working space.
pub(super) fn best(
    totals: &[f32],
    band: f32,
    count: usize,
    near: &mut Vec<(usize, f32)>,
    entropy: &mut dyn Entropy,
) -> Drawn {
    // Only what is within the band of the third greatest can be drawn; that is few as a rule.
    let mut greatest = [f32::NEG_INFINITY; MAX_CHOICES];
    for total in totals {
        let [first, second, third] = &mut greatest;
        if *total > *third {
            *third = *total;
            if *third > *second {
                std::mem::swap(second, third);
            }
            if *second > *first {
                std::mem::swap(first, second);
            }
        }
    }
    let count = count.min(totals.len()).min(MAX_CHOICES);
    let last = count.checked_sub(1).and_then(|last| greatest.get(last));
    let floor = last.copied().unwrap_or(f32::INFINITY) - band;
    near.clear();
    near.extend(
        totals
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, total)| *total >= floor),
    );

    let mut drawn = Drawn::default();
    for _ in 0..count {
        let most = |most: f32, (_, total): &(usize, f32)| if *total > most { *total } else { most };
        let floor = near.iter().fold(f32::NEG_INFINITY, most) - band;
        let ties = near.iter().filter(|(_, total)| *total >= floor).count();
        let lot = if ties > 1 { entropy.below(ties) } else { 0 };
        let mut tied = near.iter_mut().filter(|(_, total)| *total >= floor);
        if let Some((place, total)) = tied.nth(lot) {
            *total = f32::NEG_INFINITY;
            drawn.push(*place);
        }
    }
    drawn
}

/// `count` distinct places out of `length`, every ordered choice equally likely.
pub(super) fn uniform(length: usize, count: usize, entropy: &mut dyn Entropy) -> Drawn {
    let mut drawn = Drawn::default();
    for taken in 0..count.min(length) {
        let lot = entropy.below(length - taken);
        let mut free = (0..length).filter(|place| !drawn.has(*place));
        if let Some(place) = free.nth(lot) {
            drawn.push(place);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::entropy::SplitMix64;

    fn places(drawn: Drawn) -> Vec<usize> {
        drawn.places().collect()
    }

    #[test]
    fn the_greatest_come_first() {
        let mut entropy = SplitMix64::new(1);
        let totals = [0.1, 0.9, 0.5, 0.7];
        assert_eq!(
            places(best(&totals, 0.0, 3, &mut Vec::new(), &mut entropy)),
            [1, 3, 2]
        );
        assert_eq!(
            places(best(&totals, 0.0, 1, &mut Vec::new(), &mut entropy)),
            [1]
        );
        assert_eq!(
            places(best(&totals[..2], 0.0, 3, &mut Vec::new(), &mut entropy)),
            [1, 0]
        );
        assert!(places(best(&[], 0.0, 3, &mut Vec::new(), &mut entropy)).is_empty());
    }

    #[test]
    fn near_ties_share_evenly() {
        let mut entropy = SplitMix64::new(2);
        let totals = [0.99, 0.2, 1.0, 0.995, 0.98];
        let mut firsts = [0; 5];
        for _ in 0..3_000 {
            let drawn = places(best(&totals, 0.01, 3, &mut Vec::new(), &mut entropy));
            assert_eq!(drawn.len(), 3);
            firsts[drawn[0]] += 1;
        }
        assert_eq!((firsts[1], firsts[4]), (0, 0), "outside of the band");
        for place in [0, 2, 3] {
            assert!((900..1_100).contains(&firsts[place]), "{firsts:?}");
        }
    }

    #[test]
    fn a_uniform_draw_is_uniform_in_every_place() {
        let mut entropy = SplitMix64::new(3);
        let mut counts = [[0; 4]; 3];
        for _ in 0..4_000 {
            let drawn = places(uniform(4, 3, &mut entropy));
            for (order, place) in drawn.iter().enumerate() {
                counts[order][*place] += 1;
                assert!(!drawn[..order].contains(place), "{drawn:?} repeats");
            }
        }
        for count in counts.as_flattened() {
            assert!((880..1_120).contains(count), "{counts:?}");
        }
        assert!(places(uniform(0, 3, &mut entropy)).is_empty());
        assert_eq!(places(uniform(2, 3, &mut entropy)).len(), 2);
    }
}
