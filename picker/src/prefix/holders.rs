//! Which endpoints hold a block: the index by block, so that a pick looks up every block of the
//! prompt once for the whole pool instead of once per endpoint.

use hashbrown::{HashTable, hash_table::Entry};

/// The slots that hold one block. Most blocks have one holder; system prompts have many.
#[derive(Debug)]
enum Slots {
    One(u32),
    /// Bit `n % 64` of word `n / 64` stands for slot `n`.
    Many(Box<[u64]>),
}

#[derive(Debug)]
struct Block {
    hash: u64,
    slots: Slots,
}

/// The holders of every remembered block.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    blocks: HashTable<Block>,
}

impl Holders {
    /// How many distinct blocks are held by somebody.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Notes that `slot` holds the block.
    pub(crate) fn add(&mut self, hash: u64, slot: u32) {
        match self
            .blocks
            .entry(hash, |block| block.hash == hash, |block| block.hash)
        {
            Entry::Occupied(mut entry) => {
                let slots = &mut entry.get_mut().slots;
                match slots {
                    Slots::One(only) if *only == slot => {}
                    Slots::One(only) => *slots = Slots::Many(both(*only, slot)),
                    Slots::Many(words) => {
                        if (slot / 64) as usize >= words.len() {
                            *words = widened(words, slot);
                        }
                        set(words, slot);
                    }
                }
            }
            Entry::Vacant(entry) => {
                entry.insert(Block {
                    hash,
                    slots: Slots::One(slot),
                });
            }
        }
    }

    /// Notes that `slot` holds the block no longer.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let Ok(mut entry) = self.blocks.find_entry(hash, |block| block.hash == hash) else {
            return;
        };
        let empty = match &mut entry.get_mut().slots {
            Slots::One(only) => *only == slot,
            Slots::Many(words) => {
                if let Some(word) = words.get_mut((slot / 64) as usize) {
                    *word &= !(1 << (slot % 64));
                }
                words.iter().all(|word| *word == 0)
            }
        };
        if empty {
            entry.remove();
        }
    }

    /// Strikes from `alive` every slot that does not hold the block; returns whether any is left.
    /// Each slot that is struck is handed to `lost`.
    pub(crate) fn narrow(&self, hash: u64, alive: &mut [u64], mut lost: impl FnMut(usize)) -> bool {
        let block = self.blocks.find(hash, |block| block.hash == hash);
        let mut any = 0;
        for (at, word) in alive.iter_mut().enumerate() {
            let held = match block.map(|block| &block.slots) {
                None => 0,
                Some(Slots::One(slot)) if (slot / 64) as usize == at => 1 << (slot % 64),
                Some(Slots::One(_)) => 0,
                Some(Slots::Many(words)) => words.get(at).copied().unwrap_or(0),
            };
            let mut gone = *word & !held;
            while gone != 0 {
                lost(at * 64 + gone.trailing_zeros() as usize);
                gone &= gone - 1;
            }
            *word &= held;
            any |= *word;
        }
        any != 0
    }

    /// Copies the holders of the block into `alive`; returns whether there is any.
    pub(crate) fn fill(&self, hash: u64, alive: &mut [u64]) -> bool {
        alive.fill(0);
        match self
            .blocks
            .find(hash, |block| block.hash == hash)
            .map(|block| &block.slots)
        {
            None => return false,
            Some(Slots::One(slot)) => set(alive, *slot),
            Some(Slots::Many(words)) => {
                for (word, held) in alive.iter_mut().zip(words.iter()) {
                    *word = *held;
                }
            }
        }
        true
    }
}

fn set(words: &mut [u64], slot: u32) {
    if let Some(word) = words.get_mut((slot / 64) as usize) {
        *word |= 1 << (slot % 64);
    }
}

fn both(one: u32, other: u32) -> Box<[u64]> {
    let mut words = vec![0; one.max(other) as usize / 64 + 1].into_boxed_slice();
    set(&mut words, one);
    set(&mut words, other);
    words
}

fn widened(words: &[u64], slot: u32) -> Box<[u64]> {
    let mut wide = words.to_vec();
    wide.resize(slot as usize / 64 + 1, 0);
    wide.into_boxed_slice()
}
