//! The resources of the inference APIs: parsed, checked and compiled.
//!
//! ```text
//!   YAML documents --documents--+                              +--> membership (pod x port)
//!                               +--> Object --> ResourceSet ---+
//!   objects of Kubernetes ------+     |          compile       +--> pool_state::Policy
//!        (JSON)               parse   |             |
//!                                     +-- Mistakes -+   with document, object, field and value
//! ```
//!
//! There is one meaning, wherever the resources come from: both sources become JSON values, and one
//! parser reads them. It is strict with files, where an unknown field is a typing error, and lenient
//! with Kubernetes, where newer versions of a resource may have more fields than we know.

mod compile;
mod documents;
mod endpoint_list;
mod fields;
mod mistake;
mod model;
mod names;
mod object;
mod objective;
mod pod;
mod pool;
mod pool_ref;
mod rewrite;
mod set;

pub use compile::{Compiled, CompiledPool, Endpoint, Host, compile};
pub use documents::{MAX_FILE_BYTES, documents};
pub use mistake::{Mistake, Origin};
pub use model::{Criticality, InferenceModel};
pub use names::printable;
pub use object::{Key, Kind, Meta, Object, Source, Spec, parse};
pub use objective::InferenceObjective;
pub use pod::Pod;
pub use pool::{AppProtocol, FailureMode, InferencePool, PickerRef};
pub use pool_ref::PoolRef;
pub use rewrite::{InferenceModelRewrite, RewriteRule};
pub use set::ResourceSet;
