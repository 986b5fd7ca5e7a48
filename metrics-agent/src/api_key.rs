//! The key that engines ask for, sent as `Authorization: Bearer`.
//!
//! ```text
//!   file or variable --read--> header --> scrapes, lists of models, loads and unloads of adapters
//!        ^-- a file again every 2 s: Kubernetes replaces a Secret's files in place
//! ```
//!
//! The key is in no log, no error and no debug output: the header is marked as sensitive, and nothing
//! else holds it.

use std::{fmt, fs, io::Read as _, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(2);
/// The longest key, in bytes.
const MAX_BYTES: usize = 4_096;

/// Where the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiKeySource {
    /// In a file, without anything else but blanks around it.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

impl fmt::Display for ApiKeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "the file {}", path.display()),
            Self::Variable(name) => write!(formatter, "the variable {name}"),
        }
    }
}

/// Why there is no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// The file cannot be read or the variable is not set.
    #[error("api_key: cannot read {0}: {1}")]
    Unreadable(ApiKeySource, String),
    /// It is empty, too long, or not visible ASCII.
    #[error("api_key: {0} holds no key of 1..4096 bytes of visible ASCII")]
    NoKey(ApiKeySource),
}

impl ApiKeySource {
    fn read(&self) -> Result<HeaderValue, ApiKeyError> {
        let unreadable = |why: String| ApiKeyError::Unreadable(self.clone(), why);
        let text = match self {
            Self::File(path) => {
                let mut text = Vec::new();
                let file = fs::File::open(path);
                file.and_then(|file| file.take(2 * MAX_BYTES as u64).read_to_end(&mut text))
                    .map_err(|error| unreadable(error.to_string()))?;
                text
            }
            Self::Variable(name) => {
                let text = std::env::var_os(name);
                let text = text.ok_or_else(|| unreadable("it is not set".to_owned()))?;
                text.into_encoded_bytes()
            }
        };
        let key = text.trim_ascii();
        let visible = key.iter().all(u8::is_ascii_graphic);
        let bounded = (1..=MAX_BYTES).contains(&key.len());
        let header = HeaderValue::from_bytes(&[b"Bearer ", key].concat());
        let header = header.ok().filter(|_| visible && bounded);
        let mut header = header.ok_or_else(|| ApiKeyError::NoKey(self.clone()))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// The key for all engines of an agent, if they ask for one. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ApiKey {
    source: Option<ApiKeySource>,
    header: Arc<ArcSwapOption<HeaderValue>>,
}

impl ApiKey {
    /// Reads the key; without a source there is none.
    ///
    /// # Errors
    /// When the source holds no key.
    pub fn open(source: Option<&ApiKeySource>) -> Result<Self, ApiKeyError> {
        let header = source.map(ApiKeySource::read).transpose()?;
        Ok(Self {
            source: source.cloned(),
            header: Arc::new(ArcSwapOption::from_pointee(header)),
        })
    }

    /// Adds the key to a request's headers.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        if let Some(header) = self.header.load().as_deref() {
            headers.insert(AUTHORIZATION, header.clone());
        }
    }

    /// Takes over what is in the file, for ever. While it holds no key the last one counts.
    pub async fn follow(self) {
        let Some(source @ ApiKeySource::File(_)) = &self.source else {
            return;
        };
        let mut failing = false;
        loop {
            sleep(LOOK).await;
            match source.read() {
                Ok(header) => {
                    failing = false;
                    if self.header.load().as_deref() != Some(&header) {
                        self.header.store(Some(Arc::new(header)));
                        info!("the engines' API key has changed");
                    }
                }
                Err(problem) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%problem, "the engines' API key stays as it was");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        let name = format!("zerohop-api-key-{name}-{}", std::process::id());
        std::env::temp_dir().join(name)
    }

    fn sent(key: &ApiKey) -> Option<String> {
        let mut headers = HeaderMap::new();
        key.add_to(&mut headers);
        let value = headers.get(AUTHORIZATION)?;
        assert!(value.is_sensitive());
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn without_a_source_nothing_is_sent() {
        assert_eq!(sent(&ApiKey::open(None).unwrap()), None);
    }

    #[test]
    fn a_key_is_visible_ascii_and_bounded() {
        let path = file("forms");
        let source = ApiKeySource::File(path.clone());
        let longest = "k".repeat(MAX_BYTES);
        for good in ["sk-1", " sk-1\n", longest.as_str()] {
            fs::write(&path, good).unwrap();
            let key = ApiKey::open(Some(&source)).unwrap();
            assert_eq!(sent(&key), Some(format!("Bearer {}", good.trim())));
        }
        let too_long = "k".repeat(MAX_BYTES + 1);
        for bad in [
            "",
            "\n",
            "two words",
            "caf\u{e9}",
            "a\nb",
            too_long.as_str(),
        ] {
            fs::write(&path, bad).unwrap();
            let error = ApiKey::open(Some(&source)).unwrap_err();
            assert_eq!(error, ApiKeyError::NoKey(source.clone()), "{bad:?}");
        }
        fs::remove_file(&path).unwrap();
        let error = ApiKey::open(Some(&source)).unwrap_err().to_string();
        assert!(
            error.starts_with("api_key: cannot read the file"),
            "{error}"
        );
        let unset = ApiKeySource::Variable("ZEROHOP_NO_SUCH_VARIABLE".to_owned());
        let error = ApiKey::open(Some(&unset)).unwrap_err().to_string();
        assert_eq!(
            error,
            "api_key: cannot read the variable ZEROHOP_NO_SUCH_VARIABLE: it is not set"
        );
    }

    #[test]
    fn the_key_is_in_no_debug_output() {
        let path = file("debug");
        fs::write(&path, "sk-secret").unwrap();
        let key = ApiKey::open(Some(&ApiKeySource::File(path.clone()))).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(sent(&key).is_some());
        let shown = format!("{key:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replaced_file_counts_and_a_broken_one_does_not() {
        let path = file("follow");
        fs::write(&path, "one").unwrap();
        let key = ApiKey::open(Some(&ApiKeySource::File(path.clone()))).unwrap();
        let following = tokio::spawn(key.clone().follow());
        for (content, expected) in [("two", "two"), ("", "two"), ("three", "three")] {
            fs::write(&path, content).unwrap();
            sleep(2 * LOOK).await;
            assert_eq!(sent(&key), Some(format!("Bearer {expected}")));
        }
        following.abort();
        fs::remove_file(&path).unwrap();
    }
}
