//! Certificates for gRPC: read once, at the start.

use std::{fs, path::Path};

use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::config::TlsFiles;

/// Why gRPC cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("listen.tls.{field}: cannot read {path}: {source}")]
    Unreadable {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The files are no certificates and key, or do not belong together.
    #[error("listen.tls: {0}")]
    Invalid(String),
}

/// Reads the files and checks that they are of use together.
///
/// # Errors
/// With the first file that is not.
pub fn load(files: &TlsFiles) -> Result<ServerTlsConfig, TlsError> {
    let certificate = read("certificate", &files.certificate)?;
    let key = read("key", &files.key)?;
    let mut config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    if let Some(path) = &files.client_ca {
        let authority = read("client_ca", path)?;
        config = config.client_ca_root(Certificate::from_pem(authority));
    }
    match Server::builder().tls_config(config.clone()) {
        Ok(_) => Ok(config),
        Err(error) => Err(TlsError::Invalid(with_cause(&error))),
    }
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable {
        field,
        path: path.display().to_string(),
        source,
    })
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
