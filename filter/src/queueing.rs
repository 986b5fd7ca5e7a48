//! Requests that wait for room.
//!
//! ```text
//!   Request ---- arrives ----> worker::admission ---- goes at once -----------------> routed
//!      |                            |
//!      | Phase::Held                | held: the same Held, in the queue of the worker
//!      |                            v
//!      | <---- Fate ---- root context: on_queue_ready, on_tick
//!      |                     sent:     destination set, resumed
//!      |                     answered: 429, 503, 504
//!      '---- next callback takes the fate over; the client left: its place is free at once
//! ```
//!
//! A request is resumed and answered from the root context alone: an answer to another stream from
//! within a stream's callback would make that stream hang, and what a pair holds may not go on within
//! the callback for its end.

pub mod answer;
pub mod demand;
pub mod held;

pub use demand::Demand;
pub use held::Held;
