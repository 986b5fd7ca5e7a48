//! Asking a parser what it knows and what it allows, by giving it what it must refuse.

use serde_json::{Map, Value, json};

/// A mistake: the path of its field and what is wrong there.
pub(crate) type Mistake = (String, String);

/// A parser: how it shows what it made of a document, or all mistakes.
pub(crate) type Parser = fn(&Value) -> Result<String, Vec<Mistake>>;

/// What stands before the names of the fields that a section has.
const KNOWN: [&str; 5] = [
    "known fields are ",
    "allowed are ",
    "expected one of: ",
    "expected one of ",
    "there are: ",
];

/// The fields that the section at `path` may have.
pub(crate) fn fields(parse: Parser, base: &Value, path: &str) -> Vec<String> {
    const UNKNOWN: &str = "no_such_field";
    let mistakes = mistakes(parse, &with(base, &join(path, UNKNOWN), json!(1)));
    let place = join(path, UNKNOWN);
    // Where serde reads a section, it names the section and not the field.
    let is_it =
        |(at, message): &&Mistake| *at == place || (at == path && message.contains(UNKNOWN));
    let message = mistakes.iter().find(is_it);
    let message = message.unwrap_or_else(|| panic!("{place} is no mistake but {mistakes:?}"));
    let names = KNOWN.iter().find_map(|before| message.1.split_once(before));
    let (_, names) = names.unwrap_or_else(|| panic!("no names in {}", message.1));
    let names = names.split(", ").map(|name| name.trim_matches('`'));
    names.map(str::to_owned).collect()
}

/// Whether a document without the field at `path` is refused for that.
pub(crate) fn is_required(parse: Parser, base: &Value, path: &str) -> bool {
    let (section, field) = path.rsplit_once('.').unwrap_or(("", path));
    let serde = format!("missing field `{field}`");
    let mut document = with(base, path, Value::Null);
    if let Value::Object(section) = place(&mut document, section) {
        section.remove(field);
    }
    let says = |(at, message): Mistake| {
        (at == path && message.contains("missing")) || (at == section && message.contains(&serde))
    };
    mistakes(parse, &document).into_iter().any(says)
}

/// What may stand at `path`, in the parser's own words.
pub(crate) fn allowed(parse: Parser, base: &Value, path: &str) -> String {
    let is = ask(parse, base, path, path);
    if !is.starts_with("a list") && !is.contains("elements") && !is.contains("entries") {
        return is;
    }
    // A list: say of what.
    let first = format!("{path}[0]");
    let element = ask(parse, base, &first, &first);
    match element.as_str() {
        "" | "an object" | "a mapping" => is,
        element => format!("{is}, each {element}"),
    }
}

/// The longest answer to values that cannot be right: it says most.
fn ask(parse: Parser, base: &Value, path: &str, place: &str) -> String {
    let wrong = [
        json!({"no_such_field": {}}),
        json!([]),
        json!(""),
        json!("\u{1}"),
        json!("never right \u{1}"),
        json!(-1e300),
        json!(true),
    ];
    let answers = wrong.into_iter().flat_map(|value| {
        let mistakes = mistakes(parse, &with(base, path, value));
        let here = mistakes.into_iter().filter(|(at, _)| at == place);
        here.map(|(_, message)| allowed_of(&message))
            .collect::<Vec<_>>()
    });
    let said = answers.max_by_key(String::len);
    // Where serde reads a section, it names the section and not the field.
    said.unwrap_or_else(|| "a string".to_owned())
}

/// "must be 1 or 2, got 3" without its beginning and its end.
fn allowed_of(message: &str) -> String {
    let end = [", got ", ", found ", " (quote it"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    let (text, _) = message.split_at(end);
    let before = ["must be ", "must have ", "expected "];
    let found = before.iter().filter_map(|before| text.split_once(before));
    let Some((_, text)) = found.min_by_key(|(head, _)| head.len()) else {
        return String::new();
    };
    let text = text
        .replace(" in ", " from ")
        .replace("..=", " to ")
        .replace("..", " to ");
    text.replace('|', "\\|").replace("name-of-yours", "NAME")
}

fn mistakes(parse: Parser, document: &Value) -> Vec<Mistake> {
    parse(document).err().unwrap_or_default()
}

/// The document with `value` at `path`; what is not there on the way is made.
pub(crate) fn with(base: &Value, path: &str, value: Value) -> Value {
    let mut document = base.clone();
    *place(&mut document, path) = value;
    document
}

fn place<'a>(document: &'a mut Value, path: &str) -> &'a mut Value {
    let mut here = document;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, in_list) = match step.strip_suffix("[0]") {
            Some(name) => (name, true),
            None => (step, false),
        };
        if !here.is_object() {
            *here = Value::Object(Map::new());
        }
        here = here
            .as_object_mut()
            .unwrap()
            .entry(name)
            .or_insert(json!({}));
        if in_list {
            if here.as_array().is_none_or(Vec::is_empty) {
                *here = json!([{}]);
            }
            here = &mut here[0];
        }
    }
    here
}

/// The path of a field of the section at `path`.
pub(crate) fn join(path: &str, field: &str) -> String {
    match path {
        "" => field.to_owned(),
        path => format!("{path}.{field}"),
    }
}
