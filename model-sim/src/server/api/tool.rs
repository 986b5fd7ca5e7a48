//! Calls of tools: which function a request forces, and arguments that fit its schema.
//!
//! Only what `tool_choice` forces is called; whether a model would like to call something is not
//! simulated. The arguments are generated like a text, four characters a token.

use serde_json::{Map, Value, json};

const CHARACTERS_PER_TOKEN: usize = 4;
/// Schemas nested deeper are cut.
const MAX_DEPTH: u32 = 8;

/// A call that a request forces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// JSON without anything but ASCII.
    pub(crate) arguments: String,
    /// The request named the function, in place of any.
    pub(crate) named: bool,
}

impl ToolCall {
    /// Of a chat: `tool_choice` is "required" or names a function.
    pub(crate) fn of_chat(fields: &Map<String, Value>) -> Option<Self> {
        let choice = fields.get("tool_choice")?;
        let named = choice.pointer("/function/name").and_then(Value::as_str);
        if named.is_none() && choice != "required" {
            return None;
        }
        let functions = list(fields).filter_map(|tool| tool.get("function"));
        Self::forced(functions, named, "parameters")
    }

    /// Of Anthropic's messages: the type of `tool_choice` is "any" or "tool".
    pub(crate) fn of_messages(fields: &Map<String, Value>) -> Option<Self> {
        let choice = fields.get("tool_choice")?;
        let named = match choice.get("type").and_then(Value::as_str)? {
            "any" => None,
            "tool" => Some(choice.get("name").and_then(Value::as_str)?),
            _ => return None,
        };
        Self::forced(list(fields), named, "input_schema")
    }

    fn forced<'a>(
        mut functions: impl Iterator<Item = &'a Value>,
        named: Option<&str>,
        schema: &str,
    ) -> Option<Self> {
        let name = |function: &'a Value| function.get("name").and_then(Value::as_str);
        let function =
            functions.find(|function| named.is_none_or(|named| name(function) == Some(named)))?;
        let arguments = example(function.get(schema).unwrap_or(&Value::Null), 0).to_string();
        Some(ToolCall {
            name: name(function)?.to_owned(),
            arguments: arguments.chars().filter(char::is_ascii).collect(),
            named: named.is_some(),
        })
    }

    /// How long the call is.
    pub(crate) fn tokens(&self) -> u32 {
        self.arguments.len().div_ceil(CHARACTERS_PER_TOKEN) as u32
    }

    /// The part of the arguments that is the token at `position`.
    pub(crate) fn token(&self, position: u32) -> &str {
        let start = position as usize * CHARACTERS_PER_TOKEN;
        let end = (start + CHARACTERS_PER_TOKEN).min(self.arguments.len());
        self.arguments.get(start..end).unwrap_or("")
    }
}

fn list(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let tools = fields.get("tools").and_then(Value::as_array);
    tools.into_iter().flatten()
}

/// A value that fits a schema as far as it says a type, members or alternatives.
fn example(schema: &Value, depth: u32) -> Value {
    let first = |name: &str| schema.get(name).and_then(|list| list.get(0)).cloned();
    if let Some(value) = first("enum") {
        return value;
    }
    let kind = schema.get("type").and_then(Value::as_str);
    match kind {
        Some("string") => json!("the"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        _ if depth >= MAX_DEPTH => json!({}),
        _ => {
            let members = schema.get("properties").and_then(Value::as_object);
            let members = members.into_iter().flatten();
            members
                .map(|(name, schema)| (name.clone(), example(schema, depth + 1)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ToolCall;

    fn chat(choice: &Value) -> Option<ToolCall> {
        let weather = json!({"name": "weather", "parameters": {"type": "object", "properties": {
            "city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}}}});
        let request = json!({"tool_choice": choice, "tools": [
            {"type": "function", "function": {"name": "clock"}}, {"type": "function", "function": weather}]});
        ToolCall::of_chat(request.as_object().unwrap())
    }

    #[test]
    fn a_forced_call_has_arguments_that_fit_and_nothing_else_is_called() {
        let named = json!({"type": "function", "function": {"name": "weather"}});
        let call = chat(&named).unwrap();
        assert_eq!(call.name, "weather");
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
        assert_eq!(arguments, json!({"city": "the", "days": 1, "unit": "C"}));
        assert_eq!(chat(&json!("required")).unwrap().name, "clock");
        for choice in [
            json!("auto"),
            json!("none"),
            json!(null),
            json!({"function": {"name": "x"}}),
        ] {
            assert_eq!(chat(&choice), None, "{choice}");
        }
    }

    #[test]
    fn the_tokens_are_the_arguments() {
        let call = chat(&json!({"function": {"name": "weather"}})).unwrap();
        let whole: String = (0..call.tokens())
            .map(|position| call.token(position))
            .collect();
        assert_eq!(whole, call.arguments);
        assert_eq!(call.token(call.tokens()), "");
    }
}
