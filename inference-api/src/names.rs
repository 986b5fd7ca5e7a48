//! Names as Kubernetes has them.

/// `a-z`, `0-9`, `-` and `.`, beginning and ending with a letter or digit; at most 253 bytes.
pub(crate) fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// `a-z`, `0-9` and `-`, beginning and ending with a letter or digit; at most 63 bytes.
pub(crate) fn is_namespace(name: &str) -> bool {
    name.len() <= 63 && is_label(name)
}

/// The key of a label or annotation: an optional prefix and 1 to 63 characters.
pub(crate) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("x", key));
    is_object_name(prefix) && !name.is_empty() && is_label_value(name)
}

/// The value of a label: at most 63 letters, digits, `-`, `_` and `.`, or nothing.
pub(crate) fn is_label_value(value: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    value.len() <= 63
        && value.bytes().all(inner)
        && value
            .bytes()
            .next()
            .is_none_or(|byte| byte.is_ascii_alphanumeric())
        && value
            .bytes()
            .last()
            .is_none_or(|byte| byte.is_ascii_alphanumeric())
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty()
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// `2026-01-31T12:00:00Z`, with or without fractions of a second. Texts of this form sort by time.
pub(crate) fn is_timestamp(text: &str) -> bool {
    const FORM: &[u8; 19] = b"0000-00-00T00:00:00";
    let Some((start, rest)) = text.as_bytes().split_first_chunk::<19>() else {
        return false;
    };
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    start.iter().zip(FORM).all(fits) && matches!(rest, [.., b'Z'])
}

/// `text` cut at 64 characters, with control characters escaped: resources may come from people who
/// should not be able to forge log lines.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == 64 {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A message of the YAML reader, on one line.
pub(crate) fn printable_line(text: &str) -> String {
    let visible = text.chars().filter(|character| !character.is_control());
    visible.take(300).collect()
}
