//! Server-sent events of a streamed completion, one a token, as captured.

use std::collections::VecDeque;
use std::fmt::Write;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use serde_json::json;

use super::Endpoint;
use super::generation::{Choice, Generation, Header};
use super::messages;
use super::response::{FINGERPRINT, Usage, cached_tokens, prompt_tokens};
use crate::engine::EventKind;
use crate::server::process::Progress;

/// The events of one streamed request.
#[derive(Debug)]
pub(crate) struct SseStream {
    generation: Generation,
    include_usage: bool,
    continuous_usage: bool,
    began: bool,
    over: bool,
    sent: Vec<u32>,
    ready: VecDeque<Bytes>,
}

impl SseStream {
    pub(crate) fn new(generation: Generation, include_usage: bool, continuous_usage: bool) -> Self {
        let sent = vec![0; generation.choices.len()];
        SseStream {
            generation,
            include_usage,
            continuous_usage: include_usage && continuous_usage,
            began: false,
            over: false,
            sent,
            ready: VecDeque::new(),
        }
    }

    /// The next event; `None` after the last.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.over {
                return Poll::Ready(None);
            }
            match ready!(self.generation.poll_progress(context)) {
                Some(Ok(progress)) => self.note(progress),
                Some(Err(error)) => {
                    self.ready.push_back(error.event_at(self.endpoint()).into());
                    self.end();
                }
                None => {
                    if self.endpoint() == Endpoint::Messages {
                        let Generation {
                            header, choices, ..
                        } = &self.generation;
                        let events = messages::end(header, choices);
                        self.ready.extend(events.map(Bytes::from));
                    } else if self.include_usage {
                        let event = self.usage_event();
                        self.ready.push_back(event);
                    }
                    self.end();
                }
            }
        }
    }

    fn end(&mut self) {
        self.over = true;
        match self.endpoint() {
            // Its last event says that it is the last; after an error nothing follows.
            Endpoint::Messages => {}
            Endpoint::Chat | Endpoint::Completions => self
                .ready
                .push_back(Bytes::from_static(b"data: [DONE]\n\n")),
        }
    }

    fn endpoint(&self) -> Endpoint {
        self.generation.header.endpoint
    }

    /// What stands before the first token.
    fn begin(&mut self) {
        let Generation {
            header, choices, ..
        } = &self.generation;
        match header.endpoint {
            Endpoint::Chat => {
                for index in 0..choices.len() {
                    let event = self.role_event(index);
                    self.ready.push_back(event);
                }
            }
            Endpoint::Completions => {}
            Endpoint::Messages => {
                let events = messages::beginning(header, choices);
                self.ready.extend(events.map(Bytes::from));
            }
        }
    }

    fn note(&mut self, progress: Progress) {
        match progress.kind {
            EventKind::FirstToken { .. } => {
                if !self.began {
                    self.begin();
                }
                self.began = true;
                self.token(progress.choice);
            }
            EventKind::Token => self.token(progress.choice),
            // The last token came with its own event, which knew that it was the last.
            EventKind::Finished(_) | EventKind::Preempted | EventKind::Rejected(_) => {}
        }
    }

    fn token(&mut self, choice: u32) {
        let place = choice as usize;
        let (Some(sent), Some(facts)) =
            (self.sent.get_mut(place), self.generation.choices.get(place))
        else {
            return;
        };
        let position = *sent;
        *sent += 1;
        if self.generation.header.endpoint == Endpoint::Messages {
            self.ready
                .push_back(messages::token(facts, position).into());
            return;
        }
        let last = *sent >= facts.output_tokens;
        let reason = if last {
            format!(r#""{}","stop_reason":null"#, facts.finish_reason())
        } else {
            "null".to_owned()
        };
        let delta = delta(facts, position);
        let mut event = self.beginning();
        match self.generation.header.endpoint {
            Endpoint::Chat | Endpoint::Messages => write!(
                event,
                r#"{{"index":{choice},"delta":{delta},"logprobs":null,"finish_reason":{reason},"token_ids":null}}]"#
            ),
            Endpoint::Completions => {
                let text = facts.token(position);
                let reason = if last { reason } else { r#"null,"stop_reason":null"#.to_owned() };
                write!(
                    event,
                    r#"{{"index":{choice},"text":"{text}","logprobs":null,"finish_reason":{reason},"prompt_token_ids":null,"token_ids":null}}]"#
                )
            }
        }
        .ok();
        self.push_continuous_usage(&mut event, place);
        if !self.include_usage && self.all_sent() {
            write!(event, r#","system_fingerprint":"{FINGERPRINT}""#).ok();
        }
        event.push_str("}\n\n");
        self.ready.push_back(event.into());
    }

    fn all_sent(&self) -> bool {
        let choices = &self.generation.choices;
        self.sent
            .iter()
            .zip(choices)
            .all(|(sent, choice)| *sent >= choice.output_tokens)
    }

    fn role_event(&self, index: usize) -> Bytes {
        let mut event = self.beginning();
        write!(
            event,
            r#"{{"index":{index},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]"#
        )
        .ok();
        self.push_continuous_usage(&mut event, index);
        event.push_str(",\"prompt_token_ids\":null,\"prompt_text\":null}\n\n");
        event.into()
    }

    fn usage_event(&self) -> Bytes {
        let Generation {
            header, choices, ..
        } = &self.generation;
        let mut event = self.beginning();
        event.push_str(r#"],"usage":"#);
        let cached = cached_tokens(choices);
        let further = match (header.details, header.endpoint) {
            (false, _) => String::new(),
            (true, Endpoint::Chat | Endpoint::Messages) => format!(
                r#","prompt_tokens_details":{{"cached_tokens":{cached},"created_cache_tokens":0}}"#
            ),
            (true, Endpoint::Completions) => {
                format!(r#","prompt_tokens_details":{{"cached_tokens":{cached}}}"#)
            }
        };
        Usage::of(header, choices).push(&mut event, &further);
        write!(event, ",\"system_fingerprint\":\"{FINGERPRINT}\"}}\n\n").ok();
        event.into()
    }

    fn push_continuous_usage(&self, event: &mut String, place: usize) {
        if self.continuous_usage {
            let Generation {
                header, choices, ..
            } = &self.generation;
            let completion = self.sent.get(place).map_or(0, |sent| u64::from(*sent));
            event.push_str(r#","usage":"#);
            Usage {
                prompt: prompt_tokens(header, choices),
                completion,
            }
            .push(event, r#","completion_tokens_details":null"#);
        }
    }

    fn beginning(&self) -> String {
        let Header {
            endpoint,
            id,
            created,
            model,
            ..
        } = &self.generation.header;
        let object = match endpoint {
            Endpoint::Chat | Endpoint::Messages => "chat.completion.chunk",
            Endpoint::Completions => "text_completion",
        };
        let mut event = String::with_capacity(320);
        write!(
            event,
            r#"data: {{"id":{id},"object":"{object}","created":{created},"model":{model},"choices":["#
        )
        .ok();
        event
    }
}

/// What a token adds to a chat's message. The first token of a call tells its name.
fn delta(choice: &Choice, position: u32) -> String {
    let token = choice.token(position);
    let Some(call) = &choice.call else {
        return format!(r#"{{"content":"{token}"}}"#);
    };
    let arguments = json!(token);
    let call = if position == 0 {
        let (id, name) = (json!(choice.call_id()), json!(call.name));
        format!(
            r#""id":{id},"type":"function","index":0,"function":{{"name":{name},"arguments":{arguments}}}"#
        )
    } else {
        format!(r#""index":0,"function":{{"arguments":{arguments}}}"#)
    };
    format!(r#"{{"tool_calls":[{{{call}}}]}}"#)
}
