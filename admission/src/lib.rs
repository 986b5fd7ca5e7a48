//! Admission: who waits and who is refused when demand passes what the pool can do.
//!
//! Pure by construction, like the picker: no I/O, no clock, no randomness, no host calls. Whatever it
//! needs of its worker comes through [`Site`], so that the filter, the simulator and the model of
//! several workers all run the very same code.
//!
//! ```text
//!   request --> arrive --+-- room, nobody before it ------------------> Go
//!                        +-- sheddable, predicted TTFT over target ---> Refused (429)
//!                        +-- a bound of the queue is reached ---------> Refused (429)
//!                        '-- else --> Queue: priority > fairness > order
//!                                       |            ^
//!        board: who waits, how important|            | woken by whoever frees room, or the 20 ms tick
//!        claim: one plan at a time      v            |
//!                                     plan: the first 32, costed in order -----> Dispatch
//!                                     sweep: deadlines, sheddable held too long -> Refuse (429, 503, 504)
//! ```
//!
//! A held request is bound to no endpoint: when room frees, the picker costs it anew with those ahead of
//! it counted, and it goes only if the best endpoint has room. So the affinity of prefixes and adapters
//! survives the queue.

mod admission;
mod backpressure;
mod board;
mod config;
mod drain;
mod effect;
mod queue;
mod refusal;
mod room;
pub mod saturation;
mod sequences;
mod site;

pub use admission::{Admission, Arrival, Arrived};
pub use backpressure::Backpressure;
pub use config::{AdmissionConfig, Bound, Bounds, HoldBack, Measure, Order, RawAdmissionConfig};
pub use effect::{Dispatch, Effect};
pub use queue::{Full, Queue, Ticket, Waiting};
pub use refusal::{Reason, Refusal};
pub use room::{Limits, Room};
pub use sequences::SequenceLimits;
pub use site::{Guard, Shared, Site};
