//! What the filter would learn of a request.

use body_scan::{BodyScanner, ScanConfig, ScanOutcome};
use picker::RequestFacts;
use pool_state::policy::PolicyView;

/// A request as it would be routed.
#[derive(Debug)]
pub struct Request {
    /// How its reading ended.
    pub outcome: ScanOutcome,
    /// The model that it names.
    pub asked: Option<String>,
    /// Whether the pool serves that, as far as a policy says.
    pub is_served: bool,
    /// The model that it is rewritten to and the part of such requests that are, where its rule has
    /// targets: the one that is drawn most often.
    pub target: Option<(String, f32)>,
    /// What the decision rests on; the model is the target.
    pub facts: RequestFacts,
    /// The body's bytes.
    pub bytes: usize,
}

impl Request {
    /// Reads a whole body.
    #[must_use]
    pub fn read(body: &[u8], policy: Option<&PolicyView>, block_bytes: u32) -> Self {
        let config = ScanConfig {
            block_bytes: usize::try_from(block_bytes).unwrap_or(usize::MAX),
            ..ScanConfig::default()
        };
        let length = u64::try_from(body.len()).ok();
        let mut scanner = BodyScanner::new(&config);
        scanner.push(body);
        let mut asked = None;
        let mut drawn = None;
        let learned = scanner.learn_as(true, length, |model| {
            asked = Some(model.to_owned());
            drawn = policy.and_then(|policy| likeliest(policy, model));
            drawn.as_ref().map(|(target, _)| target.clone())
        });
        let asked = asked.or_else(|| learned.facts.model.clone());
        let served = |model: &str| {
            let policy = policy.map(|policy| policy.serves(model));
            policy.unwrap_or(true) || drawn.is_some()
        };
        Self {
            outcome: learned.outcome,
            is_served: asked.as_deref().is_none_or(served),
            target: drawn,
            asked,
            facts: learned.facts,
            bytes: body.len(),
        }
    }
}

/// The target of a model's rule with the greatest weight, and its part of the draw.
fn likeliest(policy: &PolicyView, model: &str) -> Option<(String, f32)> {
    let rule = policy.rule(model)?;
    let weight = |weight: Option<u32>| weight.unwrap_or(1);
    let sum: u64 = rule
        .targets()
        .map(|(_, each)| u64::from(weight(each)))
        .sum();
    let (target, most) = rule.targets().max_by_key(|(_, each)| weight(*each))?;
    Some((target.to_owned(), weight(most) as f32 / sum.max(1) as f32))
}
