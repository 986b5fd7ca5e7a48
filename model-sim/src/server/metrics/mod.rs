//! `/metrics` as vLLM writes it: a template made from a capture, filled with numbers.
//!
//! ```text
//!   vllm-0.32.tmpl ──dialect──▶ text of the version ──template──▶ parts ──page + process──▶ bytes
//! ```

mod dialect;
mod families;
mod number;
mod page;
mod template;

pub use dialect::Dialect;
pub(crate) use page::Page;
