//! The two decision trees of the Gateway API Inference Extension of June 2025, to the letter: the
//! release v0.3 and the main branch of 2025-06-05. Baselines for comparison, not for use: they read
//! scraped metrics only and take an endpoint that was never scraped for idle.
//!
//! ```text
//!   v0.3       critical ? q < 128 any ? lora -> queue -> KV -> random
//!                                none ? queue -> lora -> KV -> random
//!              else       q <= 5 and KV <= 0.8
//!                               any ? queue -> lora -> KV -> random
//!                              none ? refuse
//!
//!   2025-06-05 not critical and no endpoint with q <= 5, KV <= 0.8 and metrics of the last 200 ms ?
//!                                     refuse
//!              else q <= 128 any ? lora -> queue -> KV -> random
//!                           none ? queue -> lora -> KV -> random
//! ```
//!
//! A step that leaves nobody is passed over. The trees name one endpoint; the second and third of
//! our list are what the tree says without those before.

use super::{Policy, Round};
use crate::{
    decision::{Decision, MAX_CHOICES, Reason},
    endpoint::Endpoint,
    entropy::Entropy,
    request::Criticality,
    signal::{LoraState, Signal},
    time::Millis,
};

/// A pod has capacity for what is not critical up to this utilization.
const KV_CACHE_THRESHOLD: f64 = 0.8;
/// A pod has capacity for what is not critical up to this many waiting requests.
const QUEUE_THRESHOLD_CRITICAL: i64 = 5;
/// The limit of a low queue: below it in v0.3, up to it on 2025-06-05.
const QUEUING_THRESHOLD_LORA: i64 = 128;
/// The chance to stay with the pods that have the adapter when others have room.
const LORA_AFFINITY_THRESHOLD: f64 = 0.999;
/// Older metrics do not show capacity (2025-06-05 only), in milliseconds.
const STALE_MS: u64 = 200;

/// Which tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    V03,
    June5,
}

/// One of the trees.
#[derive(Debug)]
pub(crate) struct GieTree {
    edition: Edition,
    all: Vec<Pod>,
    pods: Vec<Pod>,
    kept: Vec<Pod>,
}

/// What the trees see of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pod {
    position: u32,
    queue: i64,
    kv: f64,
    stale: bool,
    /// The adapter is loaded here.
    affine: bool,
    /// The adapter is not loaded here and there is room for it.
    room: bool,
}

impl Pod {
    fn new(position: u32, endpoint: &Endpoint, model: &str, edition: Edition, now: Millis) -> Self {
        let signals = &endpoint.signals;
        let taken_at = |signal: &Option<Signal<f32>>| signal.map(|signal| signal.taken_at);
        let newest = taken_at(&signals.waiting).max(taken_at(&signals.kv_usage));
        let (affine, room) = match &signals.lora {
            Some(lora) => adapter(&lora.value, model, edition),
            None => (false, false),
        };
        Self {
            position,
            queue: signals.waiting.map_or(0, |signal| signal.value as i64),
            kv: signals
                .kv_usage
                .map_or(0.0, |signal| f64::from(signal.value)),
            stale: newest.is_none_or(|taken_at| now.since(taken_at) > STALE_MS),
            affine,
            room,
        }
    }

    fn has_capacity(&self) -> bool {
        self.queue <= QUEUE_THRESHOLD_CRITICAL && self.kv <= KV_CACHE_THRESHOLD
    }
}

/// Whether the adapter is loaded, and whether it is not but could be. v0.3 keeps running and waiting
/// adapters in one set; 2025-06-05 keeps two and adds their sizes.
fn adapter(lora: &LoraState, model: &str, edition: Edition) -> (bool, bool) {
    let mut names = lora.active.iter().chain(&lora.waiting);
    if names.any(|name| **name == *model) {
        return (true, false);
    }
    let loaded = match edition {
        Edition::June5 => lora.active.len() + lora.waiting.len(),
        Edition::V03 => {
            let only_waiting = |name: &&std::sync::Arc<str>| !lora.active.contains(*name);
            lora.active.len() + lora.waiting.iter().filter(only_waiting).count()
        }
    };
    (false, loaded < lora.max as usize)
}

