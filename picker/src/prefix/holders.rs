//! Who holds the beginning of a prompt, and up to which block.
//!
//! ```text
//!   blocks     h0   h1   h2   h3   h4   h5   h6   h7
//!   first      A B                                      who holds h0 at all
//!   half of 8                     A? B?                 then, for all of them, h4
//!   half of 4            A?            B?               ... h2 or h6, and so on
//! ```
//!
//! The end of a match is found by halving. A chained hash stands for all blocks before it, which went
//! there together with it and have been younger ever since: where a block is known, those before it are
//! cached too, even if one of them has fallen out of a crowded bucket.
//!
//! Tables are large and hashes lead anywhere in them, so that nearly every look waits for memory, which
//! takes longer than all the rest of a pick. Therefore a step is done for all endpoints before the next
//! one, and looks first at nothing but the newest tag of each bucket: looks that neither depend on
//! each other nor branch wait together, and the rest of the bucket comes along with its first tag.

use super::table::TagTable;

/// Those that hold the first block of one prompt; kept from prompt to prompt for its space.
#[derive(Debug, Default)]
pub(super) struct Holders(Vec<Holder>);

/// One that holds a prompt at least up to its block `last`.
#[derive(Debug, Clone, Copy)]
struct Holder {
    slot: u32,
    last: u32,
    /// Whether the block that is looked for now is the newest of its bucket.
    is_newest: bool,
}

impl Holders {
    /// Looks among `slots`, of which `table_of` tells the table, for those that hold the first of
    /// `blocks`.
    pub(super) fn find<'a>(
        &mut self,
        blocks: &[u64],
        slots: impl Iterator<Item = u32>,
        table_of: impl Fn(u32) -> Option<&'a TagTable>,
    ) {
        self.0.clear();
        let Some(first) = blocks.first() else {
            return;
        };
        let is_newest = |slot, block| table_of(slot).is_some_and(|table| table.is_newest(block));
        let holds = |holder: &Holder, block| {
            holder.is_newest || table_of(holder.slot).is_some_and(|table| table.contains(block))
        };
        self.0.extend(slots.map(|slot| Holder {
            slot,
            last: 0,
            is_newest: is_newest(slot, *first),
        }));
        self.0.retain(|holder| holds(holder, *first));

        let mut left = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
        while left > 1 {
            let half = left / 2;
            let further = |holder: &Holder| blocks.get((holder.last + half) as usize).copied();
            for holder in &mut self.0 {
                let block = further(holder);
                holder.is_newest = block.is_some_and(|block| is_newest(holder.slot, block));
            }
            for holder in &mut self.0 {
                if further(holder).is_some_and(|block| holds(holder, block)) {
                    holder.last += half;
                }
            }
            left -= half;
        }
    }

    /// Each of them, in the order of the slots that were given, with how many leading blocks it holds.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().map(|holder| (holder.slot, holder.last + 1))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use std::cell::Cell;

    use super::*;
    use crate::entropy::{Entropy, SplitMix64};

    /// Small tables that prompts of common beginnings have overfilled, so that blocks are missing in
    /// between too.
    fn tables(prompts: &[Vec<u64>], entropy: &mut SplitMix64) -> Vec<TagTable> {
        let mut tables = vec![TagTable::default(); 40];
        for (at, table) in tables.iter_mut().enumerate().skip(1) {
            *table = TagTable::with_capacity(64 * at);
            for _ in 0..3 * at {
                let prompt = &prompts[entropy.below(prompts.len())];
                let length = 1 + entropy.below(prompt.len());
                for block in prompt[..length].iter().rev() {
                    table.touch(*block);
                }
            }
        }
        tables
    }

    /// What a pick costs in a large pool is looks into tables: a first one for everybody, and for
    /// who holds the beginning two at each halving.
    #[test]
    fn nobody_is_looked_at_more_often_than_the_halvings_need() {
        let mut entropy = SplitMix64::new(5);
        let prompt: Vec<u64> = (0..64).map(|_| entropy.next_u64()).collect();
        let mut holding = TagTable::with_capacity(64);
        for block in prompt[..7].iter().rev() {
            holding.touch(*block);
        }
        let tables = [TagTable::default(), holding];
        let looks = Cell::new(0);
        let table_of = |slot| {
            looks.set(looks.get() + 1);
            tables.get(usize::from(slot < 10))
        };
        let mut holders = Holders::default();
        holders.find(&prompt, 0..1_000, table_of);
        assert!(holders.iter().eq((0..10).map(|slot| (slot, 7))));
        assert!(looks.get() <= 2 * 1_000 + 2 * 6 * 10, "{looks:?}");
    }

    #[test]
    fn all_together_find_what_each_alone_would() {
        let mut entropy = SplitMix64::new(11);
        let common: Vec<u64> = (0..5).map(|_| entropy.next_u64()).collect();
        let prompts: Vec<Vec<u64>> = (1..90)
            .map(|length| {
                let tail = (0..length).map(|_| entropy.next_u64());
                common.iter().copied().chain(tail).collect()
            })
            .collect();
        let tables = tables(&prompts, &mut entropy);
        let slots = || (0..50u32).rev().filter(|slot| slot % 7 != 3);
        let mut holders = Holders::default();
        let (mut whole, mut part, mut gaps) = (0, 0, 0);
        for prompt in &prompts {
            for length in 0..=prompt.len() {
                let prompt = &prompt[..length];
                holders.find(prompt, slots(), |slot| tables.get(slot as usize));
                let alone = slots().filter_map(|slot| {
                    let table = tables.get(slot as usize)?;
                    let holds = |block: &u64| table.contains(*block);
                    let blocks = prompt.first().filter(|first| holds(first)).map(|_| {
                        gaps += usize::from(!prompt.is_sorted_by_key(|block| !holds(block)));
                        prompt.partition_point(holds)
                    })?;
                    whole += usize::from(blocks == length);
                    part += usize::from(blocks < length);
                    Some((slot, blocks as u32))
                });
                let alone: Vec<_> = alone.collect();
                assert_eq!(holders.iter().collect::<Vec<_>>(), alone);
            }
        }
        assert!(
            whole > 1_000 && part > 1_000 && gaps > 100,
            "{whole} {part} {gaps}"
        );
    }
}
