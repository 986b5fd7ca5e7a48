//! One pool's whole state, as the stream's holder writes it for every worker.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0     32  version: agent id, epoch, sequence, taken at (ms since 1970), 8 bytes each
//!       32      8  base: the latest moment of any signal, ms
//!       40      2  p, then p bytes: the pool's name
//!               4  a, then a adapter names, each 2 bytes length and UTF-8; no name twice, in the
//!                  order of their first use
//!               4  n, then n endpoints of 136 bytes, ascending by id:
//!          0   28    id: 16 address, 2 port, 1 family (4 or 6), 1 zero, 8 generation
//!         28    1    health: 0 ready, 1 draining, 2 suspect
//!         29    1    zero
//!         30    2    which are known: bit 0 waiting, 1 running, 2 kv_usage, 3 mean_output_tokens,
//!                    4 others_in_flight, 5 step_model, 6 lora, 7 kv_block_size, 8 kv_blocks,
//!                    9 max_model_len; the others zero
//!         32    8    weight and price, f32 each
//!         40   32    four signals in the order of bits 0..3, each 4 bytes value (f32) and 4 bytes
//!                    milliseconds before base
//!         72   28    others_in_flight: 4 milliseconds before base, 4 requests, 4 prefilling,
//!                    8 tokens, 8 prefill_tokens
//!        100   16    step_model: 4 milliseconds before base, then base_us, token_us and
//!                    kv_token_us, f32 each
//!        116    8    lora: milliseconds before base, max
//!        124   12    kv_block_size, kv_blocks, max_model_len
//!                  zero where unknown
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

const RECORD_BYTES: usize = 136;

/// The bits that say which signals are known.
mod known {
    pub(super) const WAITING: u16 = 1;
    pub(super) const RUNNING: u16 = 1 << 1;
    pub(super) const KV_USAGE: u16 = 1 << 2;
    pub(super) const MEAN_OUTPUT_TOKENS: u16 = 1 << 3;
    pub(super) const OTHERS_IN_FLIGHT: u16 = 1 << 4;
    pub(super) const STEP_MODEL: u16 = 1 << 5;
    pub(super) const LORA: u16 = 1 << 6;
    pub(super) const KV_BLOCK_SIZE: u16 = 1 << 7;
    pub(super) const KV_BLOCKS: u16 = 1 << 8;
    pub(super) const MAX_MODEL_LEN: u16 = 1 << 9;
    /// Every bit that has a meaning.
    pub(super) const ALL: u16 = (1 << 10) - 1;
}
