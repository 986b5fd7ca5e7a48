//! Which adapters an engine can serve: `GET /v1/models`.
//!
//! The metrics only show adapters at work; an idle one vanishes from them. The list of models names
//! every registered adapter with its base model as `parent`. It changes rarely, so asking every
//! five to ten seconds is plenty.

use std::sync::Arc;

use serde::Deserialize;

use super::{ScrapeClient, ScrapeError, ScrapeTarget, client::Expected, error::ScrapeFailure};
use crate::scrape::exposition::Flow;

/// Adapters taken from one answer.
const MOST_ADAPTERS: usize = 1024;
/// Bytes of an adapter's name; longer ones are left out.
const LONGEST_NAME: usize = 256;
/// Bytes of the answer: some 500 per model.
const MOST_BYTES: usize = 1024 * 1024;

#[derive(Debug, Deserialize)]
struct ModelList {
    data: Vec<Model>,
}

#[derive(Debug, Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    parent: Option<String>,
}

impl ScrapeClient {
    /// The registered adapters, sorted and without duplicates; empty for an engine without any.
    ///
    /// # Errors
    /// As [`ScrapeClient::scrape`]; also when the body is no list of models. An engine that asks
    /// for an API key answers 401, and one without this API 404.
    pub async fn adapters(&self, target: &ScrapeTarget) -> Result<Vec<Arc<str>>, ScrapeError> {
        let expected = Expected {
            accept: "application/json",
            types: &["application/json"],
            body_bytes: MOST_BYTES,
            described: "application/json",
        };
        let mut body = Vec::new();
        let sink = |chunk: &[u8]| {
            body.extend_from_slice(chunk);
            Flow::Continue
        };
        self.fetch(target, expected, sink).await?;
        adapters(&body).map_err(|error| ScrapeError {
            url: Arc::clone(&target.url),
            failure: ScrapeFailure::Unreadable(error.to_string()),
        })
    }
}

fn adapters(body: &[u8]) -> Result<Vec<Arc<str>>, serde_json::Error> {
    let list: ModelList = serde_json::from_slice(body)?;
    let mut names: Vec<Arc<str>> = list
        .data
        .into_iter()
        .filter(|model| model.parent.is_some())
        .map(|model| Arc::from(model.id))
        .filter(|name: &Arc<str>| !name.is_empty() && name.len() <= LONGEST_NAME)
        .take(MOST_ADAPTERS)
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_models_with_a_parent_are_adapters() {
        let body = br#"{"object":"list","data":[
            {"id":"tiny","root":"/models/tiny","parent":null,"max_model_len":1024},
            {"id":"sql","parent":"tiny","permission":[{"id":"x"}]},
            {"id":"chat","parent":"tiny"},{"id":"chat","parent":"tiny"},
            {"id":"other"}]}"#;
        let names = adapters(body).unwrap();
        assert_eq!(names, [Arc::<str>::from("chat"), Arc::from("sql")]);
    }

    #[test]
    fn too_many_and_too_long_names_are_left_out() {
        let model = |name: String| format!("{{\"id\":\"{name}\",\"parent\":\"p\"}}");
        let mut models: Vec<String> = (0..2000).map(|at| model(format!("a{at}"))).collect();
        models.insert(0, model("x".repeat(LONGEST_NAME + 1)));
        let names = adapters(format!("{{\"data\":[{}]}}", models.join(",")).as_bytes()).unwrap();
        assert_eq!(names.len(), MOST_ADAPTERS);
        assert!(names.iter().all(|name| name.len() <= LONGEST_NAME));
    }

    #[test]
    fn what_is_no_list_of_models_is_an_error() {
        for body in [
            "",
            "[]",
            "{}",
            "{\"data\":{}}",
            "{\"data\":[{\"id\":1}]}",
            "\u{0}",
        ] {
            assert!(adapters(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
