//! Who holds the stream to the agent.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0      8  owner
//!        8      8  expires, ms
//! ```

use picker::Millis;

use super::{
    SlotError,
    codec::{Kind, Reader, Writer},
};

/// A root context's claim to the stream, valid until it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The root context that holds it.
    pub owner: u64,
    /// When others may take it.
    pub expires: Millis,
}

/// The slot's bytes.
#[must_use]
pub fn encode(lease: &Lease) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Lease, 16);
    writer.u64(lease.owner);
    writer.u64(lease.expires.0);
    writer.seal()
}

/// The lease in a slot.
///
/// # Errors
/// When the bytes are anything but what [`encode`] writes.
pub fn decode(value: &[u8]) -> Result<Lease, SlotError> {
    let mut reader = Reader::open(Kind::Lease, value)?;
    let lease = Lease {
        owner: reader.u64("owner")?,
        expires: Millis(reader.u64("expires")?),
    };
    reader.finish()?;
    Ok(lease)
}
