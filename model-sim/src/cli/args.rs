//! Arguments of the `model-sim` program.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Parser;

use super::spec::{SpecError, instance_config};
use crate::server::InstanceConfig;

/// Simulated model servers: many in one process, each on its own port.
///
/// Prints one line of JSON with all addresses when they are ready; SIGTERM stops it.
#[derive(Clone, Debug, Parser)]
#[command(name = "model-sim", version)]
pub struct Args {
    /// One instance, as `key=value` pairs: port=8101,speed=0.5,kv-blocks=2000. Repeat for more.
    ///
    /// Keys: port, model, loras (names joined by +), speed, kv-blocks, block-size, max-num-seqs,
    /// max-num-batched-tokens, max-model-len, max-loras, lora-load, prefix-caching, keep-alive,
    /// max-body, max-queued, seed, vllm-version (0.6, 0.8, 0.12, 0.32), usage-details, control,
    /// faults (JSON, as the last key).
    #[arg(long = "instance", value_name = "SPEC")]
    pub instances: Vec<String>,
    /// So many instances with the defaults, on consecutive ports.
    #[arg(long, default_value_t = 0)]
    pub count: u16,
    /// Port of the first of `--count` instances; 0 lets the system choose all.
    #[arg(long, default_value_t = 8101)]
    pub base_port: u16,
    /// Settings of every instance, in the form of `--instance`.
    #[arg(long, value_name = "SPEC", default_value = "")]
    pub defaults: String,
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port that controls all instances: `/sim/instances`, `/sim/<port>/faults` and so on.
    /// It works while an instance refuses connections.
    #[arg(long)]
    pub admin_port: Option<u16>,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    pub threads: u16,
}

impl Args {
    /// The configurations of all instances, at least one.
    ///
    /// # Errors
    /// A specification is wrong; all mistakes are listed.
    pub fn configs(&self) -> Result<Vec<InstanceConfig>, SpecError> {
        let mut specs: Vec<String> = self.instances.clone();
        let count = if specs.is_empty() {
            self.count.max(1)
        } else {
            self.count
        };
        for number in 0..count {
            let port = if self.base_port == 0 {
                0
            } else {
                self.base_port.saturating_add(number)
            };
            specs.push(format!("port={port}"));
        }
        let base = InstanceConfig {
            address: SocketAddr::from((self.host, 0)),
            ..Default::default()
        };
        let base = instance_config("--defaults", &self.defaults, &base)?;
        let mut configs = Vec::new();
        let mut mistakes = Vec::new();
        for spec in &specs {
            match instance_config("--instance", spec, &base) {
                Ok(config) => configs.push(config),
                Err(error) => mistakes.extend(error.mistakes),
            }
        }
        if mistakes.is_empty() {
            Ok(configs)
        } else {
            Err(SpecError { mistakes })
        }
    }
}
