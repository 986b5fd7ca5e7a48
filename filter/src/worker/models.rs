//! What becomes of a request by the model that it names.
//!
//! ```text
//!   model --(route by model)--> pool --policy--> rule --draw--> target
//!                                        |         +----------> priority
//!                                        +--> objectives -----> priority
//! ```

use picker::{Criticality, Entropy, Priority};
use pool_state::policy::PolicyView;

use super::Worker;
use crate::{
    config::ModelsConfig,
    headers::{self, Steering},
    host::Host,
    model_hints::ModelHints,
    rewrite,
};

/// What a policy says about a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fate {
    /// The model to ask for instead; `None` leaves the name as it is.
    pub target: Option<String>,
    /// How much the request matters, if the policy says.
    pub priority: Option<Priority>,
    /// There is a policy, and the pool does not serve the model.
    pub is_unknown: bool,
}

impl Worker {
    /// What is done by the model that a request names, in any pool.
    #[must_use]
    pub const fn models(&self) -> &ModelsConfig {
        &self.models
    }

    /// Whether the pool at `index` refuses models that its policy does not know; without a pool: whether
    /// pools do that which do not say it themselves.
    #[must_use]
    pub fn refuses_unknown(&self, index: Option<usize>) -> bool {
        let pool = index.and_then(|index| self.pools.get(index));
        let answers = pool.map_or(self.models.answers, |pool| pool.config.models);
        answers.refuse_unknown
    }

    /// Which headers are believed, and which are set here.
    #[must_use]
    pub const fn steering(&self) -> Steering {
        Steering {
            trusted: self.models.trust_headers,
            names_models: self.models.route,
            shadow: self.shadow,
        }
    }

    /// In the response headers callback: tells the client which endpoint served, if it may know.
    pub fn report_served(&self, host: &dyn Host) {
        if !(self.report_served || self.conformance_test) {
            return;
        }
        let Some(address) = host.property(&["upstream", "address"]) else {
            return;
        };
        let names = [
            (headers::SERVED, self.report_served),
            (headers::TEST_SERVED, self.conformance_test),
        ];
        for (name, _) in names.into_iter().filter(|(_, set)| *set) {
            if let Err(error) = host.set_response_header(name, &address) {
                log::error!("{name} was not set: {error}");
            }
        }
    }

    /// Whether a request for this pool (`None`: for one that its model will tell) may be rewritten, so
    /// that all of its body has to be read.
    #[must_use]
    pub fn may_rewrite(&self, pool: Option<usize>, hints: &ModelHints) -> bool {
        let mut pools = self.pools.iter().enumerate();
        let may = hints.rewrite.is_some()
            || pools.any(|(index, known)| {
                known.policy.rewrites() && (self.models.route || pool == Some(index))
            });
        may && !self.shadow
    }

    /// The pool of which the policy says that it serves the model.
    #[must_use]
    pub fn pool_of_model(&self, model: &str) -> Option<usize> {
        let serves = |index: &usize| {
            let policy = self.policy(*index);
            policy.is_some_and(|policy| policy.serves(model))
        };
        (0..self.pools.len()).find(serves)
    }

    /// The base model of an adapter, also of one by its public name; a model that some pool serves and
    /// that is no adapter is its own.
    #[must_use]
    pub fn base_of_model<'a>(&'a self, model: &'a str) -> Option<&'a str> {
        let index = self.pool_of_model(model)?;
        let policy = self.policy(index)?;
        let of_target = || {
            let mut targets = policy.rule(model)?.targets();
            targets.find_map(|(target, _)| policy.base_of(target))
        };
        Some(policy.base_of(model).or_else(of_target).unwrap_or(model))
    }

    /// What becomes of a request for `model` in the pool at `index`.
    pub fn fate(&mut self, index: usize, model: &str, hints: &ModelHints) -> Fate {
        let random = hints.draw.unwrap_or_else(|| self.entropy.next_u64());
        let policy = self.policy(index);
        let rule = policy.and_then(|policy| policy.rule(model));
        let wished = hints.rewrite.as_deref();
        let target = wished.or_else(|| rule?.draw(random));
        let objective = hints.objective.as_deref();
        let of_objective = objective.and_then(|name| policy?.priority(name));
        let priority = of_objective.or_else(|| rule?.priority());
        let serves = |policy: &PolicyView| policy.serves(model) || target.is_some();
        let target = target.filter(|_| !self.shadow);
        Fate {
            target: target.filter(|name| *name != model).map(str::to_owned),
            priority: priority.map(Priority),
            is_unknown: policy.is_some_and(|policy| !serves(policy)),
        }
    }

    /// How much a request matters of which only the objective is known.
    #[must_use]
    pub fn priority_of(&self, index: usize, hints: &ModelHints) -> Option<Priority> {
        let name = hints.objective.as_deref()?;
        self.policy(index)?.priority(name).map(Priority)
    }

    /// The answer to `GET /v1/models`, if a policy is to give it.
    #[must_use]
    pub fn list_models(&self, index: usize) -> Option<Vec<u8>> {
        self.pools
            .get(index)
            .filter(|pool| pool.config.models.list)?;
        let policy = self.policy(index)?;
        let mut body = b"{\"object\":\"list\",\"data\":[".to_vec();
        for (index, model) in policy.models().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(b"{\"id\":");
            body.extend_from_slice(&rewrite::literal(model));
            body.extend_from_slice(br#","object":"model","created":0,"owned_by":"zerohop"}"#);
        }
        body.extend_from_slice(b"]}");
        Some(body)
    }
}

/// Above 0 the trees of June 2025 never refuse a request for want of capacity; at 0 and below they do.
#[must_use]
pub const fn criticality(priority: Priority) -> Criticality {
    match priority.0 {
        1.. => Criticality::Critical,
        0 => Criticality::Standard,
        _ => Criticality::Sheddable,
    }
}
