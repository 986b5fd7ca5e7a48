//! How many requests the engines of one pool run at once, as the worker that leads learned it.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0      4  n, at most 65,536
//!        4   n*32  per endpoint of which that is known: 28 id as in the pool's state, 4 requests, at
//!                  least 1
//! ```

use picker::EndpointId;

use super::{
    SlotError,
    codec::{ID_BYTES, Kind, Reader, Writer},
};

/// The most endpoints of one pool.
const MAX_ENDPOINTS: usize = 65_536;
const ENTRY_BYTES: usize = ID_BYTES + 4;

/// The slot's bytes.
#[must_use]
pub fn encode(limits: &[(EndpointId, u32)]) -> Vec<u8> {
    let content = 4 + limits.len().saturating_mul(ENTRY_BYTES);
    let mut writer = Writer::new(Kind::Sequences, content);
    writer.count(limits.len());
    for (id, limit) in limits {
        writer.id(*id);
        writer.u32(*limit);
    }
    writer.seal()
}

/// The limits in a slot.
///
/// # Errors
/// When the bytes are anything but what [`encode`] writes.
pub fn decode(value: &[u8]) -> Result<Vec<(EndpointId, u32)>, SlotError> {
    let mut reader = Reader::open(Kind::Sequences, value)?;
    let count = reader.count(MAX_ENDPOINTS, ENTRY_BYTES, "number of endpoints")?;
    let mut limits = Vec::with_capacity(count);
    for index in 0..count {
        let id = reader.id(index)?;
        let limit = reader.u32("limit")?;
        if limit == 0 {
            return Err(SlotError::Field {
                field: "limit",
                index,
            });
        }
        limits.push((id, limit));
    }
    reader.finish()?;
    Ok(limits)
}
