//! One pool's whole state, as the stream's holder writes it for every worker.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0     32  version: agent id, epoch, sequence, taken at (ms since 1970), 8 bytes each
//!       32      8  base: the latest moment of any signal, ms
//!       40      2  p, then p bytes: the pool's name
//!               4  a, then a adapter names, each 2 bytes length and UTF-8; no name twice, in the
//!                  order of their first use
//!               4  n, then n endpoints of 92 bytes, ascending by id:
//!          0   28    id: 16 address, 2 port, 1 family (4 or 6), 1 zero, 8 generation
//!         28    1    health: 0 ready, 1 draining, 2 suspect
//!         29    1    which are known: bit 0 waiting, 1 running, 2 kv_usage, 3 tokens_per_second,
//!                    4 others_in_flight, 5 kv_block_size, 6 kv_blocks, 7 lora
//!         30    2    zero
//!         32    4    weight, f32
//!         36   40    five signals in the order of bits 0..4, each 4 bytes value (f32, others u32)
//!                    and 4 bytes milliseconds before base; zero where unknown
//!         76    8    kv_block_size, kv_blocks; zero where unknown
//!         84    8    lora: milliseconds before base, max; zero where unknown
//!               n times, for endpoints whose lora is known: 2 bytes each for the lengths of
//!                  active, waiting, registered, then that many 4-byte indices of adapter names
//! ```
//!
//! A signal's moment is kept to the millisecond when it is less than 49 days older than the
//! youngest; an older one is remembered as 49 days older. Fixed records and one table of names keep
//! decoding near a copy: workers do it on every change.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

const RECORD_BYTES: usize = 92;

/// The bits that say which signals are known.
mod known {
    pub(super) const WAITING: u8 = 1;
    pub(super) const RUNNING: u8 = 1 << 1;
    pub(super) const KV_USAGE: u8 = 1 << 2;
    pub(super) const TOKENS_PER_SECOND: u8 = 1 << 3;
    pub(super) const OTHERS_IN_FLIGHT: u8 = 1 << 4;
    pub(super) const KV_BLOCK_SIZE: u8 = 1 << 5;
    pub(super) const KV_BLOCKS: u8 = 1 << 6;
    pub(super) const LORA: u8 = 1 << 7;
}
