//! `zerohop-agent shadow`: what would have been different, from the counters of Envoys whose filter is in
//! shadow mode.
//!
//! ```text
//!   Envoy /stats --.
//!   Envoy /stats ---+--> Compared, by pool --> report
//!   Envoy /stats --'
//! ```

mod compared;
mod report;

pub use compared::{Compared, Tally};
pub use report::text;

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use crate::{
    args::ShadowArgs,
    fetch::{AdminClient, FetchError},
};

/// Only what the report rests on: a large Envoy shows a hundred thousand lines.
const STATS: &str = "/stats?filter=zerohop_shadow";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// An Envoy does not answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An Envoy counts nothing of the kind.
    #[error("{0} compares nothing: no pool there has a filter with `\"shadow\": true`")]
    NotInShadow(String),
    /// Nobody reads the output.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Reports to standard output.
///
/// # Errors
/// When an Envoy does not answer or is not in shadow mode.
pub fn run(args: &ShadowArgs) -> Result<(), ShadowError> {
    let mut pools = BTreeMap::new();
    for envoy in &args.envoys {
        let stats = AdminClient::new(envoy)?.get(STATS)?;
        if !compared::add(&mut pools, &String::from_utf8_lossy(&stats)) {
            return Err(ShadowError::NotInShadow(envoy.clone()));
        }
    }
    io::stdout().write_all(text(&pools).as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests;
