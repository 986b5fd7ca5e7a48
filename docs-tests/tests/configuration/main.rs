//! `docs/configuration.md` is made of the types and of what the parsers say, never by hand.
//!
//! ```text
//!   doc comments of the checked types (syn) ----- meaning ----.
//!   the parser's answer to an unknown field ----- fields ------+--> tables --> docs/configuration.md
//!   its answers to wrong values and to none ----- allowed -----|
//!   what it makes of an empty section (Debug) --- default ----'
//! ```
//!
//! The test fails when the page is another; `make docs` writes it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent;
mod comments;
mod defaults;
mod filter_plugin;
mod flags;
mod parser;
mod resources;
mod section;

use std::{env, fs, path::Path};

const INTRODUCTION: &str = "\
# Configuration reference

Every field of everything that can be configured, with its default, what is allowed and what it means. This page is \
made from the code's types and parsers by `make docs`; a test fails when it is not what they say, so change the doc \
comments there and not this page.

| what | where | read when |
| --- | --- | --- |
| [the filter](#the-filter) | `PluginConfig.configuration`, or `pluginConfig` of a WasmPlugin: JSON | Envoy takes its configuration |
| [the agent's file](#the-agents-file) | `zerohop-agent run --config FILE`: YAML or JSON | it starts, and when the file changes |
| [the agent's command line](#the-agents-command-line) | flags, or variables of the environment | it starts |
| [resources](#resources) | a directory or Kubernetes: YAML or JSON | it starts, and when they change |

Unknown fields, fields given twice and values out of range are refused, all mistakes in one message with the place of \
each. `[]` stands for an element of a list, `NAME` for a name of your own.
";

#[test]
fn the_page_is_what_types_and_parsers_say() {
    let page = [
        INTRODUCTION.to_owned(),
        filter_plugin::chapter(),
        agent::chapter(),
        flags::chapter(),
        resources::chapter(),
    ]
    .join("\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if env::var_os("WRITE_DOCS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    let mut lines = page
        .lines()
        .zip(written.lines().chain(std::iter::repeat("")));
    if let Some((ours, theirs)) = lines.find(|(ours, theirs)| ours != theirs) {
        panic!(
            "docs/configuration.md is stale, `make docs` renews it\n  is:    {theirs}\n  to be: {ours}"
        );
    }
    assert_eq!(
        page, written,
        "docs/configuration.md is stale, `make docs` renews it"
    );
}
