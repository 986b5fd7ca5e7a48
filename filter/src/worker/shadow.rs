//! Shadow mode: what was decided is compared with what the cluster's own policy did.
//!
//! ```text
//!   decide --> nothing is set, nothing is counted in flight
//!   answer --> who served?  agree, differ, unknown; counted in flight and noted there
//!   end    --> first token: predicted at our choice, measured where it went
//! ```

use super::{Choice, Worker};
use crate::{host::Host, metrics::Compared, outcome};

impl Worker {
    /// Whether nothing may be changed.
    #[must_use]
    pub const fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// In the response headers callback of a request that was decided about and went where the cluster's
    /// policy sent it. Returns the status.
    pub(super) fn compare(&mut self, host: &dyn Host, choice: &mut Choice) -> Option<u64> {
        let outcome::Outcome { used, status, .. } = outcome::read(host, true);
        let result = match used {
            None => Compared::Unknown,
            Some(used) if used == choice.first().address => Compared::Agree,
            Some(_) => Compared::Differ,
        };
        choice.compare_as(result);
        let index = choice.pool();
        let pool = self.pools.get_mut(index)?;
        if let Some(metrics) = &pool.shadow {
            metrics.compared(host, result);
        }
        if let Some(member) = used.and_then(|used| pool.view.by_address(used)) {
            self.begin(host, choice, member, true, host.now());
            let note = choice.note_at(member);
            self.believe(&note, index);
        }
        status
    }

    /// The first token of a compared request was measured.
    pub(super) fn compare_first_token(&self, host: &dyn Host, choice: &Choice, measured_ms: f32) {
        let metrics = self
            .pools
            .get(choice.pool())
            .and_then(|pool| pool.shadow.as_ref());
        if let (Some(metrics), Some(result)) = (metrics, choice.compared()) {
            metrics.first_token(host, result, choice.estimate().ttft_ms, measured_ms);
        }
    }
}
