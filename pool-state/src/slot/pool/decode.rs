//! Reading a pool's slot.

use std::{collections::BTreeSet, sync::Arc};

use picker::{
    Endpoint, EndpointId, Health, InFlight, LoraState, Millis, PoolSnapshot, Signal, Signals,
    SnapshotVersion, StepModel,
};

use super::{RECORD_BYTES, known};
use crate::{
    limits,
    slot::{
        SlotError,
        codec::{Kind, Reader},
    },
};

/// The snapshot in a slot. Equal adapter names share one allocation.
///
/// # Errors
/// When the bytes are anything but what [`super::encode`] writes for a snapshot that keeps the
/// contract.
pub fn decode(value: &[u8]) -> Result<PoolSnapshot, SlotError> {
    let mut reader = Reader::open(Kind::Pool, value)?;
    let version = SnapshotVersion {
        agent_id: reader.u64("agent id")?,
        epoch: reader.u64("epoch")?,
        sequence: reader.u64("sequence")?,
        taken_at_unix_ms: reader.u64("taken at")?,
    };
    let base = Millis(reader.u64("base")?);
    let pool = short_text(&mut reader, "pool name", 0)?;
    if !limits::is_pool_name(pool) {
        return Err(refused("pool name", 0));
    }
    let names = names(&mut reader)?;
    let count = reader.count(limits::MAX_ENDPOINTS, RECORD_BYTES, "number of endpoints")?;
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(count);
    let mut last: Option<EndpointId> = None;
    for index in 0..count {
        let endpoint = record(&mut reader, base, index)?;
        if last.is_some_and(|last| last >= endpoint.id) {
            return Err(refused("order by endpoint id", index));
        }
        last = Some(endpoint.id);
        endpoints.push(endpoint);
    }
    let mut first_uses = FirstUses::default();
    for (index, endpoint) in endpoints.iter_mut().enumerate() {
        if let Some(lora) = &mut endpoint.signals.lora {
            lists(&mut reader, &mut lora.value, &names, &mut first_uses, index)?;
        }
    }
    if first_uses.seen != names.len() {
        return Err(refused("use of adapter names", first_uses.seen));
    }
    reader.finish()?;
    Ok(PoolSnapshot {
        pool: pool.to_owned(),
        version,
        endpoints,
    })
}

const fn refused(field: &'static str, index: usize) -> SlotError {
    SlotError::Field { field, index }
}

fn short_text<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
    index: usize,
) -> Result<&'a str, SlotError> {
    let length = reader.u16(field)?;
    let bytes = reader.take(usize::from(length), field)?;
    std::str::from_utf8(bytes).map_err(|_| refused(field, index))
}

fn names(reader: &mut Reader<'_>) -> Result<Vec<Arc<str>>, SlotError> {
    const FIELD: &str = "adapter name";
    let count = reader.count(usize::MAX, 3, "number of adapter names")?;
    let mut names: Vec<Arc<str>> = Vec::with_capacity(count);
    let mut seen = BTreeSet::new();
    for index in 0..count {
        let name = short_text(reader, FIELD, index)?;
        if !limits::is_adapter_name(name) || !seen.insert(name) {
            return Err(refused(FIELD, index));
        }
        names.push(Arc::from(name));
    }
    Ok(names)
}

/// One endpoint's record, its LoRA lists still empty.
fn record(reader: &mut Reader<'_>, base: Millis, index: usize) -> Result<Endpoint, SlotError> {
    // One bounds check for the whole record lets the compiler drop those of its fields.
    let reader = &mut reader.part(RECORD_BYTES, "endpoint")?;
    let id = reader.id(index)?;
    let health = match reader.array("health")? {
        [0, 0] => Health::Ready,
        [1, 0] => Health::Draining,
        [2, 0] => Health::Suspect,
        _ => return Err(refused("health", index)),
    };
    let bits = reader.u16("known signals")?;
    if bits & !known::ALL != 0 {
        return Err(refused("known signals", index));
    }
    let weight = limits::weight(reader.f32("weight")?).ok_or(refused("weight", index))?;
    let price = limits::price(reader.f32("price")?).ok_or(refused("price", index))?;
    let mut fields = Fields {
        reader,
        bits,
        base,
        index,
    };
    let signals = Signals {
        waiting: fields.gauge(known::WAITING, limits::requests, "waiting")?,
        running: fields.gauge(known::RUNNING, limits::requests, "running")?,
        kv_usage: fields.gauge(known::KV_USAGE, limits::kv_usage, "kv_usage")?,
        mean_output_tokens: fields.gauge(
            known::MEAN_OUTPUT_TOKENS,
            limits::mean_output_tokens,
            "mean_output_tokens",
        )?,
        others_in_flight: fields.others_in_flight()?,
        step_model: fields.step_model()?,
        lora: fields.lora()?,
        kv_block_size: fields.constant(
            known::KV_BLOCK_SIZE,
            limits::kv_block_size,
            "kv_block_size",
        )?,
        kv_blocks: fields.constant(known::KV_BLOCKS, limits::kv_blocks, "kv_blocks")?,
        max_model_len: fields.constant(
            known::MAX_MODEL_LEN,
            limits::max_model_len,
            "max_model_len",
        )?,
    };
    Ok(Endpoint {
        id,
        health,
        weight,
        price,
        signals,
    })
}

