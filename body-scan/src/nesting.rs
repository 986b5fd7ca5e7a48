//! Which containers are open, one bit each.

/// The deepest nesting that is read. CPython gives up at its recursion limit, about 1,000 less the
/// frames of the server, and other builds later: below this depth all of them agree. A body nested
/// deeper is routed by load.
pub const MAX_DEPTH: u16 = 512;

const WORDS: usize = MAX_DEPTH as usize / 64;

/// A JSON container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// `{}`.
    Object,
    /// `[]`.
    Array,
}

/// The open containers, outermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Nesting {
    depth: u16,
    objects: [u64; WORDS],
}

impl Nesting {
    /// How many containers are open.
    pub(super) const fn depth(&self) -> u16 {
        self.depth
    }

    /// Opens a container; false when [`MAX_DEPTH`] are open already.
    pub(super) fn open(&mut self, container: Container) -> bool {
        if self.depth >= MAX_DEPTH {
            return false;
        }
        let bit = 1 << (self.depth % 64);
        let Some(word) = self.objects.get_mut(usize::from(self.depth / 64)) else {
            return false;
        };
        match container {
            Container::Object => *word |= bit,
            Container::Array => *word &= !bit,
        }
        self.depth += 1;
        true
    }

    /// The innermost open container.
    pub(super) fn innermost(&self) -> Option<Container> {
        let level = self.depth.checked_sub(1)?;
        let word = self.objects.get(usize::from(level / 64))?;
        Some(match word >> (level % 64) & 1 {
            1 => Container::Object,
            _ => Container::Array,
        })
    }

    /// All open containers as one number, if there are fewer than 64 of them.
    pub(super) fn shape(&self) -> Option<u64> {
        let end = 1_u64.checked_shl(self.depth.into())?;
        let [outermost, ..] = self.objects;
        Some(end | (outermost & (end - 1)))
    }

    /// Closes the innermost container, if it is of this kind.
    pub(super) fn close(&mut self, container: Container) -> bool {
        if self.innermost() != Some(container) {
            return false;
        }
        self.depth -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Container, MAX_DEPTH, Nesting};

    proptest! {
        #[test]
        fn behaves_like_a_vector_of_containers(
            steps in prop::collection::vec((any::<bool>(), 0..3_u8), 0..3000),
        ) {
            let mut nesting = Nesting::default();
            let mut model = Vec::new();
            for (object, action) in steps {
                let container = if object { Container::Object } else { Container::Array };
                if action < 2 {
                    let fits = model.len() < usize::from(MAX_DEPTH);
                    prop_assert_eq!(nesting.open(container), fits);
                    if fits {
                        model.push(container);
                    }
                } else {
                    let matches = model.last() == Some(&container);
                    prop_assert_eq!(nesting.close(container), matches);
                    if matches {
                        model.pop();
                    }
                }
                prop_assert_eq!(nesting.innermost(), model.last().copied());
                prop_assert_eq!(usize::from(nesting.depth()), model.len());
                let shape = (model.len() < 64).then(|| {
                    let bits = model.iter().enumerate();
                    bits.fold(1_u64 << model.len(), |shape, (level, container)| {
                        shape | u64::from(*container == Container::Object) << level
                    })
                });
                prop_assert_eq!(nesting.shape(), shape);
            }
        }
    }
}
