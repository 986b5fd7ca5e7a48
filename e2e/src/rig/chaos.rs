//! Making the filter panic on purpose; only its test-only `chaos` feature can.

use std::{net::SocketAddr, time::Duration};

use super::{error::RigError, raw};

/// The request header that makes the filter panic.
pub const HEADER: &str = "x-zerohop-chaos";

/// Makes the VM of whichever worker takes this connection panic.
///
/// # Errors
/// When Envoy does not answer at all, or the request survived.
pub async fn crash_once(envoy: SocketAddr) -> Result<(), RigError> {
    let request =
        format!("GET / HTTP/1.1\r\nhost: rig\r\n{HEADER}: panic\r\nconnection: close\r\n\r\n");
    let answer = raw::exchange(envoy, request.as_bytes(), Duration::from_secs(5)).await?;
    if answer.status == 503 {
        Ok(())
    } else {
        Err(RigError::http(
            "a request that makes the filter panic",
            &format!("status {} instead of 503", answer.status),
        ))
    }
}
