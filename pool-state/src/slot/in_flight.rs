//! One worker's own in-flight counts, which the other workers add to theirs.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0      8  owner
//!        8      8  beat, ms
//!       16      4  n, at most 65,536
//!       20   n*52  per endpoint with load: 16 address, 2 port, 1 family, 1 zero, 8 generation,
//!                  4 requests, 4 prefilling, 8 tokens, 8 prefill tokens
//! ```

use picker::{EndpointId, InFlight, Millis};

use super::{
    SlotError,
    codec::{self, ID_BYTES, Kind, Reader, Writer},
};

/// The most endpoints in one table, over all pools.
pub const MAX_LOADS: usize = 65_536;
const ENTRY_BYTES: usize = ID_BYTES + codec::LOAD_BYTES;
/// Where the number of loads stands in the content.
const COUNT_AT: usize = 16;
const HEAD_BYTES: usize = COUNT_AT + 4;

/// What one worker has in flight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InFlightTable {
    /// The root context that owns the table. A reloaded VM is another owner, so that what the dead
    /// one had in flight goes with it.
    pub owner: u64,
    /// When the owner last showed that it lives; readers ignore tables with an old beat.
    pub beat: Millis,
    /// The endpoints with load. A reader adds entries of one endpoint up.
    pub loads: Vec<(EndpointId, InFlight)>,
}

/// The slot's bytes. More than [`MAX_LOADS`] entries make a value that no reader accepts.
#[must_use]
pub fn encode(table: &InFlightTable) -> Vec<u8> {
    let mut writer = TableWriter::new(Vec::new(), table.owner, table.beat, table.loads.len());
    for (id, load) in &table.loads {
        writer.push(*id, *load);
    }
    writer.seal()
}

/// Writes a table load by load, without an [`InFlightTable`] and into memory that is used again and
/// again: a worker does this at every change of its load, twice a request.
#[derive(Debug)]
pub struct TableWriter {
    writer: Writer,
    count: usize,
}

impl TableWriter {
    /// A table without loads, written over the content of `buffer`. There should be as many loads
    /// as `expected`, so that the memory is asked for only once.
    #[must_use]
    pub fn new(buffer: Vec<u8>, owner: u64, beat: Millis, expected: usize) -> Self {
        let content = HEAD_BYTES.saturating_add(expected.saturating_mul(ENTRY_BYTES));
        let mut writer = Writer::reusing(buffer, Kind::InFlight, content);
        writer.u64(owner);
        writer.u64(beat.0);
        writer.count(0);
        Self { writer, count: 0 }
    }

    /// Adds what one endpoint has in flight.
    pub fn push(&mut self, endpoint: EndpointId, load: InFlight) {
        self.count = self.count.saturating_add(1);
        self.writer.loaded_id(endpoint, load);
    }

    /// The slot's bytes, in the memory of the buffer.
    #[must_use]
    pub fn seal(mut self) -> Vec<u8> {
        self.writer.count_at(COUNT_AT, self.count);
        self.writer.seal()
    }
}

/// The table in a slot.
///
/// # Errors
/// When the bytes are anything but what [`encode`] writes.
pub fn decode(value: &[u8]) -> Result<InFlightTable, SlotError> {
    let mut reader = Reader::open(Kind::InFlight, value)?;
    let owner = reader.u64("owner")?;
    let beat = Millis(reader.u64("beat")?);
    let count = reader.count(MAX_LOADS, ENTRY_BYTES, "number of loads")?;
    let mut loads = Vec::with_capacity(count);
    for index in 0..count {
        // One bounds check for the whole entry lets the compiler drop those of its fields.
        let mut entry = reader.part(ENTRY_BYTES, "load")?;
        let id = entry.id(index)?;
        loads.push((id, entry.load("load")?));
    }
    reader.finish()?;
    Ok(InFlightTable { owner, beat, loads })
}