/// The signals of one record. Where a bit says "unknown" all bytes must be zero, so that each
/// snapshot has exactly one encoding.
struct Fields<'r, 'v> {
    reader: &'r mut Reader<'v>,
    bits: u16,
    base: Millis,
    index: usize,
}

impl Fields<'_, '_> {
    fn pair(&mut self, bit: u16, field: &'static str) -> Result<Option<(u32, u32)>, SlotError> {
        let pair = (self.reader.u32(field)?, self.reader.u32(field)?);
        match (self.bits & bit != 0, pair) {
            (true, pair) => Ok(Some(pair)),
            (false, (0, 0)) => Ok(None),
            (false, _) => Err(refused(field, self.index)),
        }
    }

    fn at(&self, age_ms: u32) -> Millis {
        self.base.minus(u64::from(age_ms))
    }

    fn gauge(
        &mut self,
        bit: u16,
        check: impl Fn(f32) -> Option<f32>,
        field: &'static str,
    ) -> Result<Option<Signal<f32>>, SlotError> {
        let Some((bits, age_ms)) = self.pair(bit, field)? else {
            return Ok(None);
        };
        // What the check would change is not what the contract lets in.
        let value = check(f32::from_bits(bits))
            .filter(|value| value.to_bits() == bits)
            .ok_or(refused(field, self.index))?;
        Ok(Some(Signal::new(value, self.at(age_ms))))
    }

    fn others_in_flight(&mut self) -> Result<Option<Signal<InFlight>>, SlotError> {
        const FIELD: &str = "others_in_flight";
        let age_ms = self.reader.u32(FIELD)?;
        let load = self.reader.load(FIELD)?;
        let checked = match self.bits & known::OTHERS_IN_FLIGHT != 0 {
            true => limits::in_flight(load).map(Some),
            false => (age_ms == 0 && load == InFlight::default()).then_some(None),
        };
        let load = checked.ok_or(refused(FIELD, self.index))?;
        Ok(load.map(|load| Signal::new(load, self.at(age_ms))))
    }

    fn step_model(&mut self) -> Result<Option<Signal<StepModel>>, SlotError> {
        const FIELD: &str = "step_model";
        let age_ms = self.reader.u32(FIELD)?;
        let bits = [
            self.reader.u32(FIELD)?,
            self.reader.u32(FIELD)?,
            self.reader.u32(FIELD)?,
        ];
        let [base_us, token_us, kv_token_us] = bits.map(f32::from_bits);
        let model = StepModel {
            base_us,
            token_us,
            kv_token_us,
        };
        let checked = match self.bits & known::STEP_MODEL != 0 {
            true => limits::step_model(model)
                .filter(|model| {
                    let StepModel {
                        base_us,
                        token_us,
                        kv_token_us,
                    } = *model;
                    [base_us, token_us, kv_token_us].map(f32::to_bits) == bits
                })
                .map(Some),
            false => (age_ms == 0 && bits == [0; 3]).then_some(None),
        };
        let model = checked.ok_or(refused(FIELD, self.index))?;
        Ok(model.map(|model| Signal::new(model, self.at(age_ms))))
    }

    fn constant(
        &mut self,
        bit: u16,
        check: impl Fn(u32) -> Option<u32>,
        field: &'static str,
    ) -> Result<Option<u32>, SlotError> {
        let value = self.reader.u32(field)?;
        match (self.bits & bit != 0, value) {
            (false, 0) => Ok(None),
            (true, value) => check(value).map(Some).ok_or(refused(field, self.index)),
            (false, _) => Err(refused(field, self.index)),
        }
    }

    fn lora(&mut self) -> Result<Option<Signal<LoraState>>, SlotError> {
        let pair = self.pair(known::LORA, "lora")?;
        Ok(pair.map(|(age_ms, max)| {
            let state = LoraState {
                max,
                ..LoraState::default()
            };
            Signal::new(state, self.at(age_ms))
        }))
    }
}

/// Checks that the table's names stand in the order of their first use and none is unused.
#[derive(Default)]
struct FirstUses {
    seen: usize,
}

impl FirstUses {
    const fn allows(&mut self, index: usize) -> bool {
        if index == self.seen {
            self.seen = self.seen.saturating_add(1);
        }
        index < self.seen
    }
}

fn lists(
    reader: &mut Reader<'_>,
    lora: &mut LoraState,
    names: &[Arc<str>],
    first_uses: &mut FirstUses,
    index: usize,
) -> Result<(), SlotError> {
    const FIELD: &str = "lora lists";
    let lengths = [
        usize::from(reader.u16(FIELD)?),
        usize::from(reader.u16(FIELD)?),
        usize::from(reader.u16(FIELD)?),
    ];
    let lists = [&mut lora.active, &mut lora.waiting, &mut lora.registered];
    for (list, length) in lists.into_iter().zip(lengths) {
        if length > limits::MAX_ADAPTERS {
            return Err(refused(FIELD, index));
        }
        let references = reader.take(length.saturating_mul(4), FIELD)?;
        list.reserve_exact(length);
        for reference in references.chunks_exact(4) {
            let reference: [u8; 4] = reference.try_into().map_err(|_| refused(FIELD, index))?;
            let reference = usize::try_from(u32::from_le_bytes(reference))
                .map_err(|_| refused(FIELD, index))?;
            let name = names
                .get(reference)
                .filter(|_| first_uses.allows(reference));
            list.push(Arc::clone(name.ok_or(refused(FIELD, index))?));
        }
    }
    Ok(())
}
