//! What the gateways refused of one pool's requests.
//!
//! ```text
//!   stream 1: 7  9      -> 2 \
//!   stream 2: 100  130  -> 30 +--> total 32
//!   stream 3: 50  4  5  -> 1 /     (an Envoy that was started anew: 4 is a base line again)
//! ```

use std::collections::BTreeMap;

use pool_state::limits;

/// What grew over all streams that reported.
#[derive(Debug, Default)]
pub(super) struct Sheds {
    /// What each open stream told last.
    told: BTreeMap<u64, u64>,
    total: u64,
}

/// What is known of a pool's refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShedsView {
    /// Requests that gateways refused since the agent knows the pool, as far as they were connected:
    /// what happened before a stream's first report is not in it. Never falls.
    pub total: u64,
    /// How many connected gateways report them.
    pub gateways: usize,
}

impl Sheds {
    /// Takes what a gateway counted since its Envoy started. The first of a stream, one that is less
    /// than the last and one that is more by what nobody would believe are where counting starts.
    pub(super) fn report(&mut self, stream: u64, counted: u64) {
        let before = self.told.insert(stream, counted).unwrap_or(counted);
        let grown = limits::sheds(counted.saturating_sub(before)).unwrap_or_default();
        self.total = self.total.saturating_add(grown);
    }

    /// The stream ended. What it told stays in the sum.
    pub(super) fn forget(&mut self, stream: u64) {
        self.told.remove(&stream);
    }

    pub(super) fn view(&self) -> ShedsView {
        ShedsView {
            total: self.total,
            gateways: self.told.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_streams_grew_by_is_added_up_whatever_they_claim() {
        let mut sheds = Sheds::default();
        assert_eq!(sheds.view(), ShedsView::default());
        let reports = [
            (1, 7, 0, "a base line is no burst"),
            (2, 100, 0, "another one"),
            (1, 9, 2, "it grew"),
            (2, 130, 32, "they are added up"),
            (2, 4, 32, "an Envoy that was started anew starts over"),
            (2, 5, 33, "from there"),
            (3, 0, 33, "a third"),
            (3, u64::MAX, 33, "nobody refuses as many"),
            (3, u64::MAX, 33, "nor is it repeated"),
            (3, 1, 33, "a new base line"),
            (3, 1_000_001, 1_000_033, "the most that is believed"),
            (1, 10, 1_000_034, "the others go on"),
        ];
        for (stream, counted, total, why) in reports {
            sheds.report(stream, counted);
            assert_eq!(sheds.view().total, total, "{why}");
        }
        assert_eq!(sheds.view().gateways, 3);
    }

    #[test]
    fn a_stream_that_ended_takes_nothing_back() {
        let mut sheds = Sheds::default();
        for counted in [3, 8] {
            sheds.report(1, counted);
        }
        sheds.forget(1);
        sheds.forget(7);
        assert_eq!(
            sheds.view(),
            ShedsView {
                total: 5,
                gateways: 0
            }
        );
        sheds.report(2, 8);
        assert_eq!(
            sheds.view(),
            ShedsView {
                total: 5,
                gateways: 1
            }
        );
    }
}
