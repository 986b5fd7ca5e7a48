//! A reader of the Prometheus text format, version 0.0.4, that tolerates OpenMetrics.
//!
//! ```text
//!   chunks --> LineSplitter --> line --> SampleLine::split --(name wanted?)--> parse --> Sample
//!                 limits                  no: next line                     bad: that line only
//! ```
//!
//! It is our own because the crates that were tried read no vLLM page: one takes `:` for the end of
//! a name, another gives up on the whole page at the first odd line. It copies nothing but the
//! beginning of a line that straddles two chunks, and it looks at the labels and the value only of
//! names that somebody wants: most of an engine's page is histogram buckets.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>. Read besides that:
//! `# EOF`, `_created` series, exemplars after a `#`, fractional timestamps, CRLF. Not read, and
//! counted as a bad line: quoted UTF-8 names, which a server only sends when asked for them.

pub mod labels;
pub mod limits;
pub mod lines;
pub mod sample;

pub use labels::{Label, Labels};
pub use limits::PageLimits;
pub use lines::{Flow, LineSplitter, PageLine};
pub use sample::{BadLine, Sample, SampleLine};

#[cfg(test)]
mod tests;
