//! The pools of the resources as discovery knows pools.

use std::{collections::HashSet, sync::Arc};

use inference_api::{Compiled, CompiledPool};

use crate::{
    config::{Config, Endpoint, Engine, Host, MAX_ENDPOINTS, MAX_POOLS, MetricsPlace, Pool},
    scrape::Dialect,
};

/// The configuration with the pools of the resources, and why some of them are not in it, a line
/// each. The pools of the file go first.
#[must_use]
pub fn combined(config: &Config, compiled: &Compiled) -> (Config, Vec<String>) {
    let mut combined = config.clone();
    let mut mistakes = Vec::new();
    let names: HashSet<Arc<str>> = config
        .pools
        .iter()
        .map(|pool| Arc::clone(&pool.name))
        .collect();
    let mut endpoints: usize = config.pools.iter().map(|pool| pool.endpoints.len()).sum();
    for compiled in &compiled.pools {
        let name = &compiled.name;
        endpoints = endpoints.saturating_add(compiled.endpoints.len());
        if names.contains(name.as_str()) {
            mistakes.push(format!(
                "the configuration file has a pool `{name}` of its own"
            ));
        } else if combined.pools.len() >= MAX_POOLS {
            mistakes.push(format!(
                "pool `{name}`: at most {MAX_POOLS} pools are allowed"
            ));
        } else if endpoints > MAX_ENDPOINTS {
            mistakes.push(format!(
                "pool `{name}`: at most {MAX_ENDPOINTS} endpoints are allowed in all pools"
            ));
        } else {
            combined.pools.push(pool(compiled));
        }
    }
    (combined, mistakes)
}

fn pool(compiled: &CompiledPool) -> Pool {
    Pool {
        name: Arc::from(compiled.name.as_str()),
        endpoints: compiled.endpoints.iter().map(endpoint).collect(),
    }
}

fn endpoint(endpoint: &inference_api::Endpoint) -> Endpoint {
    let name = match &endpoint.uid {
        Some(uid) => format!("{}/{uid}", endpoint.name),
        None => endpoint.name.clone(),
    };
    // A label of a pod is nothing to refuse a pool for: an unknown engine is looked at.
    let engine = endpoint.engine.as_deref();
    let engine = engine.filter(|name| Dialect::builtin(name).is_some());
    Endpoint {
        host: match &endpoint.host {
            inference_api::Host::Ip(ip) => Host::Ip(ip.to_canonical()),
            inference_api::Host::Name(name) => Host::Name(name.clone()),
        },
        port: endpoint.port,
        name: Some(Arc::from(name)),
        weight: 1.0,
        price: 1.0,
        labels: Arc::new(endpoint.labels.clone()),
        engine: engine.map_or_else(Engine::auto, |name| Engine {
            name: Arc::from(name),
            custom: None,
        }),
        metrics: MetricsPlace::default(),
    }
}
