//! Any candidate with equal chance; looks at no load.

use super::{Policy, Round, draw};
use crate::{
    decision::{Decision, Reason},
    entropy::Entropy,
};

/// Uniform choice.
#[derive(Debug)]
pub(crate) struct Random;

impl Policy for Random {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let drawn = draw::uniform(round.candidates.len(), round.choices, entropy);
        Decision::new(Reason::Blind, drawn.positions(round.candidates))
    }
}
