//! Writing a pool's slot.

use std::{collections::BTreeMap, sync::Arc};

use picker::{
    Endpoint, Health, InFlight, LoraState, Millis, PoolSnapshot, Signal, Signals, StepModel,
};

use super::{RECORD_BYTES, known};
use crate::slot::codec::{Kind, Writer};

/// The slot's bytes.
///
/// What [`crate::mirror::PoolMirror`] holds always fits the layout. A hand-made snapshot that
/// breaks the contract (endpoints out of order, values out of range) makes a value that
/// [`super::decode`] refuses.
#[must_use]
pub fn encode(snapshot: &PoolSnapshot) -> Vec<u8> {
    let endpoints = &snapshot.endpoints;
    let base = base(endpoints);
    let table = NameTable::of(endpoints);
    let content = snapshot
        .pool
        .len()
        .saturating_add(endpoints.len().saturating_mul(RECORD_BYTES))
        .saturating_add(table.bytes)
        .saturating_add(64);
    let mut writer = Writer::new(Kind::Pool, content);
    writer.u64(snapshot.version.agent_id);
    writer.u64(snapshot.version.epoch);
    writer.u64(snapshot.version.sequence);
    writer.u64(snapshot.version.taken_at_unix_ms);
    writer.u64(base.0);
    short_text(&mut writer, &snapshot.pool);
    writer.count(table.names.len());
    for name in &table.names {
        short_text(&mut writer, name);
    }
    writer.count(endpoints.len());
    for endpoint in endpoints {
        record(&mut writer, endpoint, base);
    }
    for lora in endpoints.iter().filter_map(lora_of) {
        table.lists(&mut writer, lora);
    }
    writer.seal()
}

fn record(writer: &mut Writer, endpoint: &Endpoint, base: Millis) {
    let signals = &endpoint.signals;
    writer.id(endpoint.id);
    writer.u8(match endpoint.health {
        Health::Ready => 0,
        Health::Draining => 1,
        Health::Suspect => 2,
    });
    writer.u8(0);
    writer.u16(known_bits(signals));
    writer.f32(endpoint.weight);
    writer.f32(endpoint.price);
    let gauges = [
        signals.waiting,
        signals.running,
        signals.kv_usage,
        signals.mean_output_tokens,
    ];
    for gauge in gauges {
        writer.f32(gauge.map_or(0.0, |gauge| gauge.value));
        writer.u32(age_at(base, gauge.map(|gauge| gauge.taken_at)));
    }
    let others = signals.others_in_flight;
    let load = others.map_or(InFlight::default(), |others| others.value);
    writer.u32(age_at(base, others.map(|others| others.taken_at)));
    writer.load(load);
    let model = signals.step_model;
    let coefficients = model.map_or([0.0; 3], |model| {
        let StepModel {
            base_us,
            token_us,
            kv_token_us,
        } = model.value;
        [base_us, token_us, kv_token_us]
    });
    writer.u32(age_at(base, model.map(|model| model.taken_at)));
    for coefficient in coefficients {
        writer.f32(coefficient);
    }
    let lora = signals.lora.as_ref();
    writer.u32(age_at(base, lora.map(|lora| lora.taken_at)));
    writer.u32(lora.map_or(0, |lora| lora.value.max));
    writer.u32(signals.kv_block_size.unwrap_or(0));
    writer.u32(signals.kv_blocks.unwrap_or(0));
    writer.u32(signals.max_model_len.unwrap_or(0));
}

fn known_bits(signals: &Signals) -> u16 {
    let bit = |is_known: bool, bit: u16| if is_known { bit } else { 0 };
    bit(signals.waiting.is_some(), known::WAITING)
        | bit(signals.running.is_some(), known::RUNNING)
        | bit(signals.kv_usage.is_some(), known::KV_USAGE)
        | bit(
            signals.mean_output_tokens.is_some(),
            known::MEAN_OUTPUT_TOKENS,
        )
        | bit(signals.others_in_flight.is_some(), known::OTHERS_IN_FLIGHT)
        | bit(signals.step_model.is_some(), known::STEP_MODEL)
        | bit(signals.lora.is_some(), known::LORA)
        | bit(signals.kv_block_size.is_some(), known::KV_BLOCK_SIZE)
        | bit(signals.kv_blocks.is_some(), known::KV_BLOCKS)
        | bit(signals.max_model_len.is_some(), known::MAX_MODEL_LEN)
}

fn age_at(base: Millis, taken_at: Option<Millis>) -> u32 {
    taken_at.map_or(0, |taken_at| {
        u32::try_from(base.since(taken_at)).unwrap_or(u32::MAX)
    })
}

/// The latest moment of any signal; the origin when nothing is known.
fn base(endpoints: &[Endpoint]) -> Millis {
    fn at<T>(signal: Option<&Signal<T>>) -> Millis {
        signal.map_or(Millis(0), |signal| signal.taken_at)
    }
    endpoints
        .iter()
        .map(|endpoint| {
            let signals = &endpoint.signals;
            at(signals.waiting.as_ref())
                .max(at(signals.running.as_ref()))
                .max(at(signals.kv_usage.as_ref()))
                .max(at(signals.lora.as_ref()))
                .max(at(signals.step_model.as_ref()))
                .max(at(signals.mean_output_tokens.as_ref()))
                .max(at(signals.others_in_flight.as_ref()))
        })
        .max()
        .unwrap_or_default()
}

fn lora_of(endpoint: &Endpoint) -> Option<&LoraState> {
    endpoint.signals.lora.as_ref().map(|lora| &lora.value)
}

fn short_text(writer: &mut Writer, text: &str) {
    writer.u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    writer.bytes(text.as_bytes());
}

/// Every adapter name of the pool once, in the order of first use.
struct NameTable<'a> {
    names: Vec<&'a str>,
    index: BTreeMap<&'a str, u32>,
    /// An estimate of what names and lists will take.
    bytes: usize,
}

impl<'a> NameTable<'a> {
    fn of(endpoints: &'a [Endpoint]) -> Self {
        let mut table = Self {
            names: Vec::new(),
            index: BTreeMap::new(),
            bytes: 0,
        };
        for lora in endpoints.iter().filter_map(lora_of) {
            table.bytes = table.bytes.saturating_add(6);
            for name in lists(lora).into_iter().flatten() {
                table.add(name);
            }
        }
        table
    }

    fn add(&mut self, name: &'a str) {
        self.bytes = self.bytes.saturating_add(4);
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        if let std::collections::btree_map::Entry::Vacant(entry) = self.index.entry(name) {
            entry.insert(next);
            self.names.push(name);
            self.bytes = self.bytes.saturating_add(name.len()).saturating_add(2);
        }
    }

    fn lists(&self, writer: &mut Writer, lora: &LoraState) {
        let lists = lists(lora);
        for list in lists {
            writer.u16(u16::try_from(list.len()).unwrap_or(u16::MAX));
        }
        for name in lists.into_iter().flatten() {
            let index = self.index.get(name.as_ref()).copied();
            writer.u32(index.unwrap_or(u32::MAX));
        }
    }
}

fn lists(lora: &LoraState) -> [&[Arc<str>]; 3] {
    [&lora.active, &lora.waiting, &lora.registered]
}
