//! The blocks that one endpoint probably holds: a set-associative table of tags, as in a processor's
//! cache.
//!
//! ```text
//!   hash --mixed--> [ tag: 32 bits | region: 3 bits | 29 bits unused ]
//!
//!   bucket = region, and within it the tag's place among the region's buckets
//!
//!            newest                            oldest
//!   bucket   [ tag | tag | tag | ... | tag |  0  |  0  ]      16 places; 0 is an empty one
//! ```
//!
//! A bucket holds its tags in the order of their last use: a new one enters at the front and the last
//! one falls out. That is the least recently used of a bucket instead of all; with a quarter more
//! places than blocks it finds 98 % and more of what an exact list would find, for 5 bytes a block
//! instead of 25. (Buckets of eight lose several times as much: a prompt counts only up to the first block
//! that is missing.)
//!
//! A tag and its region alone say which bucket they belong to, so that a table can be rebuilt in any
//! other size without knowing the hashes again. Two blocks that agree in those 35 bits are taken for
//! one: with 30,000 blocks one foreign block in a million, which costs a worse pick and no wrong
//! answer.

/// Tags of a bucket.
const WAYS: usize = 16;
/// Regions of a table.
const REGIONS: usize = 8;

/// An empty place; no block has this tag.
const EMPTY: u32 = 0;

/// 2^64 divided by the golden ratio, odd: Knuth's multiplicative hashing.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// One line of the processor's cache, which has 64 bytes nearly everywhere: a look waits for memory
/// once.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bucket([u32; WAYS]);

/// A bounded set of block hashes that forgets what was not touched for long.
#[derive(Debug, Clone, Default)]
pub(crate) struct TagTable {
    /// Region after region, each of the same number of buckets. No bucket at all until the first
    /// block comes.
    buckets: Vec<Bucket>,
    held: usize,
}

impl TagTable {
    /// An empty table that finds what an exact list of `capacity` blocks would.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            buckets: vec![Bucket([EMPTY; WAYS]); Self::places_for(capacity) / WAYS],
            held: 0,
        }
    }

    /// The places of such a table: a quarter more than blocks, and whole regions.
    pub(crate) fn places_for(capacity: usize) -> usize {
        let places = capacity.saturating_add(capacity / 4);
        let per_region = places.div_ceil(REGIONS * WAYS).max(1);
        per_region.saturating_mul(REGIONS * WAYS)
    }

    /// How many blocks it has room for if they spread evenly; 0 before the first.
    pub(crate) fn places(&self) -> usize {
        self.buckets.len() * WAYS
    }

    /// How many blocks it holds.
    pub(crate) const fn len(&self) -> usize {
        self.held
    }

    /// Whether the block is held. Does not count as a use.
    #[inline]
    pub(crate) fn contains(&self, hash: u64) -> bool {
        let key = Key::of(hash);
        let bucket = self.buckets.get(self.bucket_of(key));
        bucket.is_some_and(|bucket| bucket.0.contains(&key.tag))
    }

    /// Whether the block is the one of its bucket that was used last.
    #[inline]
    pub(crate) fn is_newest(&self, hash: u64) -> bool {
        let key = Key::of(hash);
        let bucket = self.buckets.get(self.bucket_of(key));
        bucket.is_some_and(|Bucket([newest, ..])| *newest == key.tag)
    }

    /// Makes the block the youngest of its bucket; if it is new there and the bucket is full, the
    /// oldest falls out.
    #[inline]
    pub(crate) fn touch(&mut self, hash: u64) {
        self.enter(Key::of(hash));
    }

    #[inline]
    fn enter(&mut self, key: Key) {
        let at = self.bucket_of(key);
        if let Some(Bucket(bucket)) = self.buckets.get_mut(at) {
            // Every tag steps back by one, up to the place that becomes free.
            let mut carried = key.tag;
            for place in bucket {
                std::mem::swap(place, &mut carried);
                if carried == key.tag {
                    return;
                }
                if carried == EMPTY {
                    self.held += 1;
                    return;
                }
            }
        }
    }

    /// Forgets the block.
    pub(crate) fn forget(&mut self, hash: u64) {
        let key = Key::of(hash);
        let at = self.bucket_of(key);
        if let Some(Bucket(bucket)) = self.buckets.get_mut(at)
            && bucket.contains(&key.tag)
        {
            // From the oldest on, every tag steps forward by one, up to the place that is emptied.
            let mut carried = EMPTY;
            for place in bucket.iter_mut().rev() {
                std::mem::swap(place, &mut carried);
                if carried == key.tag {
                    self.held = self.held.saturating_sub(1);
                    return;
                }
            }
        }
    }

    /// The same blocks in a table of another capacity, as far as they fit. Of those that meet in one
    /// bucket the ones stay that were the youngest of theirs.
    pub(crate) fn resized(&self, capacity: usize) -> Self {
        let mut resized = Self::with_capacity(capacity);
        let per_region = (self.buckets.len() / REGIONS).max(1);
        for age in (0..WAYS).rev() {
            for (at, Bucket(bucket)) in self.buckets.iter().enumerate() {
                if let Some(tag) = bucket.get(age).filter(|tag| **tag != EMPTY) {
                    let region = at / per_region;
                    resized.enter(Key { region, tag: *tag });
                }
            }
        }
        resized
    }

    /// The bucket of a block: its region's, and there the tag's share of the way.
    #[inline]
    fn bucket_of(&self, key: Key) -> usize {
        let per_region = self.buckets.len() / REGIONS;
        let within = (u64::from(key.tag) * per_region as u64) >> u32::BITS;
        key.region * per_region + within as usize
    }
}

/// What counts of a hash.
#[derive(Debug, Clone, Copy)]
struct Key {
    region: usize,
    tag: u32,
}

impl Key {
    /// One multiplication spreads hashes that are none, such as numbers in a row, over all buckets. One
    /// tag in four thousand million stands for its neighbour too, because zero means empty.
    #[inline]
    fn of(hash: u64) -> Self {
        let mixed = hash.wrapping_mul(GOLDEN_RATIO);
        Self {
            region: (mixed >> 29) as usize % REGIONS,
            tag: ((mixed >> 32) as u32).max(EMPTY + 1),
        }
    }
}

#[cfg(test)]
mod tests;
