//! What a request body says, learned in one pass over its bytes as they arrive.
//!
//! ```text
//!  chunk ──> BodyScanner ──> Lexer ─────────────> Collector ──────────> Learned
//!            cap, counting   grammar of Python's   top-level members,    RequestFacts,
//!                            json.loads, depth,    canonical prompt      ScanOutcome,
//!                            escapes, UTF-8        (<= prefix_max)       certainty
//! ```
//!
//! No JSON value is built and nothing recurses: the state between two chunks is a few hundred bytes,
//! short texts of at most [`SCRATCH_BYTES`] and the canonical prompt, at most
//! [`ScanConfig::prefix_max_bytes`]. Every split of the same
//! body into chunks gives the same facts.
//!
//! # Agree or abstain
//!
//! The engines read bodies with Python's `json.loads`. A model read here is either the one Python
//! reads (the last duplicate of the key wins, escapes in keys count, NaN and a byte order mark are
//! taken) or it is `None`. Where the two could differ this reader abstains: anything Python
//! refuses, UTF-16 and UTF-32, surrogates encoded as UTF-8, integers of more than 4,300 digits and
//! nesting past [`MAX_DEPTH`].
//!
//! A decision taken before the document ended can only be provisional: a later duplicate of `model`
//! or a syntax error may still follow. [`Learned::model_certain`] tells the two apart. Routing by a
//! provisional model costs at most affinity; where the model decides more than the endpoint,
//! [`ScanConfig::strict_model`] makes a provisional model `None`, and where the model is rewritten
//! [`ScanConfig::note_models`] has the document read to its end.

mod canonical;
mod collector;
mod config;
mod frames;
mod grammar;
mod learned;
mod lexer;
mod limits;
mod media;
mod member;
mod model_spans;
mod nesting;
mod run;
mod scanner;
mod short_text;
mod surrogate;
mod turns;
mod utf8;

pub use config::ScanConfig;
pub use learned::{Learned, ModelReading, ScanOutcome};
pub use media::Media;
pub use model_spans::ModelSpans;
pub use nesting::MAX_DEPTH;
pub use run::{PlainRun, plain_run};
pub use scanner::{BodyScanner, Progress, SCRATCH_BYTES};
