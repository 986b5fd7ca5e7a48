//! The policies of the benchmark, in the order of the tables.

use picker::policy::PolicyName;

use crate::PolicyUnderTest;

/// Ours.
pub const COST: PolicyUnderTest = PolicyUnderTest::Picker(PolicyName::Cost);
/// The bound: what a policy could do that knew everything.
pub const ORACLE: PolicyUnderTest = PolicyUnderTest::Oracle;
/// Each pod in turn: what a K8s Service does, at its best.
pub const ROUND_ROBIN: PolicyUnderTest = PolicyUnderTest::Picker(PolicyName::RoundRobin);
/// Any pod: what a K8s Service does to connections.
pub const RANDOM: PolicyUnderTest = PolicyUnderTest::Picker(PolicyName::Random);
/// The picker of June 2025 as it was released.
pub const GIE_V03: PolicyUnderTest = PolicyUnderTest::Picker(PolicyName::GieV03);
/// The picker of June 2025 as it was on main.
pub const GIE_0605: PolicyUnderTest = PolicyUnderTest::Picker(PolicyName::Gie0605);
/// The reference's blend of scraped metrics.
pub const BLEND: PolicyUnderTest = PolicyUnderTest::Picker(PolicyName::Blend);

/// Everything that is known without the truth and is not ours.
pub const BASELINES: [PolicyUnderTest; 9] = [
    RANDOM,
    ROUND_ROBIN,
    PolicyUnderTest::Picker(PolicyName::LeastInFlight),
    PolicyUnderTest::Picker(PolicyName::PowerOfTwo),
    GIE_V03,
    GIE_0605,
    BLEND,
    PolicyUnderTest::Picker(PolicyName::Sticky),
    PolicyUnderTest::Picker(PolicyName::Higress),
];

/// All policies: the baselines, ours and the oracle.
pub fn all() -> impl Iterator<Item = PolicyUnderTest> {
    BASELINES.into_iter().chain([COST, ORACLE])
}

/// The policy of that name.
pub fn parse(name: &str) -> Option<PolicyUnderTest> {
    all().find(|policy| policy.as_str() == name)
}
