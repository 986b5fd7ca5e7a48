//! A directory of its own for each rig, removed afterwards unless something failed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::error::RigError;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory that disappears with this value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new empty directory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, RigError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zerohop-e2e-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(RigError::io(format!("make {}", path.display())))?;
        Ok(Self(path))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it and returns where.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, RigError> {
        let path = self.0.join(name);
        // Written aside and moved into place, because Envoy and the agent watch such files.
        let aside = self.0.join(format!(".{name}.new"));
        fs::write(&aside, content)
            .and_then(|()| fs::rename(&aside, &path))
            .map_err(RigError::io(format!("write {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "logs and configuration of the failed test: {}",
                self.0.display()
            );
        } else {
            fs::remove_dir_all(&self.0).ok();
        }
    }
}
