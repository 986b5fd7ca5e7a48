//! The simulated pods and what they can carry.

use model_sim::{
    engine::{Engine, EngineConfig, EventKind, Request, SimTime},
    lengths::{SHAREGPT_OUTPUT, SHAREGPT_PROMPT},
    server::{Instance, InstanceConfig},
};

use crate::rig::RigError;

/// Pods of one lane, as many as the published benchmark has.
pub const COUNT: usize = 10;

/// The published benchmark's engine at its full speed with a tenth of its KV cache: 11,200 tokens,
/// about two dozen requests at once. Ten of them saturate at about 119 requests/s instead of 316,
/// which two cores carry for several lanes at a time.
#[must_use]
pub fn engine() -> EngineConfig {
    EngineConfig {
        kv_blocks: 700,
        ..EngineConfig::default()
    }
}

/// Starts the pods of one lane.
///
/// # Errors
/// When no port can be bound.
pub async fn start() -> Result<Vec<Instance>, RigError> {
    let mut pods = Vec::new();
    for _ in 0..COUNT {
        // The same seed for all: a prompt has the same answer wherever it goes.
        let config = InstanceConfig {
            model: "tiny".to_owned(),
            engine: engine(),
            ..InstanceConfig::default()
        };
        let pod = Instance::start(config).await;
        pods.push(pod.map_err(|error| RigError::http("start a pod", &error))?);
    }
    Ok(pods)
}

/// Requests per second that one pod completes when it never lacks any: the engine itself, run in
/// virtual time with the same distribution of lengths.
#[must_use]
pub fn capacity() -> f64 {
    const BACKLOG: u64 = 200;
    const FROM: f64 = 100.0;
    const TO: f64 = 3_100.0;
    let mut engine = Engine::new(engine());
    let (mut submitted, mut ended, mut counted, mut now) = (0, 0, 0, SimTime::ZERO);
    while now.as_seconds() < TO {
        while submitted < ended + BACKLOG {
            let request = Request {
                prompt_tokens: SHAREGPT_PROMPT.draw(submitted),
                output_tokens: SHAREGPT_OUTPUT.draw(!submitted),
                ..Request::default()
            };
            engine.submit(request, now);
            submitted += 1;
        }
        let Some(next) = engine.next_event_at() else {
            break;
        };
        now = next;
        let finished = engine
            .advance(next)
            .filter(|event| matches!(event.kind, EventKind::Finished(_)))
            .count() as u64;
        ended += finished;
        if now.as_seconds() >= FROM {
            counted += finished;
        }
    }
    counted as f64 / (TO - FROM)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ten_pods_saturate_at_a_rate_that_this_machine_carries() {
        let pool = super::capacity() * super::COUNT as f64;
        assert!((116.0..124.0).contains(&pool), "{pool}");
    }
}
