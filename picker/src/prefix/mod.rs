//! Which endpoint probably still holds the leading part of a prompt in its KV cache.
//!
//! ```text
//!   canonical prompt --PrefixHasher--> [h0 h1 h2 ...] chained hashes of its blocks
//!                                      [t0 t1 ...]    hashes at its messages' ends (turns)
//!                                           |
//!        +----------------------------------+---------------------------------+
//!        | pick: match                                                        | dispatched: insert
//!        v                                                                    v
//!   endpoint A  [tags of h0 h1 h2 h3 .. | t2 ..]   bytes 0..1,024            (where it went)
//!   endpoint B  [tags of h0 h1 ..       |    ..]   bytes 0..  512
//!   endpoint C  -                                  nothing
//!                        ^
//!                        +-- PrefixNote: what the other workers of this Envoy sent, and corrections
//! ```
//!
//! # What it knows
//!
//! Every block of a dispatched prompt counts as cached where it went until about as many newer blocks
//! have followed as that engine's KV cache can hold: the blocks the engine tells, times the text of a
//! token, learned from `usage`. A match runs from the first block to the first that is missing and is
//! told in bytes. Tail blocks are touched before head blocks, so that a tail never outlives its head
//! and the end of a match is found by halving.
//!
//! **Generated text.** No answer is read. The last turn of a dispatched chat is remembered with its
//! blocks; when a later request repeats that turn, the message behind it is what this very endpoint
//! generated, and the match reaches to that message's end. An approximation in three ways: a client may
//! have edited the answer; an answer that broke off counts as whole once the client sends it whole;
//! and a message of another endpoint that followed the same turn counts too, if both were asked the
//! same.
//!
//! **Corrections.** When an engine tells that clearly less of a prompt was cached than was believed,
//! the rest is forgotten ([`PrefixNote::corrected`]). A restarted pod has another generation and thus
//! begins empty.
//!
//! # What it does not know
//!
//! What other gateways sent: they agree on where new prompts go by [`crate::rendezvous`] instead. What
//! an engine evicted early, until an answer tells. What lies beyond the hashed window
//! ([`crate::config::PrefixConfig::max_bytes`]) or in a last block that is not whole.
//!
//! # Memory
//!
//! Each worker has an index of its own. An endpoint takes no memory until its first prompt comes, then
//! 5 bytes for each block that it may hold (4 for a tag, a quarter more places than blocks), whether
//! they are in use or not: 150 KB for 30,000 blocks, 15 MB for 100 such endpoints, 120 MB in 8
//! workers. [`crate::config::PrefixConfig::total_blocks`] bounds all endpoints together; a pool that
//! grows may for a while hold up to twice that, until its old endpoints get prompts again.
//!
//! Blocks of 256 bytes: half as long ones would double the memory, the notes and the hashing work for
//! the 64 bytes of a match that they would find more on average; twice as long ones would lose twice as
//! much of every match, and a chat's first request is often shorter than 512 bytes.

mod hash;
mod holders;
pub(crate) mod index;
mod note;
mod table;

pub use hash::{PrefixHasher, rekey};
pub use note::PrefixNote;
