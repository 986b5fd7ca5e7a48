//! `key=value,key=value`: an instance on the command line.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::server::InstanceConfig;

/// All mistakes of the specifications.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", mistakes.join("\n"))]
pub struct SpecError {
    /// Each as `argument key: what is wrong, got value`.
    pub mistakes: Vec<String>,
}

/// Reads a specification over `base`. `argument` is named in mistakes.
///
/// # Errors
/// Unknown keys or values that do not parse; all are listed.
pub fn instance_config(
    argument: &str,
    spec: &str,
    base: &InstanceConfig,
) -> Result<InstanceConfig, SpecError> {
    let mut config = base.clone();
    let mut mistakes = Vec::new();
    let mut rest = spec;
    while !rest.is_empty() {
        // Faults are JSON with commas of its own, so they end the specification.
        let (pair, tail) = if rest.starts_with("faults=") {
            (rest, "")
        } else {
            rest.split_once(',').unwrap_or((rest, ""))
        };
        rest = tail;
        let result = match pair.split_once('=') {
            Some((key, value)) => {
                set(&mut config, key.trim(), value).map_err(|why| format!("{key}: {why}"))
            }
            None => Err(format!("{pair:?}: must be key=value")),
        };
        if let Err(mistake) = result {
            mistakes.push(format!("{argument} {mistake}"));
        }
    }
    if mistakes.is_empty() {
        Ok(config)
    } else {
        Err(SpecError { mistakes })
    }
}

fn parsed<T: FromStr<Err: Display>>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|error| format!("{error}, got {value:?}"))
}

fn seconds(value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(parsed(value)?).map_err(|error| format!("{error}, got {value:?}"))
}

fn set(config: &mut InstanceConfig, key: &str, value: &str) -> Result<(), String> {
    let engine = &mut config.engine;
    match key {
        "port" => config.address.set_port(parsed(value)?),
        "model" => config.model = value.to_owned(),
        "loras" => {
            config.loras = value
                .split('+')
                .filter(|name| !name.is_empty())
                .map(Into::into)
                .collect();
        }
        "speed" => engine.speed = parsed(value)?,
        "kv-blocks" => engine.kv_blocks = parsed(value)?,
        "block-size" => engine.block_tokens = parsed(value)?,
        "max-num-seqs" => engine.max_num_seqs = parsed(value)?,
        "max-num-batched-tokens" => engine.token_budget = parsed(value)?,
        "max-model-len" => engine.max_model_len = parsed(value)?,
        "max-loras" => engine.max_loras = parsed(value)?,
        "lora-load" => engine.lora_load_seconds = parsed(value)?,
        "prefix-caching" => engine.prefix_caching = parsed(value)?,
        "keep-alive" => config.keep_alive = seconds(value)?,
        "max-body" => config.max_body_bytes = parsed(value)?,
        "max-queued" => config.max_queued_requests = Some(parsed(value)?),
        "seed" => config.seed = parsed(value)?,
        "vllm-version" => config.dialect = parsed(value)?,
        "usage-details" => config.prompt_tokens_details = parsed(value)?,
        "control" => config.control = parsed(value)?,
        "faults" => {
            config.faults = serde_json::from_str(value).map_err(|error| error.to_string())?;
        }
        _ => return Err("is no known key, see --help".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::instance_config;
    use crate::server::{Dialect, InstanceConfig};

    #[test]
    fn pairs_are_read_over_the_base_and_faults_come_last() {
        let spec = r#"port=8101,speed=0.5,kv-blocks=64,loras=sql+chat,vllm-version=0.8,faults={"drain":true,"slow_factor":2}"#;
        let config = instance_config("--instance", spec, &InstanceConfig::default()).unwrap();
        assert_eq!(config.address.to_string(), "127.0.0.1:8101");
        assert_eq!((config.engine.speed, config.engine.kv_blocks), (0.5, 64));
        assert_eq!(config.loras, ["sql", "chat"]);
        assert_eq!(config.dialect, Dialect::V0_8);
        assert!(config.faults.drain && config.faults.slow_factor == 2.0);
    }

    #[test]
    fn all_mistakes_are_listed_with_their_place() {
        let spec = "port=99999,sped=1,8101,vllm-version=9";
        let error = instance_config("--instance", spec, &InstanceConfig::default()).unwrap_err();
        assert_eq!(error.mistakes.len(), 4, "{error}");
        assert_eq!(
            error.mistakes[1],
            "--instance sped: is no known key, see --help"
        );
        assert!(error.mistakes[3].contains("must be one of 0.6"), "{error}");
    }
}
