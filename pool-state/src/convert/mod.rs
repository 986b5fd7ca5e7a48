//! Between the protobuf messages and the picker's types, with every check on the way in.
//!
//! ```text
//!   agent                                   gateway
//!   PoolSnapshot --snapshot_to_proto-->  Snapshot --PoolMirror (Intake)--> PoolSnapshot
//!   old, new     --delta_to_proto---->   Delta    --PoolMirror (Intake)--> PoolSnapshot
//!   Policy       --policy_to_proto-->    Policy   --policy_from_proto---> PolicyView
//!   loads       <--report_from_proto--  InFlightReport <--report_to_proto-- loads
//!   Sheds       <--sheds_from_proto---  ShedReport <------sheds_to_proto--- total
//! ```
//!
//! Two kinds of mistakes are told apart. A bad *identity* (address, port, pool, version) refuses
//! the whole message: acting on it could send traffic to the wrong place. A bad *signal* becomes
//! unknown and is counted: the endpoint is still there and can still be picked by load.
//!
//! Times travel as ages, because the clocks of the two machines need not agree: the sender takes
//! the age at sending, the receiver counts back from its own clock.

mod delta;
mod hello;
mod identity;
mod intake;
mod outgoing;
mod policy;
mod report;
mod sheds;

pub use delta::delta_to_proto;
pub use hello::{Hello, hello_from_proto, hello_to_proto};
pub use identity::{check_pool_name, id_from_proto, id_to_proto, version_to_proto};
pub use intake::{Intake, endpoint_from_proto};
pub use outgoing::{endpoint_to_proto, others_to_proto, snapshot_to_proto};
pub use policy::{policy_from_proto, policy_to_proto};
pub use report::{Report, report_from_proto, report_to_proto};
pub use sheds::{Sheds, sheds_from_proto, sheds_to_proto};

pub(crate) use identity::version_from_proto;

#[cfg(test)]
mod tests;
