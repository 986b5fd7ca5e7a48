//! Request bodies of a given size, shaped like those of real clients.

use std::fmt::Write as _;

/// A chat completion of about `size` bytes, in which the model comes last, as OpenAI's Python
/// client writes it. Each `variant` has another text from its first message on.
#[must_use]
pub fn chat(size: usize, variant: usize) -> String {
    let mut body = String::from(r#"{"messages":["#);
    let ending = r#"],"model":"tiny","max_tokens":64,"stream":false}"#;
    let mut number = 0;
    while body.len() + ending.len() < size {
        let role = if number % 2 == 0 { "user" } else { "assistant" };
        let comma = if number == 0 { "" } else { "," };
        let left = size.saturating_sub(body.len() + ending.len() + 60);
        let text: String = sentence(variant, number)
            .chars()
            .take(left.max(1))
            .collect();
        // Writing to a String cannot fail.
        write!(body, r#"{comma}{{"role":"{role}","content":"{text}\n"}}"#).ok();
        number += 1;
    }
    body.push_str(ending);
    body
}

fn sentence(variant: usize, number: usize) -> String {
    format!(
        "Conversation {variant}, part {number}: the quick brown fox said hello to the lazy dog, \
         and then it asked for a summary of the last quarter, with figures for each region, the \
         usual caveats, and a short remark on what may be expected from the next one. Thanks"
    )
}

#[cfg(test)]
mod tests {
    use super::chat;

    #[test]
    fn bodies_are_json_of_about_the_right_size() {
        for size in [1_000, 20_000, 400_000] {
            let body = chat(size, 3);
            assert!(body.len().abs_diff(size) < 200, "{} for {size}", body.len());
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(value["model"], "tiny");
            assert_ne!(chat(size, 4), body);
        }
    }
}
