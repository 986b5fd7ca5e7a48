//! Where a prompt may be cached although this worker knows of nobody.
//!
//! ```text
//!   nobody holds any of it      --> favourite of its first KiB     all gateways name the same endpoint,
//!                                                                  so a burst of one new prefix meets there
//!   a chat with earlier turns   --> favourite of its session, or   the turns came through other gateways;
//!   of which nobody is known        of its first question          whoever takes one up sends it there
//! ```
//!
//! Hope is a discount on the prompt's prefill there and no more: where it costs too much because the
//! endpoint is busy, the request goes elsewhere.

use crate::{config::CostConfig, policy::Round, rendezvous};

/// How fast the share of prompts that somebody holds is learned: about the last hundred count.
const REUSE_STEP: f32 = 0.01;

/// The endpoint that may hold a prompt, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hope {
    pub(super) position: u32,
    pub(super) tokens: f32,
    /// Whether only the session told.
    pub(super) of_session: bool,
}

/// How many of the prompts that came were held by somebody, as a share; all of them until it
/// is learned otherwise.
///
/// Where prompts never come back, bringing a new one to its favourite wins nothing and costs the even
/// spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reuse(f32);

impl Default for Reuse {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Reuse {
    /// Notes one prompt, and whether somebody held a part of it.
    pub(super) fn see(&mut self, held: bool) {
        let held = if held { 1.0 } else { 0.0 };
        self.0 += REUSE_STEP * (held - self.0);
    }
}

impl Hope {
    /// Where there is hope for a prompt of so many tokens.
    pub(super) fn of(
        round: &Round<'_>,
        block_bytes: u32,
        config: &CostConfig,
        prompt: f32,
        reuse: Reuse,
    ) -> Option<Self> {
        if !round.matched.is_empty() {
            return Self::of_chat(round, config.chat_share);
        }
        let of_prompt = rendezvous::key_of(round.facts, block_bytes);
        let of_session = of_prompt.is_none();
        // What a session's prompts share is not in the index, so nothing is learned about it.
        let reuse = if of_session { 1.0 } else { reuse.0 };
        Some(Self {
            position: rendezvous::favourite(of_prompt.or(round.facts.session)?, round)?,
            tokens: config.rendezvous_discount * reuse * prompt,
            of_session,
        })
    }

    /// A chat whose last question nobody is known to hold, in a pool that several gateways serve. Where
    /// most of what was said is a prompt that many chats share, it stays with those who hold that.
    fn of_chat(round: &Round<'_>, share: f32) -> Option<Self> {
        let turns = round.facts.turns.as_slice();
        let [.., asked, answered, _] = turns else {
            return None;
        };
        let held = round.candidates.iter().map(|at| round.matched(*at)).max()?;
        if held >= asked.end_bytes || held > answered.end_bytes / 2 {
            return None;
        }
        let mut endpoints = round.endpoints();
        if !endpoints.any(|endpoint| endpoint.signals.others_in_flight.is_some()) {
            return None;
        }
        // A chat ends with a question; a system prompt before the first makes the number even.
        let question = usize::from(turns.len().is_multiple_of(2));
        let key = match round.facts.session {
            Some(session) => session,
            None => turns.get(question)?.hash,
        };
        Some(Self {
            position: rendezvous::favourite(key, round)?,
            tokens: share * round.learned.tokens(answered.end_bytes.into()),
            of_session: false,
        })
    }
}
