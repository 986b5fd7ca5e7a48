//! The choices of one request inside the engine, and their end if the client leaves.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Endpoint;
use super::errors::ApiError;
use super::filler::Filler;
use super::prompt::BlockChain;
use super::request::CompletionRequest;
use super::tool::ToolCall;
use crate::engine::{EventKind, LoraId, Request, RequestId};
use crate::lengths::{SHAREGPT_OUTPUT, mix};
use crate::server::locked;
use crate::server::process::{Progress, Submission, unix_seconds};
use crate::server::shared::Shared;

/// One text to generate.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) cached_tokens: u32,
    /// The text ends by itself, not by a limit.
    pub(crate) stops: bool,
    filler: Filler,
    /// Generated in place of the filler.
    pub(crate) call: Option<Arc<ToolCall>>,
    seed: u64,
}

impl Choice {
    /// As the OpenAI endpoints call it. vLLM ends the call of a named function like a text.
    pub(crate) fn finish_reason(&self) -> &'static str {
        match &self.call {
            _ if !self.stops => "length",
            Some(call) if !call.named => "tool_calls",
            _ => "stop",
        }
    }

    /// The token at `position`.
    pub(crate) fn token(&self, position: u32) -> &str {
        match &self.call {
            None => self.filler.token(position),
            Some(call) => call.token(position),
        }
    }

    /// The text without any call.
    pub(crate) fn text(&self) -> String {
        self.filler.text(self.output_tokens)
    }

    /// What an answer to the call refers to.
    pub(crate) fn call_id(&self) -> String {
        format!("chatcmpl-tool-{:016x}", self.seed)
    }
}

/// What all answers to a request repeat.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) endpoint: Endpoint,
    /// As JSON, with quotes.
    pub(crate) id: String,
    pub(crate) created: u64,
    /// As JSON, with quotes.
    pub(crate) model: String,
    pub(crate) n: u32,
    pub(crate) details: bool,
}

/// A request in the engine. Dropping it aborts what is not finished.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) header: Header,
    pub(crate) choices: Vec<Choice>,
    shared: Arc<Shared>,
    life: u64,
    unfinished: Vec<Option<RequestId>>,
    receiver: UnboundedReceiver<Progress>,
}

