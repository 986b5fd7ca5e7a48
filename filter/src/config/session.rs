//! Where a request may name its session.

use serde_json::Value;

use super::table::{self, Table};
use crate::headers;

/// The longest name of a header or cookie, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Where a request may name its session; the first that is found counts. A session is a preference, not a
/// promise, and only a hash of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionConfig {
    /// A header that names the session. The first of the three that is found counts; a session is a preference,
    /// not a promise, and only a hash of it is kept.
    pub header: Option<String>,
    /// A cookie that names it.
    pub cookie: Option<String>,
    /// Whether the body's `user` names it.
    pub body_user: bool,
}

pub(super) fn check(value: Value, mistakes: &mut Vec<String>) -> SessionConfig {
    let Some(mut session) = Table::new("session", value, mistakes) else {
        return SessionConfig::default();
    };
    let mut name = |key, what| {
        let value = session.take(key)?;
        token(&format!("session.{key}"), what, &value, mistakes)
    };
    let header = name("header", "a header").map(|name| name.to_ascii_lowercase());
    let cookie = name("cookie", "a cookie");
    let body_user = session.take("body_user");
    let body_user = body_user
        .and_then(|value| table::boolean("session.body_user", &value, mistakes))
        .unwrap_or_default();
    if let Some(name) = header.as_deref()
        && headers::ROUTING.contains(&name)
    {
        mistakes.push(format!(
            "session.header: {name} is removed from every request, it cannot name a session"
        ));
    }
    if !["header", "cookie", "body_user"]
        .iter()
        .any(|key| session.saw(key))
    {
        mistakes.push("session: names nothing; give header, cookie or body_user".to_owned());
    }
    session.finish(mistakes);
    SessionConfig {
        header,
        cookie,
        body_user,
    }
}

/// A name as HTTP allows it (RFC 9110, token).
pub(super) fn token(
    path: &str,
    what: &str,
    value: &Value,
    mistakes: &mut Vec<String>,
) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = value
        .as_str()
        .filter(|name| (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_token));
    if name.is_none() {
        let allowed =
            format!("the name of {what}, 1..128 letters, digits or any of !#$%&'*+-.^_`|~");
        mistakes.push(table::wrong(path, &allowed, value));
    }
    name.map(str::to_owned)
}
