//! What a parser makes of a document, by path: read from `{:#?}`, which shows every field of every type.

use std::collections::HashMap;

use crate::comments::snake_case;

/// The values of a checked configuration, by the names of its fields (`picker.cost.near_tie`). Of a list the first
/// element counts, and `Some` is stepped through.
pub(crate) fn tree(shown: &str) -> HashMap<String, String> {
    let mut values = HashMap::new();
    let mut path: Vec<Option<&str>> = Vec::new();
    for line in shown.lines() {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 4;
        path.truncate(depth);
        if text.starts_with(['}', ')', ']']) {
            continue;
        }
        let (name, value) = match text.split_once(": ") {
            Some((name, value)) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                (Some(name), value)
            }
            _ => (None, text),
        };
        path.resize(depth, None);
        path.push(name);
        if !value.ends_with(['{', '(', '[']) {
            let place: Vec<&str> = path.iter().flatten().copied().collect();
            let value = written(value.trim_end_matches(','));
            values.entry(place.join(".")).or_insert(value);
        }
    }
    values
}

/// A value as the configuration spells it.
fn written(shown: &str) -> String {
    if matches!(shown, "None" | "[]" | "{}" | "\"\"") {
        return "none".to_owned();
    }
    if let Some(whole) = shown.strip_suffix(".0") {
        return whole.to_owned();
    }
    if shown.starts_with(char::is_uppercase) {
        return snake_case(shown);
    }
    shown.trim_matches('"').to_owned()
}
