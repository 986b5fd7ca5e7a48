//! The fenced blocks of the documentation.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// The page, from the root of the repository.
    pub(crate) page: PathBuf,
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// What stands behind the fence.
    pub(crate) language: String,
    /// What stands in it.
    pub(crate) text: String,
    /// The line before it that is not empty.
    before: String,
}

/// What is done with a block of commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It is run on the stage.
    Runs,
    /// Each line has to serve until it is stopped.
    Serves,
    /// It is run at the root, by `make test-docs`.
    RunsLong,
    /// It is not run, for this reason.
    NotRun(String),
}

impl Block {
    /// `docs/agent.md:5`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page.display(), self.line)
    }

    /// What the line before it says.
    pub(crate) fn treatment(&self) -> Option<Treatment> {
        let said = self
            .before
            .trim()
            .strip_prefix("<!-- ")?
            .strip_suffix(" -->")?;
        match said {
            "runs" => Some(Treatment::Runs),
            "serves" => Some(Treatment::Serves),
            "runs long" => Some(Treatment::RunsLong),
            said => Some(Treatment::NotRun(
                said.strip_prefix("not run: ")?.to_owned(),
            )),
        }
    }

    /// Its lines without comments and empty ones.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// Every page of the documentation, from the root of the repository.
pub(crate) fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// Every fenced block of every page.
pub(crate) fn all() -> Vec<Block> {
    pages().iter().flat_map(|page| of_page(page)).collect()
}

/// The fenced blocks of one page.
pub(crate) fn of_page(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = None;
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (open.is_some(), fence) {
            (false, Some(language)) => {
                open = Some(Block {
                    page: page.to_owned(),
                    line: number + 1,
                    language: language.trim().to_owned(),
                    text: String::new(),
                    before: before.to_owned(),
                });
            }
            (true, Some(_)) => {
                blocks.extend(open.take());
                before = "";
            }
            (true, None) => {
                let block = open.as_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            (false, None) if !line.trim().is_empty() => before = line,
            (false, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", page.display());
    blocks
}
