//! Paths whose requests are read otherwise than by their known ends.

use serde_json::Value;

use super::table::{self, Table};
use crate::work::{Paths, Work};

/// The most paths that may be configured: each is compared with that of every request.
const MAX_PATHS: usize = 32;
/// The longest end of a path, in bytes.
const MAX_PATH_BYTES: usize = 256;

pub(super) fn check(value: Value, mistakes: &mut Vec<String>) -> Paths {
    let elements = table::list("paths", value, 0..=MAX_PATHS, mistakes);
    let paths = elements
        .into_iter()
        .enumerate()
        .filter_map(|(index, element)| {
            let path = format!("paths[{index}]");
            let mut table = Table::new(&path, element, mistakes)?;
            let suffix = table.take("suffix").unwrap_or_default();
            let work = table.take("work").unwrap_or_default();
            table.finish(mistakes);
            let end = suffix.as_str().filter(|end| is_path(end));
            if end.is_none() {
                let allowed = "the end of a path, from a slash on, 1..256 bytes of visible ASCII";
                mistakes.push(table::wrong(&format!("{path}.suffix"), allowed, &suffix));
            }
            let named = Work::NAMED
                .iter()
                .find(|(name, _)| work.as_str() == Some(name));
            if named.is_none() {
                let allowed = "one of generate, encode, count, opaque";
                mistakes.push(table::wrong(&format!("{path}.work"), allowed, &work));
            }
            Some((end?.to_owned(), named?.1))
        });
    Paths(paths.collect())
}

fn is_path(end: &str) -> bool {
    end.starts_with('/')
        && end.len() <= MAX_PATH_BYTES
        && end
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'?')
}
