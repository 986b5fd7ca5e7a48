//! The section `api_key`.

use super::section::{Checker, Field};
use crate::api_key::ApiKeySource;

const EXPECTED: &str =
    "expected either `file`, the path of a file, or `env`, the name of a variable";

pub(super) fn read(checker: &mut Checker, field: Option<&Field<'_>>) -> Option<ApiKeySource> {
    let field = field?;
    let section = checker.section(field, &["file", "env"])?;
    let named = |checker: &mut Checker, name: &str| {
        let field = section.get(name)?;
        let text = checker.text(&field)?;
        let unfit = |character: char| character == '\0' || (name == "env" && character == '=');
        if text.is_empty() || text.contains(unfit) {
            checker.wrong(&field, EXPECTED);
            return None;
        }
        Some(text.to_owned())
    };
    match (section.get("file").is_some(), section.get("env").is_some()) {
        (true, false) => named(checker, "file").map(|path| ApiKeySource::File(path.into())),
        (false, true) => named(checker, "env").map(ApiKeySource::Variable),
        (true, true) | (false, false) => {
            checker.wrong(field, EXPECTED);
            None
        }
    }
}
