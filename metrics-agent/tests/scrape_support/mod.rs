//! The captured pages and every sample in them, for the tests of the reader.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod server;

use std::{collections::BTreeMap, path::PathBuf};

use metrics_agent::scrape::exposition::{
    BadLine, LineSplitter, PageLimits, PageLine, Sample, SampleLine,
};

/// One sample in a form that can be compared with other readers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ComparableSample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The value's bits as hex; `nan` for every NaN.
    pub(crate) bits: String,
}

impl From<Sample<'_>> for ComparableSample {
    fn from(sample: Sample<'_>) -> Self {
        let labels = sample
            .labels
            .iter()
            .map(|label| (label.name.to_owned(), label.value().into_owned()))
            .collect();
        let bits = if sample.value.is_nan() {
            "nan".to_owned()
        } else {
            format!("{:016x}", sample.value.to_bits())
        };
        Self {
            name: String::from_utf8_lossy(sample.name).into_owned(),
            labels,
            bits,
        }
    }
}

/// All pages in `testdata/metrics`, by file name.
pub(crate) fn captures() -> BTreeMap<String, PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/metrics");
    let files: BTreeMap<String, PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "prom")
        })
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                path,
            )
        })
        .collect();
    assert!(files.len() >= 37, "{} pages: some are missing", files.len());
    files
}

/// Every sample of a page in its order, and the lines that could not be read.
pub(crate) fn every_sample(page: &[u8]) -> (Vec<ComparableSample>, Vec<BadLine>) {
    let limits = PageLimits::default();
    let (mut samples, mut bad) = (Vec::new(), Vec::new());
    let mut splitter = LineSplitter::new(limits);
    let mut take = |line: PageLine<'_>| {
        let PageLine::Whole(line) = line else {
            panic!("a line above the limit")
        };
        match SampleLine::split(line)
            .and_then(|line| line.map(|line| line.parse(limits.labels)).transpose())
        {
            Ok(Some(sample)) => samples.push(ComparableSample::from(sample)),
            Ok(None) => {}
            Err(error) => bad.push(error),
        }
    };
    splitter.push(page, &mut take);
    assert!(!splitter.finish(true, &mut take));
    (samples, bad)
}
