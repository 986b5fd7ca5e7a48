//! The binary layout of the values in Envoy's shared data, by which the VMs of one process (and no
//! two processes) talk to each other.
//!
//! What is read is treated as input: another plugin with the same `vm_id` can write here, and so
//! can an older build of this one. Every value is framed, and anything that is not exactly what
//! [`encode`](pool::encode) would have written is refused with a [`SlotError`].
//!
//! ```text
//!   offset  bytes  all numbers little-endian
//!        0      4  magic "zhps"
//!        4      1  kind: 1 pool, 2 in-flight table, 3 lease, 4 version, 5 prefix log,
//!                6 policy, 7 admission board, 8 sequence limits
//!        5      1  layout version, 2
//!        6      2  zero
//!        8      4  length of the whole value in bytes
//!       12      n  the kind's own layout (see its module)
//!     12+n      8  xxh64 of the bytes before it, seeded with the layout version
//! ```
//!
//! Times are milliseconds of the process's monotonic clock, which all its threads share.

pub mod board;
mod codec;
pub mod in_flight;
pub mod lease;
pub mod policy;
pub mod pool;
pub mod prefix_log;
pub mod sequences;
pub mod version;

/// Why a value of shared data was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The key exists but nothing was written yet.
    #[error("the value is empty")]
    Empty,
    /// Too short for a frame, or the frame's content ends early.
    #[error("the value ends after {length} bytes, inside {field}")]
    Truncated {
        /// The length of the value.
        length: usize,
        /// What was being read.
        field: &'static str,
    },
    /// Not a value of ours.
    #[error("the value does not begin with the magic number")]
    Magic,
    /// A value of ours for another purpose.
    #[error("kind {expected} was expected, got {got}")]
    Kind {
        /// The kind that was asked for.
        expected: u8,
        /// The kind that the value states.
        got: u8,
    },
    /// Written by a build with another layout.
    #[error("layout version {expected} was expected, got {got}")]
    Layout {
        /// The version this build writes.
        expected: u8,
        /// The version that the value states.
        got: u8,
    },
    /// Longer or shorter than it says of itself.
    #[error("the value states {stated} bytes, got {actual}")]
    Length {
        /// The length that the value states.
        stated: u32,
        /// The length it has.
        actual: usize,
    },
    /// Changed after it was written.
    #[error("the checksum does not match")]
    Checksum,
    /// A field holds what its layout does not allow.
    #[error("{field} of element {index} is not allowed")]
    Field {
        /// The field.
        field: &'static str,
        /// The element it belongs to, from 0; 0 for fields outside lists.
        index: usize,
    },
    /// Bytes are left over between content and checksum.
    #[error("{0} bytes are left over after the last field")]
    Trailing(usize),
}

#[cfg(test)]
mod tests;
