//! The admission board of one pool: which workers hold requests back, and how important the most
//! important of them is.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0      4  n, at most 64
//!        4   n*36  per worker that holds requests: 8 owner, 8 beat in ms, 4 queue, 4 priority,
//!                  4 waiting, at least 1; 8 bytes
//! ```
//!
//! A worker without waiting requests has no row, so that the board of a pool at rest is empty.

use picker::{Millis, Priority};

use super::{
    SlotError,
    codec::{Kind, Reader, Writer},
};

/// The most rows of a board: as many as there are slots for in-flight tables.
pub const MAX_ROWS: usize = 64;
const ROW_BYTES: usize = 36;

/// What one worker says of the requests that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The root context that holds them; at most one row each.
    pub owner: u64,
    /// When the owner last showed that it lives.
    pub beat: Millis,
    /// The shared queue that wakes the owner.
    pub queue: u32,
    /// The greatest priority that waits.
    pub priority: Priority,
    /// How many requests wait, at least 1.
    pub waiting: u32,
    /// The bytes of their bodies.
    pub bytes: u64,
}

/// The slot's bytes. More than [`MAX_ROWS`] rows make a value that no reader accepts.
#[must_use]
pub fn encode(rows: &[Row]) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Board, 4 + rows.len().saturating_mul(ROW_BYTES));
    writer.count(rows.len());
    for row in rows {
        writer.u64(row.owner);
        writer.u64(row.beat.0);
        writer.u32(row.queue);
        writer.u32(row.priority.0.cast_unsigned());
        writer.u32(row.waiting);
        writer.u64(row.bytes);
    }
    writer.seal()
}

/// The rows in a slot.
///
/// # Errors
/// When the bytes are anything but what [`encode`] writes.
pub fn decode(value: &[u8]) -> Result<Vec<Row>, SlotError> {
    let mut reader = Reader::open(Kind::Board, value)?;
    let count = reader.count(MAX_ROWS, ROW_BYTES, "number of rows")?;
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    for index in 0..count {
        let row = Row {
            owner: reader.u64("owner")?,
            beat: Millis(reader.u64("beat")?),
            queue: reader.u32("queue")?,
            priority: Priority(reader.u32("priority")?.cast_signed()),
            waiting: reader.u32("waiting")?,
            bytes: reader.u64("bytes")?,
        };
        let field = match row.waiting {
            0 => Some("waiting"),
            _ if rows.iter().any(|other| other.owner == row.owner) => Some("owner"),
            _ => None,
        };
        if let Some(field) = field {
            return Err(SlotError::Field { field, index });
        }
        rows.push(row);
    }
    reader.finish()?;
    Ok(rows)
}
