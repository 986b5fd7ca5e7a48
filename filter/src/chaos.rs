//! Panics on demand, to show that Envoy reloads the VM and that it starts warm. Compiled only with
//! the feature `chaos`, which no release has.

use crate::host::Host;

/// The header that is obeyed.
const HEADER: &str = "x-zerohop-chaos";

#[allow(
    clippy::panic,
    reason = "the purpose of the feature; see the module's documentation"
)]
pub(crate) fn obey(host: &dyn Host) {
    if host.request_header(HEADER).as_deref() == Some(b"panic") {
        panic!("asked to by {HEADER}");
    }
}
