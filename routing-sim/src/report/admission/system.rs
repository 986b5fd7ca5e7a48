//! Who is compared under overload.

use admission::AdmissionConfig;
use picker::policy::PolicyName;

use crate::{AdmissionUnderTest, PolicyUnderTest};

/// A policy with a way to admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// The cost policy with admission.
    Ours,
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
    pub const ALL: [Self; 5] = [
        Self::Ours,
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
            Self::Ours => "zerohop",
            Self::CostWithRule => "cost, reference's rule",
            Self::CostAlone => "cost, no admission",
            Self::Blend => "blend, reference's rule",
            Self::Tree => "tree v0.3, its rule",
        }
    }

    pub(super) const fn policy(self) -> PolicyUnderTest {
        PolicyUnderTest::Picker(match self {
            Self::Ours | Self::CostWithRule | Self::CostAlone => PolicyName::Cost,
            Self::Blend => PolicyName::Blend,
            Self::Tree => PolicyName::GieV03,
        })
    }

    pub(super) const fn admission(self, rules: AdmissionConfig) -> AdmissionUnderTest {
        match self {
            Self::Ours => AdmissionUnderTest::Ours(rules),
            Self::CostWithRule | Self::Blend => AdmissionUnderTest::Reference,
            Self::CostAlone | Self::Tree => AdmissionUnderTest::Off,
        }
    }
}
