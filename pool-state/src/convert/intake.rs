//! The gateway's side: endpoints of a message into the picker's types.

use std::{collections::BTreeSet, sync::Arc};

use picker::{Endpoint, Health, InFlight, LoraState, Millis, Signal, Signals, StepModel};

use super::{id_from_proto, report::in_flight_from_proto};
use crate::{
    error::{ContractError, Problem},
    limits, proto,
};

/// One endpoint, checked: see [`Intake::endpoint`]. For single endpoints, where nothing is shared
/// and nobody counts refused signals.
///
/// # Errors
/// When the endpoint's identity is missing or malformed.
pub fn endpoint_from_proto(
    raw: proto::Endpoint,
    received_at: Millis,
) -> Result<Endpoint, ContractError> {
    Intake::new(received_at).endpoint(raw)
}

/// Takes in the endpoints of one message: shares equal adapter names between them and counts the
/// signals that had to be refused.
#[derive(Debug)]
pub struct Intake {
    received_at: Millis,
    names: BTreeSet<Arc<str>>,
    refused_signals: u32,
}

impl Intake {
    /// For a message that arrived at `received_at` on the receiver's clock.
    #[must_use]
    pub const fn new(received_at: Millis) -> Self {
        Self {
            received_at,
            names: BTreeSet::new(),
            refused_signals: 0,
        }
    }

    /// How many signals of this message were outside their range and are now unknown.
    #[must_use]
    pub const fn refused_signals(&self) -> u32 {
        self.refused_signals
    }

    /// One endpoint. A signal outside its range (see [`crate::limits`]) becomes unknown and is
    /// counted; so is an unknown health state, which is read as suspect, and a weight or price out
    /// of range, which is read as 1. An unspecified health is ready. A signal that is older than the
    /// receiver's clock can express counts as taken at that clock's origin.
    ///
    /// # Errors
    /// When the endpoint's identity is missing or malformed.
    pub fn endpoint(&mut self, raw: proto::Endpoint) -> Result<Endpoint, ContractError> {
        let id = raw.id.ok_or_else(|| Problem::Missing.at("id"))?;
        let id = id_from_proto(&id).map_err(|error| error.within("id"))?;
        Ok(Endpoint {
            id,
            health: self.health(raw.health),
            weight: self.factor(raw.weight, limits::weight),
            price: self.factor(raw.price, limits::price),
            signals: Signals {
                waiting: self.gauge(raw.waiting, limits::requests),
                running: self.gauge(raw.running, limits::requests),
                kv_usage: self.gauge(raw.kv_usage, limits::kv_usage),
                lora: self.lora(raw.lora),
                others_in_flight: self.others_in_flight(raw.others_in_flight),
                step_model: self.step_model(raw.step_model),
                mean_output_tokens: self.gauge(raw.mean_output_tokens, limits::mean_output_tokens),
                kv_block_size: self.constant(raw.kv_block_size, limits::kv_block_size),
                kv_blocks: self.constant(raw.kv_blocks, limits::kv_blocks),
                max_model_len: self.constant(raw.max_model_len, limits::max_model_len),
            },
        })
    }

    fn health(&mut self, raw: i32) -> Health {
        match proto::Health::try_from(raw) {
            Ok(proto::Health::Unspecified | proto::Health::Ready) => Health::Ready,
            Ok(proto::Health::Draining) => Health::Draining,
            Ok(proto::Health::Suspect) => Health::Suspect,
            Err(_) => {
                self.refuse();
                Health::Suspect
            }
        }
    }

    /// A weight or price.
    fn factor(&mut self, raw: f32, check: fn(f32) -> Option<f32>) -> f32 {
        if raw == 0.0 {
            return 1.0;
        }
        check(raw).unwrap_or_else(|| {
            self.refuse();
            1.0
        })
    }

    fn gauge(
        &mut self,
        raw: Option<proto::Gauge>,
        check: fn(f32) -> Option<f32>,
    ) -> Option<Signal<f32>> {
        let raw = raw?;
        self.signal(check(raw.value), raw.age_ms)
    }

    fn others_in_flight(&mut self, raw: Option<proto::OthersInFlight>) -> Option<Signal<InFlight>> {
        let raw = raw?;
        let load = in_flight_from_proto(raw.load.unwrap_or_default());
        self.signal(limits::in_flight(load), raw.age_ms)
    }

    fn step_model(&mut self, raw: Option<proto::StepModel>) -> Option<Signal<StepModel>> {
        let raw = raw?;
        let model = StepModel {
            base_us: raw.base_us,
            token_us: raw.token_us,
            kv_token_us: raw.kv_token_us,
        };
        self.signal(limits::step_model(model), raw.age_ms)
    }

    /// What a check left of a value.
    fn signal<T>(&mut self, checked: Option<T>, age_ms: u32) -> Option<Signal<T>> {
        let taken_at = self.received_at.minus(u64::from(age_ms));
        if checked.is_none() {
            self.refuse();
        }
        checked.map(|value| Signal::new(value, taken_at))
    }

    fn constant(&mut self, raw: Option<u32>, check: fn(u32) -> Option<u32>) -> Option<u32> {
        let checked = check(raw?);
        if checked.is_none() {
            self.refuse();
        }
        checked
    }

    fn lora(&mut self, raw: Option<proto::Lora>) -> Option<Signal<LoraState>> {
        let raw = raw?;
        let taken_at = self.received_at.minus(u64::from(raw.age_ms));
        let lists = [&raw.active, &raw.waiting, &raw.registered];
        let credible = lists.iter().all(|list| {
            list.len() <= limits::MAX_ADAPTERS
                && list.iter().all(|name| limits::is_adapter_name(name))
        });
        if !credible {
            self.refuse();
            return None;
        }
        let [active, waiting, registered] = lists.map(|list| self.shared(list));
        let state = LoraState {
            active,
            waiting,
            registered,
            max: raw.max,
        };
        Some(Signal::new(state, taken_at))
    }

    fn shared(&mut self, names: &[String]) -> Vec<Arc<str>> {
        names
            .iter()
            .map(|name| {
                if let Some(known) = self.names.get(name.as_str()) {
                    return Arc::clone(known);
                }
                let name: Arc<str> = Arc::from(name.as_str());
                self.names.insert(Arc::clone(&name));
                name
            })
            .collect()
    }

    const fn refuse(&mut self) {
        self.refused_signals = self.refused_signals.saturating_add(1);
    }
}
