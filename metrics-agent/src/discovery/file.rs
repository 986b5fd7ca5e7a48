//! Notices when the configuration file changes.
//!
//! By polling: a Kubernetes ConfigMap changes by swapping a symbolic link two levels up, which file
//! system events on the file itself do not show, and a poll is right on every file system.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use xxhash_rust::xxh64::xxh64;

use crate::config::{self, Config, Mistakes};

/// Between two looks at the file.
pub const POLL: Duration = Duration::from_millis(250);

/// A file system's clock may be so coarse that two writes within this time look like one.
const COARSE: Duration = Duration::from_secs(2);

/// What tells, without reading it, that a file may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A configuration file and what was last seen of it.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// Hash of the content that was taken or refused last.
    judged: Option<u64>,
    /// Hash of a content that was written in place and may still be growing.
    unsettled: Option<u64>,
    unreadable: bool,
}

impl ConfigFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// With every mistake in it.
    pub fn open(path: &Path) -> Result<(Self, Config), Mistakes> {
        let name = path.display().to_string();
        let read = stamp(path).and_then(|stamp| Ok((stamp, content(path)?)));
        let (stamp, bytes) = read.map_err(|error| unreadable(&name, &error))?;
        let config = config::parse_bytes(&name, &bytes)?;
        let file = Self {
            path: path.to_owned(),
            stamp: Some(stamp),
            judged: Some(hash(&bytes)),
            unsettled: None,
            unreadable: false,
        };
        Ok((file, config))
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file: the new configuration or its mistakes when its content is another than
    /// at the last look, else `None`. A file that was replaced (renamed over, or a link that was
    /// swapped) counts at once; one that is written in place counts when two looks in a row see
    /// the same content, so that a half-written file is not taken for a short one.
    pub fn poll(&mut self) -> Option<Result<Config, Mistakes>> {
        let stamp = match stamp(&self.path) {
            Ok(stamp) => stamp,
            Err(error) => return self.vanished(&error),
        };
        let replaced = self
            .stamp
            .is_none_or(|before| (before.device, before.inode) != (stamp.device, stamp.inode));
        let same = self.stamp == Some(stamp) && !is_recent(stamp);
        self.stamp = Some(stamp);
        if same && self.unsettled.is_none() && !self.unreadable {
            return None;
        }
        let bytes = match content(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => return self.vanished(&error),
        };
        self.unreadable = false;
        let hash = hash(&bytes);
        if self.judged == Some(hash) {
            self.unsettled = None;
            return None;
        }
        if !replaced && self.unsettled != Some(hash) {
            self.unsettled = Some(hash);
            return None;
        }
        self.unsettled = None;
        self.judged = Some(hash);
        let file = self.path.display().to_string();
        Some(config::parse_bytes(&file, &bytes))
    }

    /// Tells once that the file cannot be read. When it is back it is judged anew, whatever it says.
    fn vanished(&mut self, error: &io::Error) -> Option<Result<Config, Mistakes>> {
        self.stamp = None;
        self.judged = None;
        if std::mem::replace(&mut self.unreadable, true) {
            return None;
        }
        let file = self.path.display().to_string();
        Some(Err(unreadable(&file, error)))
    }
}

fn unreadable(file: &str, error: &io::Error) -> Mistakes {
    Mistakes::whole_file(file, format!("cannot read the file: {error}"))
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
    })
}

fn is_recent(stamp: Stamp) -> bool {
    stamp
        .modified
        .and_then(|modified| modified.elapsed().ok())
        .is_none_or(|elapsed| elapsed < COARSE)
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let limit = u64::try_from(config::MAX_FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

#[cfg(test)]
mod tests;
