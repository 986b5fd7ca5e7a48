//! Why a request is not served, and what its client is told.

use crate::config::Bound;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A bound of the queue is reached.
    Full(Bound),
    /// It is sheddable, and the others would have to wait for it.
    Shed,
    /// Its deadline passed while it waited for room.
    Expired,
    /// Its deadline passed while no endpoint was there.
    NoEndpoints,
}

/// An answer instead of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// After how many seconds it is worth coming back, `1..=60`: the predicted time until what waits
    /// before it is served.
    pub retry_after_s: u32,
}

impl Refusal {
    /// The HTTP status: 429, 503 or 504.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self.reason {
            Reason::Full(_) | Reason::Shed => 429,
            Reason::NoEndpoints => 503,
            Reason::Expired => 504,
        }
    }
}

impl Reason {
    /// Every reason, for metric definitions and tests.
    pub const ALL: [Self; 6] = [
        Self::Full(Bound::Worker),
        Self::Full(Bound::Priority),
        Self::Full(Bound::Flow),
        Self::Shed,
        Self::Expired,
        Self::NoEndpoints,
    ];

    /// The reason as header value, error code and metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full(_) => "queue_full",
            Self::Shed => "shed",
            Self::Expired => "deadline_exceeded",
            Self::NoEndpoints => "no_endpoints",
        }
    }

    /// The reference's name for it (`x-llm-d-request-dropped-reason`).
    #[must_use]
    pub const fn reference_name(self) -> &'static str {
        match self {
            Self::Full(_) | Self::Shed => "rejected-saturated",
            Self::Expired => "rejected-ttl-expired",
            Self::NoEndpoints => "rejected-no-endpoints",
        }
    }
}
