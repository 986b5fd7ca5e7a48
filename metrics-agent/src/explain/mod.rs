//! `zerohop-agent explain`: what would be picked for a request now, and why.
//!
//! ```text
//!   agent's /debug/snapshot --+--> Dump --> Perspective of one gateway --.
//!   a saved dump -------------+     (the checks that a gateway makes)     +--> Picker::explain --> table
//!   a request's body -------------> body-scan, policy -------------------'
//! ```
//!
//! The picker, the scanner and the checks are those of the filter. What only a gateway's own workers know
//! is not there, and the answer says so.

mod dump;
mod perspective;
mod request;
mod table;

pub use dump::{Dump, GatewayDump, PoolDump, dump};
pub use perspective::Perspective;
pub use request::Request;

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use picker::{Picker, PickerConfig, RawPickerConfig, SplitMix64};
use prost::Message as _;

use crate::{
    args::ExplainArgs,
    fetch::{AdminClient, FetchError},
};

/// Draws among near ties as a run of the command before did.
const SEED: u64 = 1;

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The agent does not answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The dump is none.
    #[error("this is no dump of /debug/snapshot: {0}")]
    Dump(#[from] prost::DecodeError),
    /// There is no such pool in it.
    #[error("there is no pool `{wanted}`, there are: {there}")]
    Pool {
        /// The pool that was asked for.
        wanted: String,
        /// Those that there are.
        there: String,
    },
    /// A gateway would not take the state.
    #[error("a gateway would refuse this state: {0}")]
    Contract(String),
    /// There is no such gateway in it.
    #[error("no gateway `{wanted}` reported load, these did: {there}")]
    Gateway {
        /// The gateway that was asked for.
        wanted: String,
        /// Those that there are.
        there: String,
    },
    /// The picker's configuration has mistakes.
    #[error("the picker's configuration has mistakes\n{0}")]
    Picker(String),
    /// Nobody reads the output.
    #[error("cannot write: {0}")]
    Output(io::Error),
}

/// Explains to standard output.
///
/// # Errors
/// When a file or the agent cannot be read, or what they say is of no use.
pub fn run(args: &ExplainArgs) -> Result<(), ExplainError> {
    let dump = match &args.dump {
        Some(path) => read(path)?,
        None => AdminClient::new(&args.agent)?
            .get("/debug/snapshot")?
            .to_vec(),
    };
    if let Some(path) = &args.save {
        fs::write(path, &dump).map_err(|source| file(path, source))?;
    }
    let dump = Dump::decode(dump.as_slice())?;
    let perspective = Perspective::of(&dump, args.pool.as_deref(), args.gateway.as_deref())?;
    let body = read(&args.file)?;
    let config = picker_config(args.picker.as_deref())?;
    let request = Request::read(
        &body,
        perspective.policy.as_ref(),
        config.prefix.block_bytes,
    );
    let mut picker = Picker::new(config);
    let view = perspective.view();
    let explained = picker.explain(&request.facts, &view, &mut SplitMix64::new(SEED));
    let text = table::text(
        &perspective,
        &request,
        &explained,
        picker.config(),
        args.rows,
    );
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(ExplainError::Output)
}

fn read(path: &Path) -> Result<Vec<u8>, ExplainError> {
    if path.as_os_str() != "-" {
        return fs::read(path).map_err(|source| file(path, source));
    }
    let mut bytes = Vec::new();
    let read = io::stdin().read_to_end(&mut bytes);
    read.map_err(|source| file(path, source))?;
    Ok(bytes)
}

fn file(path: &Path, source: io::Error) -> ExplainError {
    ExplainError::File {
        path: path.to_owned(),
        source,
    }
}

/// The section `picker` of the filter's configuration, or its defaults.
fn picker_config(path: Option<&Path>) -> Result<PickerConfig, ExplainError> {
    let Some(path) = path else {
        return Ok(PickerConfig::default());
    };
    let text = read(path)?;
    let raw: RawPickerConfig = serde_json::from_slice(&text)
        .map_err(|error| ExplainError::Picker(format!("{}: {error}", path.display())))?;
    let mut mistakes = Vec::new();
    let config = raw.check("picker", &mut mistakes);
    config.ok_or_else(|| ExplainError::Picker(mistakes.join("\n")))
}

#[cfg(test)]
mod tests;
