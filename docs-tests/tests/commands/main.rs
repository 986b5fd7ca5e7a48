//! Every command in the documentation is run, or says why not.
//!
//! A fenced block says what it is (```` ```sh ````, `yaml`, `text`, ...), and the line before a block of commands says
//! what is done with it:
//!
//! ```text
//!   <!-- runs -->               in a folder with agent.yaml, request.json and resources/, beside two model servers and
//!                               an agent at work: `make test`
//!   <!-- serves -->             the same, each line on its own: it has to serve until it is stopped
//!   <!-- runs long -->          at the root of the repository: `make test-docs`
//!   <!-- not run: REASON -->    one of the reasons below
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod blocks;
mod links;
mod mentions;
mod samples;
mod stage;

use std::{collections::BTreeSet, time::Duration};

use blocks::{Block, Treatment};
use stage::Stage;

/// Why a block is not run.
const REASONS: [&str; 7] = [
    "needs a cluster",
    "needs vLLM, some GB: make test-vllm and make demo-vllm",
    "it is this test itself",
    "needs root or a container engine",
    "needs hours",
    "e2e/tests/configs.rs runs it",
    "e2e/tests/requests.rs runs it",
];

/// Languages of blocks that hold no commands.
const NO_COMMANDS: [&str; 11] = [
    "text",
    "json",
    "yaml",
    "toml",
    "rust",
    "promql",
    "http",
    "proto",
    "diff",
    "ini",
    "javascript",
];

#[test]
fn every_block_says_what_it_is_and_what_is_done_with_it() {
    let mut wrong = Vec::new();
    for block in blocks::all() {
        let place = block.place();
        if block.language != "sh" {
            if !NO_COMMANDS.contains(&block.language.as_str()) {
                wrong.push(format!(
                    "{place}: say `sh`, `text` or what else it is behind the fence"
                ));
            }
            continue;
        }
        match block.treatment() {
            None => wrong.push(format!("{place}: no `<!-- runs -->` or such before it")),
            Some(Treatment::NotRun(reason)) if !REASONS.contains(&reason.as_str()) => {
                wrong.push(format!(
                    "{place}: `{reason}` is no known reason not to run it"
                ));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cheap_commands_do_what_the_documentation_says() {
    let blocks = of(|treatment| matches!(treatment, Treatment::Runs | Treatment::Serves));
    assert!(blocks.len() >= 4, "only {} blocks are run", blocks.len());
    let stage = Stage::start();
    for block in blocks {
        if block.treatment() == Some(Treatment::Serves) {
            for line in block.commands() {
                stage.serves(&block.place(), line);
            }
        } else {
            stage.runs(&block.place(), &block.text, Duration::from_secs(60));
        }
    }
}

#[test]
#[ignore = "takes long and starts Envoy: make test-docs"]
fn dear_commands_do_what_the_documentation_says() {
    let mut done = BTreeSet::new();
    for block in of(|treatment| *treatment == Treatment::RunsLong) {
        for line in block.commands() {
            if done.insert(line.to_owned()) {
                stage::runs_at_the_root(&block.place(), line, Duration::from_secs(3_600));
            }
        }
    }
}

fn of(wanted: impl Fn(&Treatment) -> bool) -> Vec<Block> {
    let mut blocks = blocks::all();
    blocks.retain(|block| {
        block.language == "sh" && block.treatment().is_some_and(|one| wanted(&one))
    });
    blocks
}
