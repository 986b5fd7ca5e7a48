//! Each candidate in turn; looks at no load.

use super::{Policy, Round};
use crate::{
    decision::{Decision, Reason},
    entropy::Entropy,
};

/// Starts at a random place, so that workers do not walk in step.
#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    next: Option<usize>,
}

impl Policy for RoundRobin {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let length = round.candidates.len();
        let start = self.next.unwrap_or_else(|| entropy.below(length)) % length.max(1);
        self.next = Some(start + 1);
        let turn = round.candidates.iter().cycle().skip(start);
        let names = turn.take(round.choices.min(length));
        Decision::new(Reason::Blind, names.map(|position| *position as usize))
    }
}
