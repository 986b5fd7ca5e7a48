//! What one worker lately noted about the prompts it sent, for the other workers of this Envoy.
//!
//! ```text
//!   worker A: push, push, push --encode--> slot A --+
//!   worker B: push, push       --encode--> slot B --+--> every other worker: news
//!
//!   offset  bytes  after the frame's header
//!        0      8  owner
//!        8      8  sequence of the first note; the others follow without a gap
//!       16      4  n, at most 186
//!       20         n notes, oldest first:
//!
//!        0     28  endpoint: 16 address, 2 port, 1 family, 1 zero, 8 generation
//!       28      2  blocks b, at most 512
//!       30      2  cached blocks, at most b
//!       32      1  1 if there is a turn, else 0
//!       33      3  zero
//!       36      8  the turn, zero if there is none
//!       44    b*8  chained hashes of the leading blocks
//! ```
//!
//! The log is bounded by [`MAX_NOTES_BYTES`]; the oldest notes fall out. A reader that looks too
//! seldom misses some and learns how many: a missed note costs a worse guess where a prompt is cached
//! and nothing else.

mod reader;
mod writer;

use picker::{EndpointId, PrefixNote};

pub use self::{
    reader::{LogReader, MAX_OWNERS, News},
    writer::LogWriter,
};
use super::{
    SlotError,
    codec::{CHECKSUM_BYTES, HEADER_BYTES, ID_BYTES, Kind, Reader, Writer},
};

/// The most bytes that the notes of a log take. The log is encoded at every dispatch and read by all
/// other workers, each time with its checksum.
pub const MAX_NOTES_BYTES: usize = 8_192;
/// The most blocks of one note; of longer prompts the leading ones are noted.
pub const MAX_NOTE_BLOCKS: usize = 512;
/// Bytes of a note before its blocks.
const NOTE_BYTES: usize = ID_BYTES + 2 + 2 + 1 + 3 + 8;
/// The most notes of a log: as many as fit without a block.
pub const MAX_NOTES: usize = MAX_NOTES_BYTES / NOTE_BYTES;
/// Owner, first sequence and number of notes.
const HEAD_BYTES: usize = 8 + 8 + 4;
const MAX_VALUE_BYTES: usize = HEADER_BYTES + HEAD_BYTES + MAX_NOTES_BYTES + CHECKSUM_BYTES;

/// The last notes of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrefixLog {
    /// The root context that owns the log. A reloaded VM is another owner.
    pub owner: u64,
    /// The sequence of the first note; each further note has the next one.
    pub first_sequence: u64,
    /// The notes, oldest first.
    pub notes: Vec<PrefixNote>,
}

/// The slot's bytes. What exceeds [`MAX_NOTES`], [`MAX_NOTES_BYTES`] or [`MAX_NOTE_BLOCKS`], or has
/// more cached blocks than blocks, makes a value that no reader accepts.
#[must_use]
pub fn encode(log: &PrefixLog) -> Vec<u8> {
    let blocks: usize = log.notes.iter().map(|note| note.prefix.len()).sum();
    let notes_bytes = log.notes.len() * NOTE_BYTES + blocks * 8;
    let mut writer = begin(log.owner, log.first_sequence, log.notes.len(), notes_bytes);
    for note in &log.notes {
        write(&mut writer, note);
    }
    writer.seal()
}

/// The log in a slot.
///
/// # Errors
/// When the bytes are anything but what [`encode`] writes.
pub fn decode(value: &[u8]) -> Result<PrefixLog, SlotError> {
    let mut opened = Opened::open(value)?;
    let mut notes = Vec::with_capacity(opened.count);
    for index in 0..opened.count {
        notes.push(opened.note(index)?.to_note());
    }
    opened.reader.finish()?;
    Ok(PrefixLog {
        owner: opened.owner,
        first_sequence: opened.first_sequence,
        notes,
    })
}

/// The beginning of a slot's bytes; `notes_bytes` follow.
fn begin(owner: u64, first_sequence: u64, count: usize, notes_bytes: usize) -> Writer {
    let mut writer = Writer::new(Kind::PrefixLog, HEAD_BYTES.saturating_add(notes_bytes));
    writer.u64(owner);
    writer.u64(first_sequence);
    writer.count(count);
    writer
}

fn write(writer: &mut Writer, note: &PrefixNote) {
    writer.id(note.endpoint);
    writer.u16(u16::try_from(note.prefix.len()).unwrap_or(u16::MAX));
    writer.u16(u16::try_from(note.cached_blocks).unwrap_or(u16::MAX));
    writer.bytes(&[u8::from(note.turn.is_some()), 0, 0, 0]);
    writer.u64(note.turn.unwrap_or(0));
    for hash in &note.prefix {
        writer.u64(*hash);
    }
}

/// A log whose frame and head were checked, before its notes.
struct Opened<'a> {
    reader: Reader<'a>,
    owner: u64,
    first_sequence: u64,
    count: usize,
}

impl<'a> Opened<'a> {
    fn open(value: &'a [u8]) -> Result<Self, SlotError> {
        // Before the checksum, which takes time by length.
        if value.len() > MAX_VALUE_BYTES {
            return Err(field("notes", 0));
        }
        let mut reader = Reader::open(Kind::PrefixLog, value)?;
        let owner = reader.u64("owner")?;
        let first_sequence = reader.u64("first sequence")?;
        let count = reader.count(MAX_NOTES, NOTE_BYTES, "number of notes")?;
        if first_sequence.checked_add(count as u64).is_none() {
            return Err(field("first sequence", 0));
        }
        Ok(Self {
            reader,
            owner,
            first_sequence,
            count,
        })
    }

    /// The next note, the one at `index`.
    fn note(&mut self, index: usize) -> Result<Found<'a>, SlotError> {
        let reader = &mut self.reader;
        let endpoint = reader.id(index)?;
        let blocks = reader.u16("blocks")?;
        let cached_blocks = reader.u16("cached blocks")?;
        let flags = reader.array::<4>("turn")?;
        let turn = reader.u64("turn")?;
        let turn = match (flags, turn) {
            ([1, 0, 0, 0], turn) => Some(turn),
            ([0, 0, 0, 0], 0) => None,
            _ => return Err(field("turn", index)),
        };
        if usize::from(blocks) > MAX_NOTE_BLOCKS {
            return Err(field("blocks", index));
        }
        if cached_blocks > blocks {
            return Err(field("cached blocks", index));
        }
        Ok(Found {
            endpoint,
            turn,
            cached_blocks: u32::from(cached_blocks),
            hashes: reader.take(usize::from(blocks) * 8, "blocks")?,
        })
    }
}

/// A checked note whose blocks are still bytes.
struct Found<'a> {
    endpoint: EndpointId,
    turn: Option<u64>,
    cached_blocks: u32,
    hashes: &'a [u8],
}

impl Found<'_> {
    fn to_note(&self) -> PrefixNote {
        let (hashes, _) = self.hashes.as_chunks::<8>();
        PrefixNote {
            endpoint: self.endpoint,
            prefix: hashes
                .iter()
                .map(|hash| u64::from_le_bytes(*hash))
                .collect(),
            turn: self.turn,
            cached_blocks: self.cached_blocks,
        }
    }
}

const fn field(field: &'static str, index: usize) -> SlotError {
    SlotError::Field { field, index }
}

#[cfg(test)]
mod tests;
