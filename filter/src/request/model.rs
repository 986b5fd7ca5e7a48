//! What the model that a request names means for it: its rule, its new name, the list of all.

use std::ops::Range;

use super::{Request, Scan};
use crate::{
    headers::{self, HeaderMap},
    host::Host,
    metrics::ModelEvent,
    model_hints::ModelHints,
    outcome,
    worker::Fate,
};

impl Request {
    /// What becomes of a request for `model`. Where the model chooses the route it is shown to Envoy
    /// first, and `pool` becomes the one that it leads to.
    pub(super) fn fate(
        &self,
        host: &dyn Host,
        pool: &mut Option<usize>,
        model: &str,
        hints: &ModelHints,
    ) -> Fate {
        let mut worker = self.worker.borrow_mut();
        if worker.models().route {
            let base = worker.base_of_model(model);
            self.with_headers(host, |host| {
                let names = [
                    (headers::MODEL_NAME, Some(model)),
                    (headers::BASE_MODEL_NAME, base),
                ];
                names.into_iter().all(|(name, value)| {
                    value
                        .is_none_or(|value| host.set_request_header(name, value.as_bytes()).is_ok())
                })
            });
            *pool = worker.pool_of_model(model).or(*pool);
        }
        match *pool {
            Some(pool) => worker.fate(pool, model, hints),
            None => Fate::default(),
        }
    }

    /// Puts `target` in place of the model. Returns whether that worked.
    pub(super) fn rewrite(
        &self,
        host: &dyn Host,
        scan: &mut Scan,
        spans: &[Range<usize>],
        target: &str,
    ) -> bool {
        match scan.rewrite(host, spans, target) {
            None => false,
            Some(None) => true,
            Some(Some(length)) => self.with_headers(host, |host| {
                let length = length.to_string();
                host.set_request_header("content-length", length.as_bytes())
                    .is_ok()
            }),
        }
    }

    /// Answers `GET /v1/models` if a policy is to do that. Returns whether it did.
    pub(super) fn list_models(&self, host: &dyn Host, headers: &HeaderMap, pool: usize) -> bool {
        let path = headers.get(":path").unwrap_or_default();
        let path = path.split(|byte| *byte == b'?').next();
        if path != Some(b"/v1/models") || headers.get(":method") != Some(b"GET") {
            return false;
        }
        let worker = self.worker.borrow();
        let Some(body) = worker.list_models(pool) else {
            return false;
        };
        worker.metrics().model(host, ModelEvent::Listed);
        host.respond(200, outcome::JSON, &body).is_ok()
    }
}
