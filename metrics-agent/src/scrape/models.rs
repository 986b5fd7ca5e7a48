//! Which adapters an engine can serve, and how long its context is: `GET /v1/models`.
//!
//! The metrics only show adapters at work; an idle one vanishes from them. The list of models names
//! every registered adapter with its base model as `parent`, and the base model's `max_model_len`.
//! It changes rarely, so asking every five to ten seconds is plenty.

use std::sync::Arc;

use pool_state::limits;
use serde::Deserialize;

use super::{ScrapeClient, ScrapeError, ScrapeTarget, client::Expected, error::ScrapeFailure};
use crate::scrape::exposition::Flow;

/// Adapters taken from one answer.
const MOST_ADAPTERS: usize = 1024;
/// Bytes of an adapter's name; longer ones are left out.
const LONGEST_NAME: usize = 256;
/// Bytes of the answer: some 500 per model.
const MOST_BYTES: usize = 1024 * 1024;

/// What the list of models says of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Models {
    /// The registered adapters, sorted and without duplicates; empty for an engine without any.
    pub adapters: Vec<Arc<str>>,
    /// The most tokens that prompt and output may have together, at least 1: the least of the base
    /// models', because a request may name any of them. vLLM gives adapters none of their own.
    pub max_model_len: Option<u32>,
    /// All models with, of an adapter, its base model; sorted and without duplicates.
    pub listed: Vec<(Arc<str>, Option<Arc<str>>)>,
}

#[derive(Debug, Deserialize)]
struct ModelList {
    data: Vec<Model>,
}

#[derive(Debug, Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    parent: Option<String>,
    /// Of any type: a wrong one costs this field and not the list.
    #[serde(default)]
    max_model_len: serde_json::Value,
}

impl ScrapeClient {
    /// What the engine's list of models says.
    ///
    /// # Errors
    /// As [`ScrapeClient::scrape`]; also when the body is no list of models. An engine that asks
    /// for an API key answers 401, and one without this API 404.
    pub async fn models(&self, target: &ScrapeTarget) -> Result<Models, ScrapeError> {
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
        models(&body).map_err(|error| ScrapeError {
            url: Arc::clone(&target.url),
            failure: ScrapeFailure::Unreadable(error.to_string()),
        })
    }
}

fn models(body: &[u8]) -> Result<Models, serde_json::Error> {
    let list: ModelList = serde_json::from_slice(body)?;
    let bases = list.data.iter().filter(|model| model.parent.is_none());
    let max_model_len = bases
        .filter_map(|model| u32::try_from(model.max_model_len.as_u64()?).ok())
        .filter_map(limits::max_model_len)
        .min();
    let listed = list.data.iter().filter(|model| is_name(&model.id));
    let listed = listed.take(MOST_ADAPTERS).map(|model| {
        let base = model.parent.as_deref().filter(|parent| is_name(parent));
        (Arc::from(model.id.as_str()), base.map(Arc::from))
    });
    let mut listed: Vec<(Arc<str>, Option<Arc<str>>)> = listed.collect();
    listed.sort_unstable();
    listed.dedup_by(|a, b| a.0 == b.0);
    let mut names: Vec<Arc<str>> = list
        .data
        .into_iter()
        .filter(|model| model.parent.is_some())
        .map(|model| Arc::from(model.id))
        .filter(|name: &Arc<str>| is_name(name))
        .take(MOST_ADAPTERS)
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(Models {
        adapters: names,
        max_model_len,
        listed,
    })
}

const fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME
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
        let models = models(body).unwrap();
        assert_eq!(
            models.adapters,
            [Arc::<str>::from("chat"), Arc::from("sql")]
        );
        assert_eq!(models.max_model_len, Some(1024));
        let listed: Vec<_> = models
            .listed
            .iter()
            .map(|(name, base)| (&**name, base.as_deref()))
            .collect();
        let (tiny, base) = (("tiny", None), Some("tiny"));
        assert_eq!(
            listed,
            [("chat", base), ("other", None), ("sql", base), tiny]
        );
    }

    #[test]
    fn too_many_and_too_long_names_are_left_out() {
        let model = |name: String| format!("{{\"id\":\"{name}\",\"parent\":\"p\"}}");
        let mut models: Vec<String> = (0..2000).map(|at| model(format!("a{at}"))).collect();
        models.insert(0, model("x".repeat(LONGEST_NAME + 1)));
        let body = format!("{{\"data\":[{}]}}", models.join(","));
        let names = super::models(body.as_bytes()).unwrap().adapters;
        assert_eq!(names.len(), MOST_ADAPTERS);
        assert!(names.iter().all(|name| name.len() <= LONGEST_NAME));
    }

    #[test]
    fn the_shortest_base_model_limits_the_context() {
        let limit = |cards: &str| {
            let body = format!("{{\"data\":[{cards}]}}");
            models(body.as_bytes()).unwrap().max_model_len
        };
        let two = r#"{"id":"a","max_model_len":8192},{"id":"b","max_model_len":4096}"#;
        assert_eq!(limit(two), Some(4096));
        let adapter = r#"{"id":"a","max_model_len":8192},
            {"id":"x","parent":"a","max_model_len":16}"#;
        assert_eq!(
            limit(adapter),
            Some(8192),
            "an adapter's is not the engine's"
        );
        for lie in [
            "0",
            "-1",
            "1.5",
            "1e99",
            "null",
            "\"8192\"",
            "[]",
            "4294967295",
        ] {
            let card = format!("{{\"id\":\"a\",\"max_model_len\":{lie}}}");
            assert_eq!(limit(&card), None, "{lie}");
        }
        assert_eq!(limit(r#"{"id":"a"}"#), None);
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
            assert!(models(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
