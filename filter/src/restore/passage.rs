//! One answer on its way to the client, from the request on.

use super::Restorer;
use crate::{headers, host::Host, metrics::ModelEvent};

/// Whether and how an answer is restored.
#[derive(Debug, Default)]
pub enum Passage {
    /// It passes as it is.
    #[default]
    AsItIs,
    /// Its headers have not come yet; its model is to read as this JSON string.
    Expected(Vec<u8>),
    /// Its body passes through.
    Restored(Restorer),
}

impl Passage {
    /// The answer's headers came. Returns what is to be counted.
    pub fn on_headers(&mut self, host: &dyn Host) -> Option<ModelEvent> {
        let Self::Expected(public) = std::mem::take(self) else {
            return None;
        };
        let media_type = host.response_header("content-type").unwrap_or_default();
        let lines = headers::is_event_stream(&media_type);
        if !lines && !headers::is_json(&media_type) {
            return None;
        }
        let encoding = host.response_header("content-encoding");
        if encoding.is_some_and(|value| !headers::is_identity(&value)) {
            return Some(ModelEvent::AnswerEncoded);
        }
        // How long it will be shows only when it has passed.
        if let Err(error) = host.remove_response_header("content-length") {
            log::error!("an answer's model is not restored: {error}");
            return None;
        }
        *self = Self::Restored(Restorer::new(public, lines));
        None
    }

    /// A chunk of `size` bytes passes.
    pub fn on_chunk(&mut self, host: &dyn Host, size: usize) {
        let Self::Restored(restorer) = self else {
            return;
        };
        if size == 0 || restorer.is_done() {
            return;
        }
        if let Some(bytes) = restorer.pass(&host.response_body(0, size))
            && let Err(error) = host.replace_response_body(size, &bytes)
        {
            log::error!("an answer's model is not restored: {error}");
        }
    }
}
