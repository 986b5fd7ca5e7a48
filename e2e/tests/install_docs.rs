//! The blocks of configuration on the pages of `docs/install/` are what the files say that are linked
//! above them, so that nobody installs what nobody has tested.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::fs;

use e2e::rig::artifacts;

/// A block and the link to a YAML file that stands nearest above it.
struct Block {
    file: String,
    lines: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut linked = String::new();
    let mut open: Option<Vec<String>> = None;
    for line in page.lines() {
        match (&mut open, line) {
            (Some(lines), "```") => {
                found.push(Block {
                    file: linked.clone(),
                    lines: std::mem::take(lines),
                });
                open = None;
            }
            (Some(lines), line) => lines.push(line.to_owned()),
            (None, "```yaml") => open = Some(Vec::new()),
            (None, line) => {
                let links = line.split("](").skip(1);
                let targets = links.filter_map(|rest| rest.split(')').next());
                if let Some(target) = targets.filter(|target| target.ends_with(".yaml")).last() {
                    linked = target.to_owned();
                }
            }
        }
    }
    found
}

/// Whether the lines stand one behind the other in the text, all indented by the same more.
fn quotes(text: &str, lines: &[String]) -> bool {
    let text: Vec<&str> = text.lines().collect();
    let width = |line: &str| line.len() - line.trim_start().len();
    text.windows(lines.len()).any(|window| {
        let Some(more) = width(window[0]).checked_sub(width(&lines[0])) else {
            return false;
        };
        window.iter().zip(lines).all(|(there, here)| {
            here.is_empty() && there.is_empty() || *there == format!("{}{here}", " ".repeat(more))
        })
    })
}

#[test]
fn the_pages_quote_the_files() {
    let folder = artifacts::repository().join("docs/install");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        for block in blocks(&page) {
            count += 1;
            let first = &block.lines[0];
            assert!(
                !block.file.is_empty(),
                "{}: no file above {first}",
                path.display()
            );
            let text = fs::read_to_string(folder.join(&block.file)).unwrap();
            assert!(
                quotes(&text, &block.lines),
                "{}: the block that begins with {first:?} is not in {}",
                path.display(),
                block.file
            );
        }
    }
    assert!(count >= 10, "only {count} blocks found");
}

#[test]
fn a_changed_line_is_no_quotation() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let text = "a:\n  b: 1\n  c:\n    d: 2\n";
    assert!(quotes(text, &lines("b: 1\nc:\n  d: 2")));
    assert!(!quotes(text, &lines("b: 1\nc:\n  d: 3")));
    assert!(!quotes(text, &lines("b: 1\nd: 2")));
    assert!(!quotes(text, &lines("b: 1\nc:\nd: 2")));
}
