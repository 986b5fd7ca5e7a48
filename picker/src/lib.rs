//! The routing decision of zerohop: which endpoint of an InferencePool gets this request.
//!
//! Pure by construction: no I/O, no clock, no randomness of its own, no host calls, no async.
//! Time comes in as [`Millis`], randomness as [`Entropy`], so that the filter in Envoy's V8, the
//! simulator, the tests and the benches all run the very same decision and can replay it.
//!
//! ```text
//!   PoolSnapshot (agent)      in-flight ledger (all workers of this Envoy)
//!          \                     /
//!           v                   v
//!        PoolView { endpoints, local, now }    ---+
//!                                                  |      Entropy (ties)
//!   RequestFacts { model, prefix, size } --------> Picker --------------> Decision
//!                                                                        { endpoints, reason }
//! ```

pub mod breaker;
mod candidates;
pub mod config;
pub mod decision;
pub mod endpoint;
pub mod entropy;
#[cfg(feature = "explain")]
pub mod explain;
pub mod freshness;
pub mod learn;
pub mod ledger;
pub mod picker;
pub mod policy;
pub mod prefix;
pub mod rendezvous;
pub mod request;
mod roster;
mod score;
pub mod signal;
pub mod snapshot;
pub mod step_model;
pub mod time;
pub mod view;

pub use breaker::Breaker;
pub use config::{PickerConfig, RawPickerConfig};
pub use decision::{Decision, Estimate, MAX_CHOICES, Reason};
pub use endpoint::{Endpoint, EndpointId, Health};
pub use entropy::{Entropy, SplitMix64};
pub use learn::Completion;
pub use ledger::Ledger;
pub use picker::Picker;
pub use prefix::{PrefixHasher, PrefixNote};
pub use request::{Criticality, Priority, RequestFacts, SubsetEntry, Turn};
pub use signal::{LoraState, Signal, Signals};
pub use snapshot::{PoolSnapshot, SnapshotVersion};
pub use step_model::StepModel;
pub use time::Millis;
pub use view::{InFlight, LocalState, PoolView};
