//! The request bodies of `testdata/requests` and bodies made from them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test code fails by panicking"
)]
#![allow(dead_code, reason = "each test takes a part of it")]

use std::{fs, path::Path};

use picker::{Entropy, SplitMix64};

/// A request body and the file it came from.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
}

/// Every body of `testdata/requests`, in the order of their names.
pub(crate) fn samples() -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/requests");
    let mut samples = Vec::new();
    for folder in ["captured", "shapes"] {
        for entry in
            fs::read_dir(root.join(folder)).expect("testdata/requests is part of the repository")
        {
            let path = entry.expect("readable").path();
            samples.push(Sample {
                name: format!(
                    "{folder}/{}",
                    path.file_name().expect("a file").to_string_lossy()
                ),
                body: fs::read(&path).expect("readable"),
            });
        }
    }
    samples.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(samples.len() > 40, "the corpus has gone missing");
    samples
}

/// Tokens that parsers are known to read differently.
const TOKENS: [&[u8]; 54] = [
    b"\"model\":\"twin\",",
    b",\"model\":\"late\"",
    b"\"m\\u006fdel\":\"escaped\",",
    b"\"\\u006d\\u006f\\u0064\\u0065\\u006c\":\"all\",",
    b"\"model\":null,",
    b"\"model\":5,",
    b"\"model\":[\"x\"],",
    b"\"model\":{\"model\":\"in\"},",
    b"\"Model\":\"case\",",
    b"\"model \":\"space\",",
    b"\"model\\u0000\":\"nul\",",
    b"\"mode\\l\":\"bad\",",
    b"\"model\\ud800\":\"lone\",",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"nan",
    b"-NaN",
    b"+1",
    b"01",
    b"-",
    b"-0",
    b"1.",
    b".5",
    b"1e",
    b"1e+",
    b"1E-7",
    b"1.5e300",
    b"null",
    b"nul",
    b"true",
    b"false",
    b"undefined",
    b"\\",
    b"\\u",
    b"\\u00",
    b"\\u00zz",
    b"\\ud83d\\ude00",
    b"\\ud83d",
    b"\\ude00\\ud83d",
    b"\\x41",
    b"\\/",
    b"\\\"",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"//c\n",
    b"/**/",
    b"\xef\xbb\xbf",
    b"\xed\xa0\xbd",
];

/// Bytes that matter to some reader.
const BYTES: &[u8] = b"\"\\{}[]:,+-.0123456789eE \t\r\n\x0b\x0c\x00\x1f\x7f\x80\xbf\xc0\xc2\xe2\xed\xf0\xf4\xff'/aunt";

