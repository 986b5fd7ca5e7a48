//! A number that moves whenever another slot was written, cheap enough to look at per request.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0      8  version
//! ```

use super::{
    SlotError,
    codec::{Kind, Reader, Writer},
};

/// The slot's bytes.
#[must_use]
pub fn encode(version: u64) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Version, 8);
    writer.u64(version);
    writer.seal()
}

/// The version in a slot.
///
/// # Errors
/// When the bytes are anything but what [`encode`] writes.
pub fn decode(value: &[u8]) -> Result<u64, SlotError> {
    let mut reader = Reader::open(Kind::Version, value)?;
    let version = reader.u64("version")?;
    reader.finish()?;
    Ok(version)
}
