//! YAML files to JSON values, document by document.

use serde_json::Value;

use crate::{
    mistake::{Mistake, Origin},
    names,
    object::{Object, Source, parse},
};

/// Larger files are refused.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// The objects in a file's YAML documents, and every mistake in them; `file` is the name that
/// mistakes are told under. A list of objects (kind `List`) counts as its objects.
#[must_use]
pub fn documents(file: &str, text: &str) -> (Vec<Object>, Vec<Mistake>) {
    let (mut objects, mut mistakes) = (Vec::new(), Vec::new());
    let origin = |document| Origin {
        file: file.to_owned(),
        document,
    };
    if text.len() > MAX_FILE_BYTES {
        let message = format!("{} bytes, at most {MAX_FILE_BYTES} are allowed", text.len());
        return (objects, vec![Mistake::new(&origin(0), None, "", message)]);
    }
    for (index, document) in split(text).into_iter().enumerate() {
        let origin = origin(index + 1);
        let value = match value(document) {
            Ok(Value::Null) => continue,
            Ok(value) => value,
            Err(error) => {
                let message = format!("not valid YAML: {}", one_line(&error));
                mistakes.push(Mistake::new(&origin, None, "", message));
                continue;
            }
        };
        for value in items(&value) {
            match parse(value, Source::File, &origin) {
                Ok(object) => objects.push(object),
                Err(found) => mistakes.extend(found),
            }
        }
    }
    (objects, mistakes)
}

/// The documents of a stream. YAML allows `---` at the beginning of a line nowhere else.
fn split(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut rest, mut end) = (text, 0);
    for line in text.split_inclusive('\n') {
        let mark = line.strip_prefix("---");
        if mark.is_some_and(|after| after.is_empty() || after.starts_with(char::is_whitespace)) {
            let (document, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            documents.push(document);
            // What follows the mark on its line belongs to the document.
            rest = after.strip_prefix("---").unwrap_or(after);
            end = line.len().saturating_sub(3);
        } else {
            end += line.len();
        }
    }
    documents.push(rest);
    // Nothing before the first mark is no document.
    if documents.first().is_some_and(|first| is_blank(first)) {
        documents.remove(0);
    }
    documents
}

fn is_blank(document: &str) -> bool {
    let mut lines = document.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#'))
}

fn value(document: &str) -> Result<Value, serde_saphyr::Error> {
    if is_blank(document) {
        return Ok(Value::Null);
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        emit_comments: false,
        strict_booleans: true,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_documents: 1,
            max_nodes: 1_000_000,
            max_events: 4_000_000,
            max_aliases: 10_000,
        },
    };
    serde_saphyr::from_str_with_options(document, options)
}

fn items(value: &Value) -> Vec<&Value> {
    match (value.get("kind"), value.get("items")) {
        (Some(Value::String(kind)), Some(Value::Array(items))) if kind == "List" => {
            items.iter().collect()
        }
        _ => vec![value],
    }
}

fn one_line(error: &serde_saphyr::Error) -> String {
    let rendered = error.without_snippet().to_string();
    names::printable_line(rendered.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
