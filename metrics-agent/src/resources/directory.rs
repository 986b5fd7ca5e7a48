//! A directory of YAML files, looked at again and again.
//!
//! By polling, like the configuration file and for the same reasons. Hidden files are left out,
//! which are also the ones that Kubernetes keeps behind the files of a mounted ConfigMap.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use inference_api::{Compiled, MAX_FILE_BYTES, Mistake, ResourceSet, compile, documents};
use xxhash_rust::xxh64::xxh64;

use super::Update;

/// Between two looks at the directory.
pub const POLL: Duration = Duration::from_millis(100);
/// Files of a directory at most; what follows is a mistake.
const MAX_FILES: usize = 1_000;
/// Bytes of all files together at most.
const MAX_BYTES: usize = 64 << 20;
/// A file system's clock may be so coarse that two writes within this time look like one.
const COARSE: Duration = Duration::from_secs(2);

/// What tells, without reading it, that a file may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A directory and what was last seen of it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    stamps: Vec<Stamp>,
    /// Hash of the content that was taken or refused last.
    judged: Option<u64>,
    /// Hash of a content that may still be changing.
    unsettled: Option<u64>,
}

impl Directory {
    /// Reads the directory for the first time.
    ///
    /// # Errors
    /// With every mistake in it, a line each.
    pub fn open(path: &Path) -> Result<(Self, Arc<Compiled>), Vec<String>> {
        let mut directory = Self {
            path: path.to_owned(),
            stamps: Vec::new(),
            judged: None,
            unsettled: None,
        };
        let files = directory.read().map_err(|error| vec![error])?;
        directory.judged = Some(hash(&files));
        let compiled = compiled(&files)?;
        Ok((directory, compiled))
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the directory: what it says now when that is something else than at the last look
    /// and two looks in a row saw the same, so that nothing half-written is taken. When there is
    /// any mistake, what was in force stays.
    pub fn poll(&mut self) -> Option<Update> {
        let before = std::mem::take(&mut self.stamps);
        let stamps = stamps(&self.path);
        if let Ok(stamps) = &stamps
            && *stamps == before
            && self.unsettled.is_none()
            && !stamps.iter().any(is_recent)
        {
            self.stamps = before;
            return None;
        }
        let files = self.read();
        let hash = match &files {
            Ok(files) => hash(files),
            Err(error) => xxh64(error.as_bytes(), 1),
        };
        if self.judged == Some(hash) {
            self.unsettled = None;
            return None;
        }
        if self.unsettled != Some(hash) {
            self.unsettled = Some(hash);
            return None;
        }
        self.unsettled = None;
        self.judged = Some(hash);
        let compiled = files
            .map_err(|error| vec![error])
            .and_then(|files| compiled(&files));
        let (compiled, mistakes) = match compiled {
            Ok(compiled) => (Some(compiled), Vec::new()),
            Err(mistakes) => (None, mistakes),
        };
        Some(Update { compiled, mistakes })
    }

    /// Name and content of every file.
    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let unreadable = |error| format!("{}: cannot read: {error}", self.path.display());
        self.stamps = stamps(&self.path).map_err(unreadable)?;
        if self.stamps.len() > MAX_FILES {
            let (path, count) = (self.path.display(), self.stamps.len());
            return Err(format!(
                "{path}: {count} files, at most {MAX_FILES} are allowed"
            ));
        }
        let mut left = MAX_BYTES;
        let mut files = Vec::with_capacity(self.stamps.len());
        for stamp in &self.stamps {
            let content = content(&stamp.path);
            let content = content
                .map_err(|error| format!("{}: cannot read: {error}", stamp.path.display()))?;
            left = left.checked_sub(content.len()).ok_or_else(|| {
                format!(
                    "{}: at most {MAX_BYTES} bytes are allowed",
                    self.path.display()
                )
            })?;
            files.push((stamp.path.display().to_string(), content));
        }
        Ok(files)
    }
}

/// What the files mean.
fn compiled(files: &[(String, Vec<u8>)]) -> Result<Arc<Compiled>, Vec<String>> {
    let mut set = ResourceSet::new();
    let mut mistakes = Vec::new();
    for (name, content) in files {
        let Ok(text) = str::from_utf8(content) else {
            mistakes.push(format!("{name}: the file is not UTF-8 text"));
            continue;
        };
        let (objects, found) = documents(name, text);
        mistakes.extend(found.iter().map(Mistake::to_string));
        for object in objects {
            let again = (object.meta.key.clone(), object.meta.origin.clone());
            if let Some(first) = set.apply(object) {
                let (key, origin) = again;
                let (file, document) = (origin.file, origin.document);
                let (first, at) = (&first.meta.origin.file, first.meta.origin.document);
                mistakes.push(format!(
                    "{file}: document {document}: {key}: is in {first} already, document {at}"
                ));
            }
        }
    }
    let compiled = compile(&set);
    mistakes.extend(compiled.mistakes.iter().map(Mistake::to_string));
    if mistakes.is_empty() {
        Ok(Arc::new(compiled))
    } else {
        Err(mistakes)
    }
}

/// The YAML and JSON files, by name.
fn stamps(path: &Path) -> io::Result<Vec<Stamp>> {
    let mut stamps = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = path.extension().unwrap_or_default();
        if name.starts_with('.') || !["yaml", "yml", "json"].iter().any(|known| ending == *known) {
            continue;
        }
        // Follows links. A file that went meanwhile is none.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_file() {
            stamps.push(Stamp {
                inode: metadata.ino(),
                bytes: metadata.len(),
                modified: metadata.modified().ok(),
                path,
            });
        }
    }
    stamps.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(stamps)
}

fn is_recent(stamp: &Stamp) -> bool {
    let age = stamp.modified.and_then(|modified| modified.elapsed().ok());
    age.is_none_or(|age| age < COARSE)
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    let file = fs::File::open(path)?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)?;
    Ok(content)
}

fn hash(files: &[(String, Vec<u8>)]) -> u64 {
    files.iter().fold(0, |seed, (name, content)| {
        xxh64(content, xxh64(name.as_bytes(), seed))
    })
}
