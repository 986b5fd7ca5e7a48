//! Who is compared under overload.

use admission::AdmissionConfig;
use picker::policy::PolicyName;

use crate::{AdmissionUnderTest, PolicyUnderTest};

/// The deadline that requests bring, in milliseconds: what callers who want their first token within a
/// second can spare for waiting at the gateway.
const DEADLINE_MS: u64 = 300;

/// A policy with a way to admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// The cost policy with admission, requests bringing a deadline.
    Ours,
    /// The same without deadlines: critical requests wait for as long as it takes.
    OursWithoutDeadline,
    /// The cost policy with the reference's saturation rule.
    CostWithRule,
    /// The cost policy alone: nobody is refused.
    CostAlone,
    /// The reference's blend of scraped metrics with its saturation rule.
    Blend,
    /// The tree of v0.3, which refuses by the same limits itself.
    Tree,
}

impl System {
    /// All of them, in the order of tables and legends.
    pub const ALL: [Self; 6] = [
        Self::Ours,
        Self::OursWithoutDeadline,
        Self::CostWithRule,
        Self::CostAlone,
        Self::Blend,
        Self::Tree,
    ];
    /// Those that are the reference's.
    pub const REFERENCES: [Self; 2] = [Self::Blend, Self::Tree];

    /// Its name in tables and legends.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ours => "zerohop, deadline 0.3 s",
            Self::OursWithoutDeadline => "zerohop",
            Self::CostWithRule => "cost, reference's rule",
            Self::CostAlone => "cost, no admission",
            Self::Blend => "blend, reference's rule",
            Self::Tree => "tree v0.3, its rule",
        }
    }

    pub(super) const fn policy(self) -> PolicyUnderTest {
        PolicyUnderTest::Picker(match self {
            Self::Ours | Self::OursWithoutDeadline | Self::CostWithRule | Self::CostAlone => {
                PolicyName::Cost
            }
            Self::Blend => PolicyName::Blend,
            Self::Tree => PolicyName::GieV03,
        })
    }

    pub(super) const fn admission(self, rules: AdmissionConfig) -> AdmissionUnderTest {
        match self {
            Self::Ours => AdmissionUnderTest::Ours(AdmissionConfig {
                ttl_ms: DEADLINE_MS,
                ..rules
            }),
            Self::OursWithoutDeadline => AdmissionUnderTest::Ours(rules),
            Self::CostWithRule | Self::Blend => AdmissionUnderTest::Reference,
            Self::CostAlone | Self::Tree => AdmissionUnderTest::Off,
        }
    }
}