impl GieTree {
    pub(crate) fn new(edition: Edition) -> Self {
        Self {
            edition,
            all: Vec::new(),
            pods: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// One walk down the tree over all pods that are left; `None` is a refusal.
    fn walk(&mut self, critical: bool, entropy: &mut dyn Entropy) -> Option<u32> {
        self.pods.clear();
        self.pods.extend_from_slice(&self.all);
        let lora_first = match self.edition {
            Edition::V03 if !critical => {
                if !self.keep(Pod::has_capacity) {
                    return None;
                }
                false
            }
            Edition::V03 => self.keep(|pod| pod.queue < QUEUING_THRESHOLD_LORA),
            Edition::June5 => {
                let capacity = |pod: &Pod| !pod.stale && pod.has_capacity();
                if !critical && !self.all.iter().any(capacity) {
                    return None;
                }
                self.keep(|pod| pod.queue <= QUEUING_THRESHOLD_LORA)
            }
        };
        if lora_first {
            self.lora_affinity(entropy);
            self.least_queuing();
        } else {
            self.least_queuing();
            self.lora_affinity(entropy);
        }
        self.least_kv();
        let lot = entropy.below(self.pods.len());
        self.pods.get(lot).map(|pod| pod.position)
    }

    /// Goes on with the pods that `keeps` names; with the same as before when it names none.
    fn keep(&mut self, keeps: impl Fn(&Pod) -> bool) -> bool {
        self.kept.clear();
        self.kept.extend(self.pods.iter().filter(|pod| keeps(pod)));
        if self.kept.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.pods, &mut self.kept);
        true
    }

    fn least_queuing(&mut self) {
        let queues = || self.pods.iter().map(|pod| pod.queue);
        let (Some(min), Some(max)) = (queues().min(), queues().max()) else {
            return;
        };
        let pods = i64::try_from(self.pods.len()).unwrap_or(i64::MAX);
        let limit = min.saturating_add(max.saturating_sub(min) / pods.max(1));
        self.keep(|pod| pod.queue <= limit);
    }

    fn least_kv(&mut self) {
        let usages = || self.pods.iter().map(|pod| pod.kv);
        let min = usages().fold(f64::INFINITY, f64::min);
        let max = usages().fold(f64::NEG_INFINITY, f64::max);
        let limit = min + (max - min) / self.pods.len().max(1) as f64;
        self.keep(|pod| pod.kv <= limit);
    }

    fn lora_affinity(&mut self, entropy: &mut dyn Entropy) {
        let affine = self.pods.iter().any(|pod| pod.affine);
        let room = self.pods.iter().any(|pod| pod.room);
        let stay = match (affine, room) {
            (true, true) => entropy.unit() < LORA_AFFINITY_THRESHOLD,
            (stay, _) => stay,
        };
        self.keep(|pod| if stay { pod.affine } else { pod.room });
    }
}

impl Policy for GieTree {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let model = round.facts.model.as_deref().unwrap_or_default();
        let critical = round.facts.criticality == Criticality::Critical;
        let (edition, now) = (self.edition, round.view.now);
        let candidates = round.candidates.iter().zip(round.endpoints());
        self.all.clear();
        self.all.extend(
            candidates
                .map(|(position, endpoint)| Pod::new(*position, endpoint, model, edition, now)),
        );
        let mut positions = [0; MAX_CHOICES];
        let mut count = 0;
        for place in positions.iter_mut().take(round.choices) {
            let Some(position) = self.walk(critical, entropy) else {
                break;
            };
            *place = position as usize;
            count += 1;
            self.all.retain(|pod| pod.position != position);
        }
        if count == 0 {
            return Decision::none(Reason::Saturated);
        }
        Decision::new(Reason::BestScore, positions.into_iter().take(count))
    }
}

#[cfg(test)]
mod tests;
