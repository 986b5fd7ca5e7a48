//! The least requests in flight per unit of the operator's weight, this request included; ties are
//! drawn. Looks at the ledger and at what other gateways report, at no signal of the engine.

use super::{Policy, Round, draw};
use crate::{
    decision::{Decision, Reason},
    entropy::Entropy,
    score::sample,
};

/// Least in-flight.
#[derive(Debug, Default)]
pub(crate) struct LeastInFlight {
    totals: Vec<f32>,
    near: Vec<(usize, f32)>,
}

impl Policy for LeastInFlight {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        self.totals.clear();
        let candidates = round.candidates.iter().zip(round.endpoints());
        self.totals.extend(candidates.map(|(position, endpoint)| {
            let local = round.local(*position);
            let in_flight = sample::in_flight(endpoint, local, round.ladder, round.view.now);
            -(in_flight + 1.0) / sample::capacity(endpoint)
        }));
        let drawn = draw::best(&self.totals, 0.0, round.choices, &mut self.near, entropy);
        Decision::new(Reason::LeastInFlight, drawn.positions(round.candidates))
    }
}
