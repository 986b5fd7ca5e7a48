//! The configuration file: what was written -> what it means.
//!
//! ```text
//!   text --document--> tree with places --sections--> Config
//!              |                            |
//!              +---------- Mistakes --------+     all of them, each with line, column and path
//! ```
//!
//! `docs/configuration.md` is made of the comments here and of what the parser says (docs-tests).

mod adapters;
mod api_key;
mod checked;
mod document;
mod engines;
mod listen;
mod mistake;
mod pools;
mod scrape;
mod section;
mod values;

pub use checked::{
    Adapter, Config, Endpoint, Engine, Host, Listen, MAX_ENDPOINTS, MAX_POOLS, MetricsPlace, Pool,
    PoolAdapters, ScrapeSettings, TlsFiles,
};
pub use document::MAX_FILE_BYTES;
pub use mistake::{Mistake, Mistakes, Place};

use engines::Engines;
use section::{Checker, Field};

/// Reads a configuration; `file` is the name that mistakes are told under.
///
/// # Errors
/// With every mistake in the file.
pub fn parse(file: &str, text: &str) -> Result<Config, Mistakes> {
    let document = document::parse(file, text)?;
    let top = Field {
        path: String::new(),
        node: &document,
    };
    let mut checker = Checker::default();
    let config = read(&mut checker, &top);
    let mut list = checker.mistakes;
    list.sort_by_key(|mistake| mistake.place);
    match config {
        Some(config) if list.is_empty() => Ok(config),
        _ => Err(Mistakes {
            file: file.to_owned(),
            list,
        }),
    }
}

/// Reads a configuration from the bytes of a file.
///
/// # Errors
/// With every mistake in the file, or because it is no text.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Config, Mistakes> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(file, text),
        Err(error) => Err(Mistakes::whole_file(
            file,
            format!("the file is not UTF-8 text (byte {})", error.valid_up_to()),
        )),
    }
}

fn read(checker: &mut Checker, top: &Field<'_>) -> Option<Config> {
    let known = [
        "agent_id",
        "listen",
        "scrape",
        "engines",
        "resources",
        "pools",
        "adapters",
        "api_key",
    ];
    let section = checker.section(top, &known)?;
    let agent_id = section
        .get("agent_id")
        .and_then(|field| checker.name(&field, 128))
        .map(str::to_owned);
    let listen = listen::read(checker, section.get("listen").as_ref());
    let scrape = scrape::read(checker, section.get("scrape").as_ref());
    let resources = section.get("resources").and_then(|field| {
        let path = checker.text(&field)?;
        if path.is_empty() {
            checker.wrong(&field, "expected the path of a directory");
        }
        Some(path.into())
    });
    let engines = Engines::read(checker, section.get("engines").as_ref());
    let pools = pools::read(checker, &section, &engines);
    let adapters = adapters::read(checker, section.get("adapters").as_ref());
    let api_key = api_key::read(checker, section.get("api_key").as_ref());
    Some(Config {
        agent_id,
        listen,
        scrape,
        resources,
        pools,
        adapters,
        api_key,
    })
}

#[cfg(test)]
mod tests;
