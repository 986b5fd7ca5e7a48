//! Paths whose requests are read otherwise than by their known ends.

use serde_json::Value;

use super::table;
use crate::work::{Paths, Work};

/// The most paths that may be configured: each is compared with that of every request.
const MAX_PATHS: usize = 32;

pub(super) fn check(value: &Value, mistakes: &mut Vec<String>) -> Paths {
    let mut paths = Paths::default();
    let entries = value.as_object();
    let Some(entries) = entries.filter(|entries| entries.len() <= MAX_PATHS) else {
        let allowed = "an object of at most 32 ends of paths";
        mistakes.push(table::wrong("paths", allowed, value));
        return paths;
    };
    for (suffix, work) in entries {
        match work.as_str().and_then(Work::named) {
            Some(work) if suffix.starts_with('/') => paths.0.push((suffix.clone(), work)),
            _ => {
                let allowed =
                    "generate, encode, count or opaque, for the end of a path from a slash on";
                let place = table::join("paths", &table::excerpt_text(suffix));
                mistakes.push(table::wrong(&place, allowed, work));
            }
        }
    }
    paths
}
