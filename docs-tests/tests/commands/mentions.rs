//! Commands that the text only mentions: their targets, subcommands and flags exist.

use std::{collections::BTreeSet, fs};

use clap::CommandFactory;
use metrics_agent::args::Args;

use crate::blocks::{self, pages, root};

#[test]
fn every_make_target_that_is_mentioned_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .collect();
    let mut missing = Vec::new();
    for (page, code) in code() {
        let Some(words) = code.strip_prefix("make ") else {
            continue;
        };
        let goes_on = |word: &&str| !word.starts_with('#') && !word.contains('=');
        for target in words.split_whitespace().take_while(goes_on) {
            if !targets.contains(target)
                && target.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            {
                missing.push(format!("{page}: make {target}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_flag_of_the_agent_that_is_mentioned_exists() {
    let command = Args::command();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, code) in code() {
        let mut words = code.split_whitespace();
        if words.next() != Some("zerohop-agent") {
            continue;
        }
        let Some(name) = words.next() else { continue };
        let Some(sub) = command.find_subcommand(name) else {
            wrong.push(format!("{page}: {code}"));
            continue;
        };
        seen += 1;
        for word in words.take_while(|word| *word != "#") {
            let Some(flag) = word.strip_prefix("--") else {
                continue;
            };
            let flag = flag.split('=').next().unwrap_or(flag);
            if !sub
                .get_arguments()
                .any(|known| known.get_long() == Some(flag))
            {
                wrong.push(format!("{page}: {code}"));
            }
        }
    }
    assert!(seen > 10, "only {seen} commands of the agent are mentioned");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Code within lines, and the lines of blocks of commands, each with its page.
fn code() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for block in blocks::all().iter().filter(|block| block.language == "sh") {
        let lines = block.commands().map(str::to_owned);
        found.extend(lines.map(|line| (block.place(), line)));
    }
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        let page = page.display().to_string();
        let mut in_block = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            } else if !in_block {
                let inline = line.split('`').skip(1).step_by(2);
                found.extend(inline.map(|code| (page.clone(), code.to_owned())));
            }
        }
    }
    found
}
