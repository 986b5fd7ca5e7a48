//! Where the messages of a chat end in its canonical prompt.

/// The most ends that are kept, those of the last messages. The turns that matter are the ends of the
/// previous requests of the same chat, and those are among the last.
const MAX_TURNS: usize = 64;

/// The ends of the last messages, in canonical bytes.
#[derive(Debug, Clone)]
pub(super) struct TurnEnds {
    /// The end of the `n`th message is at `n % MAX_TURNS`.
    ends: [u32; MAX_TURNS],
    count: usize,
}

impl Default for TurnEnds {
    fn default() -> Self {
        Self {
            ends: [0; MAX_TURNS],
            count: 0,
        }
    }
}

impl TurnEnds {
    /// Notes that a message ends at `end`.
    pub(super) fn push(&mut self, end: usize) {
        if let Some(place) = self.ends.get_mut(self.count % MAX_TURNS) {
            *place = u32::try_from(end).unwrap_or(u32::MAX);
            self.count += 1;
        }
    }

    /// The ends that are kept, first message first.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        let kept = self.count.min(MAX_TURNS);
        (self.count - kept..self.count)
            .map(|at| self.ends.get(at % MAX_TURNS).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_TURNS, TurnEnds};

    #[test]
    fn the_last_ends_are_kept_in_order() {
        for count in [
            0,
            1,
            MAX_TURNS - 1,
            MAX_TURNS,
            MAX_TURNS + 1,
            5 * MAX_TURNS + 7,
        ] {
            let mut ends = TurnEnds::default();
            (0..count).for_each(|end| ends.push(10 * end));
            let expected: Vec<u32> = (0..count)
                .skip(count.saturating_sub(MAX_TURNS))
                .map(|end| 10 * end as u32)
                .collect();
            assert_eq!(
                ends.iter().collect::<Vec<_>>(),
                expected,
                "{count} messages"
            );
        }
    }
}