/// The `index`th body of an endless sequence: samples and generated documents, as they are, mutated
/// or encoded otherwise.
pub(crate) fn body(index: u64, samples: &[Sample]) -> Vec<u8> {
    let mut random = SplitMix64::new(index.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut body = match random.below(10) {
        0..4 => samples[random.below(samples.len())].body.clone(),
        _ => document(&mut random),
    };
    match random.below(20) {
        0..4 => {}
        4..8 => {
            for _ in 0..=random.below(3) {
                mutate_byte(&mut body, &mut random);
            }
        }
        8..12 => {
            for _ in 0..=random.below(3) {
                let token = TOKENS[random.below(TOKENS.len())];
                insert(&mut body, token, &mut random);
            }
        }
        12..17 => respell(&mut body, &mut random),
        17 => wrap(&mut body, &mut random),
        18 => encode_otherwise(&mut body, &mut random),
        _ => oversize(&mut body, &mut random),
    }
    body
}

fn mutate_byte(body: &mut Vec<u8>, random: &mut SplitMix64) {
    if body.is_empty() {
        return;
    }
    let at = random.below(body.len());
    let byte = BYTES[random.below(BYTES.len())];
    match random.below(6) {
        0 => body[at] = byte,
        1 => body[at] ^= 1 << random.below(8),
        2 => body.insert(at, byte),
        3 => {
            body.remove(at);
        }
        4 => body.truncate(at),
        _ => {
            let end = (at + random.below(40)).min(body.len());
            let copy = body[at..end].to_vec();
            let to = random.below(body.len());
            body.splice(to..to, copy);
        }
    }
}

/// Inserts at a place where a token may begin, or anywhere.
fn insert(body: &mut Vec<u8>, token: &[u8], random: &mut SplitMix64) {
    let places: Vec<usize> = if random.below(4) == 0 {
        (0..=body.len()).collect()
    } else {
        body.iter()
            .enumerate()
            .filter(|(_, byte)| b"{[:,\"".contains(byte))
            .map(|(at, _)| at + 1)
            .collect()
    };
    if !places.is_empty() {
        let at = match random.below(3) {
            0 => places[0],
            _ => places[random.below(places.len())],
        };
        body.splice(at..at, token.iter().copied());
    }
}

/// Spells some letters as escapes and puts white space between tokens: the same document, or one
/// with other white space inside its strings.
fn respell(body: &mut Vec<u8>, random: &mut SplitMix64) {
    let mut respelled = Vec::with_capacity(body.len() * 2);
    let rarity = 2 + random.below(30);
    let mut inside = false;
    let mut escaped = false;
    for byte in body.iter().copied() {
        let hit = random.below(rarity) == 0;
        if inside && !escaped && byte.is_ascii_alphanumeric() && hit {
            let code = format!("\\u{byte:04x}");
            let code = if random.below(2) == 0 {
                code.to_uppercase().replace("\\U", "\\u")
            } else {
                code
            };
            respelled.extend_from_slice(code.as_bytes());
        } else {
            respelled.push(byte);
            if !inside && hit && b"{}[]:,".contains(&byte) {
                respelled.push(b" \t\r\n"[random.below(4)]);
            }
        }
        if inside && !escaped && byte == b'\\' {
            escaped = true;
        } else {
            if byte == b'"' && !escaped {
                inside = !inside;
            }
            escaped = false;
        }
    }
    *body = respelled;
}

fn wrap(body: &mut Vec<u8>, random: &mut SplitMix64) {
    let (before, behind): (&[u8], &[u8]) = match random.below(9) {
        0 => (b"\xef\xbb\xbf", b""),
        1 => (b"\xef\xbb\xbf\xef\xbb\xbf", b""),
        2 => (b" \t\r\n\xef\xbb\xbf", b""),
        3 => (b"", b" \t\r\n"),
        4 => (b"", b" x"),
        5 => (b"", b"\0"),
        6 => (b"[", b"]"),
        7 => (b"", b"{}"),
        _ => (b"\x0c", b""),
    };
    body.splice(0..0, before.iter().copied());
    body.extend_from_slice(behind);
}

fn encode_otherwise(body: &mut Vec<u8>, random: &mut SplitMix64) {
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let text = match random.below(2) {
        0 => format!("\u{feff}{text}"),
        _ => text.to_owned(),
    };
    *body = match random.below(4) {
        0 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        1 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        2 => text
            .chars()
            .flat_map(|character| u32::from(character).to_le_bytes())
            .collect(),
        _ => text
            .chars()
            .flat_map(|character| u32::from(character).to_be_bytes())
            .collect(),
    };
}

/// Puts something deep or long where a value may stand.
fn oversize(body: &mut Vec<u8>, random: &mut SplitMix64) {
    let token = match random.below(4) {
        0 => {
            let depth = 400 + random.below(900);
            format!("\"deep\":{}{},", "[".repeat(depth), "]".repeat(depth))
        }
        1 => {
            let depth = 505 + random.below(10);
            format!(
                "\"deep\":{}1{},",
                "{\"a\":".repeat(depth),
                "}".repeat(depth)
            )
        }
        2 => format!("\"seed\":{},", "7".repeat(4_295 + random.below(10))),
        _ => format!("\"model\":\"{}\",", "m".repeat(250 + random.below(12))),
    };
    if !body.is_empty() {
        body.splice(1..1, token.into_bytes());
    }
}

const KEYS: [&str; 16] = [
    "model",
    "model",
    "model",
    "model",
    "stream",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "prompt",
    "messages",
    "input",
    "system",
    "tools",
    "cache_salt",
    "metadata",
];

/// A random request: known keys, often repeated, with values of any kind.
fn document(random: &mut SplitMix64) -> Vec<u8> {
    let mut text = String::from("{");
    let members = 1 + random.below(8);
    for member in 0..members {
        if member > 0 {
            text.push(',');
        }
        let key = KEYS[random.below(KEYS.len())];
        text.push_str(&format!("\"{key}\":"));
        match (key, random.below(5)) {
            ("model", 0..4) => text.push_str(
                [
                    "\"a\"",
                    "\"org/b-1.5\"",
                    "\"c:lora\"",
                    "\"\"",
                    "\"\u{6a21}\"",
                ][random.below(5)],
            ),
            ("stream", 0..4) => text.push_str(["true", "false"][random.below(2)]),
            (_, 0..2) => text.push_str(&format!("{}", random.below(5_000))),
            _ => value(&mut text, random, 0),
        }
    }
    text.push('}');
    text.into_bytes()
}

fn value(text: &mut String, random: &mut SplitMix64, depth: usize) {
    match random.below(if depth > 4 { 6 } else { 9 }) {
        0 => text
            .push_str(["null", "true", "false", "NaN", "Infinity", "-Infinity"][random.below(6)]),
        1 => text.push_str(
            [
                "0",
                "-0",
                "7",
                "-12",
                "1.5",
                "2e3",
                "1E-2",
                "18446744073709551615",
                "9223372036854775808",
            ][random.below(9)],
        ),
        2..6 => {
            text.push('"');
            for _ in 0..random.below(12) {
                text.push_str(
                    [
                        "a",
                        "text ",
                        "\\n",
                        "\\\"",
                        "\\\\",
                        "\\/",
                        "\\u00e9",
                        "\\ud83d\\ude00",
                        "\\ud800",
                        "\u{e9}",
                        "\u{4e2d}\u{6587}",
                        "\u{1f600}",
                        "{",
                        "}",
                        ",",
                        "\u{7f}",
                        "model",
                        "\\b\\f\\r\\t",
                    ][random.below(18)],
                );
            }
            text.push('"');
        }
        6 => {
            text.push('[');
            for item in 0..random.below(5) {
                if item > 0 {
                    text.push_str([",", ", "][random.below(2)]);
                }
                value(text, random, depth + 1);
            }
            text.push(']');
        }
        7 => {
            let numbers: Vec<String> = (0..random.below(30))
                .map(|_| random.below(130_000).to_string())
                .collect();
            text.push_str(&format!("[{}]", numbers.join(",")));
        }
        _ => {
            text.push('{');
            for item in 0..random.below(4) {
                if item > 0 {
                    text.push(',');
                }
                text.push_str(&format!(
                    "\"{}\":",
                    ["model", "role", "content", "text", "cache_control", "url"][random.below(6)]
                ));
                value(text, random, depth + 1);
            }
            text.push('}');
        }
    }
}