impl Generation {
    /// Checks the request against models and limits and submits it.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        endpoint: Endpoint,
        request: &CompletionRequest,
    ) -> Result<Generation, ApiError> {
        let config = &shared.config;
        let model = request
            .model
            .clone()
            .unwrap_or_else(|| config.model.clone());
        let lora = adapter(shared, &model)?;
        let engine = config.engine_config();
        let max_model_len = u64::from(engine.max_model_len);
        if let Some(tokens) = request.max_tokens.filter(|tokens| *tokens > max_model_len) {
            let message = format!(
                "max_tokens={tokens} cannot be greater than max_model_len={max_model_len}. Please \
                 request fewer output tokens."
            );
            return Err(ApiError::bad_value(
                "max_tokens",
                &message,
                &tokens.to_string(),
            ));
        }
        let root = lora.map_or("", |_| model.as_str());
        let call = request.call.clone().map(Arc::new);
        let mut choices = Vec::new();
        let mut requests = Vec::new();
        for prompt in &request.prompts {
            let room = max_model_len.saturating_sub(prompt.tokens());
            if room == 0 {
                return Err(ApiError::too_long(max_model_len));
            }
            if let Some(output) = request.max_tokens.filter(|output| *output > room) {
                return Err(ApiError::too_long_with_output(
                    max_model_len,
                    prompt.tokens(),
                    output,
                ));
            }
            let mut chain = BlockChain::new(engine.block_tokens, root);
            chain.push(&prompt.bytes);
            let text_seed = xxhash_rust::xxh64::xxh64(&prompt.bytes, config.seed);
            for number in 0..request.n {
                let seed = mix(text_seed.wrapping_add(u64::from(number)));
                let drawn = u64::from(SHAREGPT_OUTPUT.draw(seed));
                let (output, stops) = match &call {
                    None => (
                        request.max_tokens.unwrap_or(drawn).min(room),
                        request.max_tokens.is_none() && drawn <= room,
                    ),
                    Some(call) => {
                        let whole = u64::from(call.tokens());
                        let limit = request.max_tokens.unwrap_or(room).min(room);
                        (whole.min(limit), whole <= limit)
                    }
                };
                let output = output as u32;
                let choice = Choice {
                    prompt_tokens: prompt.tokens() as u32,
                    output_tokens: output,
                    cached_tokens: 0,
                    stops,
                    filler: Filler::new(seed),
                    call: call.clone(),
                    seed,
                };
                let mut chain = chain.clone();
                for position in 0..output {
                    chain.push(choice.token(position).as_bytes());
                }
                requests.push(Request {
                    prompt_tokens: choice.prompt_tokens,
                    output_tokens: output,
                    block_hashes: chain.hashes().into(),
                    lora,
                    token_events: request.stream,
                });
                choices.push(choice);
            }
        }
        Generation::submit(shared, endpoint, request, &model, choices, requests)
    }

    fn submit(
        shared: &Arc<Shared>,
        endpoint: Endpoint,
        request: &CompletionRequest,
        model: &str,
        choices: Vec<Choice>,
        requests: Vec<Request>,
    ) -> Result<Generation, ApiError> {
        let (sender, receiver) = unbounded_channel();
        let mut process = locked(&shared.process);
        let waiting = process.engine.live().waiting;
        if shared
            .config
            .max_queued_requests
            .is_some_and(|limit| waiting >= limit)
        {
            process.counters.admission_rejections += 1;
            return Err(ApiError::busy());
        }
        process.counters.params_n.observe(f64::from(request.n));
        let mut unfinished = Vec::with_capacity(requests.len());
        let mut wake = false;
        for (number, (engine_request, choice)) in requests.into_iter().zip(&choices).enumerate() {
            let tokens = f64::from(choice.output_tokens);
            process.counters.params_max_tokens.observe(tokens);
            process.counters.max_generation_tokens.observe(tokens);
            let submission = Submission {
                request: engine_request,
                choice: number as u32,
                stops: choice.stops,
            };
            let (id, was_idle) = process.submit(submission, &sender);
            unfinished.push(Some(id));
            wake |= was_idle;
        }
        let (life, number) = (process.life, process.engine.counters().submitted);
        drop(process);
        if wake {
            shared.wake.notify_one();
        }
        let prefix = match endpoint {
            Endpoint::Chat | Endpoint::Messages => "chatcmpl",
            Endpoint::Completions => "cmpl",
        };
        let id = match &request.request_id {
            Some(id) => format!("{prefix}-{id}"),
            None => format!(
                "{prefix}-{:016x}",
                mix(shared.instance_seed() ^ mix(life) ^ number)
            ),
        };
        let header = Header {
            endpoint,
            id: serde_json::Value::from(id).to_string(),
            created: unix_seconds() as u64,
            model: serde_json::Value::from(model).to_string(),
            n: request.n,
            details: shared.config.prompt_tokens_details,
        };
        Ok(Generation {
            header,
            choices,
            shared: Arc::clone(shared),
            life,
            unfinished,
            receiver,
        })
    }

    /// The next thing that happens; `None` once every choice is finished.
    pub(crate) fn poll_progress(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Progress, ApiError>>> {
        if self.unfinished.iter().all(Option::is_none) {
            return Poll::Ready(None);
        }
        let Poll::Ready(progress) = self.receiver.poll_recv(context) else {
            return Poll::Pending;
        };
        // The sender is gone when the process was killed under the request.
        let Some(progress) = progress else {
            self.unfinished.clear();
            return Poll::Ready(Some(Err(ApiError::engine_dead())));
        };
        let place = progress.choice as usize;
        match progress.kind {
            EventKind::FirstToken { cached_tokens } => self.note_cached(place, cached_tokens),
            EventKind::Finished(summary) => {
                self.note_cached(place, summary.cached_tokens);
                self.note_end(place);
            }
            EventKind::Rejected(_) => {
                self.note_end(place);
                let limit = u64::from(self.shared.config.engine_config().max_model_len);
                return Poll::Ready(Some(Err(ApiError::too_long(limit))));
            }
            EventKind::Token | EventKind::Preempted => {}
        }
        Poll::Ready(Some(Ok(progress)))
    }

    /// Waits until every choice is finished.
    pub(crate) async fn finished(&mut self) -> Result<(), ApiError> {
        while let Some(progress) = std::future::poll_fn(|context| self.poll_progress(context)).await
        {
            progress?;
        }
        Ok(())
    }

    fn note_cached(&mut self, place: usize, cached_tokens: u32) {
        if let Some(choice) = self.choices.get_mut(place) {
            choice.cached_tokens = cached_tokens;
        }
    }

    fn note_end(&mut self, place: usize) {
        if let Some(id) = self.unfinished.get_mut(place) {
            *id = None;
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.unfinished.iter().all(Option::is_none) {
            return;
        }
        let mut process = locked(&self.shared.process);
        // A new process knows nothing of these requests, and may use their names for others.
        if process.life == self.life {
            for id in self.unfinished.iter().flatten() {
                process.abort(*id);
            }
        }
    }
}

fn adapter(shared: &Shared, model: &str) -> Result<Option<LoraId>, ApiError> {
    if model == shared.config.model {
        return Ok(None);
    }
    let process = locked(&shared.process);
    match process.loras.find(model) {
        Some(id) => Ok(Some(id)),
        None => Err(ApiError::unknown_model(model, &shared.config.model)),
    }
}
