//! Why an instance could not start or take an order.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

/// Why an instance could not start or take an order.
#[derive(Debug, Error)]
pub enum SimError {
    /// The configuration has mistakes; all are listed.
    #[error("the configuration has {} mistake(s): {}", mistakes.len(), mistakes.join("; "))]
    Config {
        /// Each as `field: what is wrong, got value`.
        mistakes: Vec<String>,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        reason: io::Error,
    },
    /// The built-in metrics page is broken; a defect of this crate.
    #[error("the metrics template names {name:?}, which is unknown")]
    Template {
        /// The unknown name.
        name: String,
    },
    /// The instance has stopped.
    #[error("the instance at {address} has stopped")]
    Stopped {
        /// Its address.
        address: SocketAddr,
    },
}
