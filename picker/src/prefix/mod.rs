//! Which endpoint probably still holds the leading part of a prompt in its KV cache.
//!
//! ```text
//!   prompt bytes --PrefixHasher--> [h0 h1 h2 ...] --PrefixIndex--> matched blocks per endpoint
//!                                        ^                |
//!                                        |                v
//!                                   dispatched()        pick
//! ```
//!
//! The index is a guess from our own dispatches, not a report of the engine: every block of a
//! dispatched prompt counts as cached there until as many newer blocks have followed as the KV cache
//! can hold. What other gateways sent is not in it.
//!
//! # Memory
//!
//! A remembered block takes 16 to 32 bytes for its place in the endpoint's recency list and 6 to 12
//! for finding it there; each distinct block takes another 29 to 57 for the set of its holders, plus
//! one bit per slot of the pool when it has more than one holder. With the default of 262,144 blocks
//! in all this is at most 26 MB per worker, and less where prompts are shared. An engine that tells
//! the size of its KV cache gets no more blocks than that can hold.

mod hash;
pub(crate) mod index;
mod note;
mod table;

pub use hash::{PrefixHasher, rekey};
pub use note::PrefixNote;
