//! What to scrape.

use std::{net::SocketAddr, sync::Arc};

use http::Uri;

/// The URL of one page: a discovered address and a path. There is no way to make one of a name, so
/// that nothing an engine says can lead a scrape elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeTarget {
    pub(super) uri: Uri,
    pub(super) url: Arc<str>,
}

/// A path that no request can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path: it must start with `/` and hold no blanks and no control characters")]
pub struct PathError(String);

impl ScrapeTarget {
    /// The page at `path` of the server at `address`, over plain HTTP.
    ///
    /// # Errors
    /// When `path` does not start with `/` or cannot be part of a URL.
    pub fn new(address: SocketAddr, path: &str) -> Result<Self, PathError> {
        let refused = || PathError(path.escape_debug().to_string());
        if !path.starts_with('/') {
            return Err(refused());
        }
        let url = format!("http://{address}{path}");
        let uri = url.parse().map_err(|_| refused())?;
        Ok(Self {
            uri,
            url: Arc::from(url),
        })
    }

    /// The URL, for logs.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
