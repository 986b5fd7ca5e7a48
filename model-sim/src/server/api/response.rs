//! The JSON of a finished completion, field for field as captured.

use std::fmt::Write;

use serde_json::json;

use super::Endpoint;
use super::generation::{Choice, Generation, Header};

pub(crate) const FINGERPRINT: &str = "vllm-0.32.0-e41036cc";

/// The whole answer of a request that was not streamed.
pub(crate) fn finished(generation: &Generation) -> String {
    let Generation {
        header, choices, ..
    } = generation;
    let Header {
        endpoint,
        id,
        created,
        model,
        ..
    } = header;
    let object = match endpoint {
        Endpoint::Chat | Endpoint::Messages => "chat.completion",
        Endpoint::Completions => "text_completion",
    };
    let mut body = format!(
        r#"{{"id":{id},"object":"{object}","created":{created},"model":{model},"choices":["#
    );
    for (index, choice) in choices.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        push_choice(&mut body, *endpoint, index, choice);
    }
    body.push_str(r#"],"service_tier":null,"system_fingerprint":""#);
    body.push_str(FINGERPRINT);
    body.push_str(r#"","usage":"#);
    let details = match (header.details, endpoint) {
        (false, _) => "null".to_owned(),
        (true, endpoint) => {
            let cached = cached_tokens(choices);
            let created = if *endpoint == Endpoint::Chat {
                "0"
            } else {
                "null"
            };
            format!(
                r#"{{"cached_tokens":{cached},"created_cache_tokens":{created},"multimodal_tokens":null}}"#
            )
        }
    };
    let usage = Usage::of(header, choices);
    usage.push(
        &mut body,
        &format!(r#","prompt_tokens_details":{details},"completion_tokens_details":null"#),
    );
    body.push_str(match endpoint {
        Endpoint::Chat | Endpoint::Messages => {
            r#","prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}"#
        }
        Endpoint::Completions => {
            r#","kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}"#
        }
    });
    body
}

fn push_choice(body: &mut String, endpoint: Endpoint, index: usize, choice: &Choice) {
    let (text, calls) = match &choice.call {
        None => (choice.text(), String::new()),
        Some(call) => {
            let (id, name) = (json!(choice.call_id()), json!(call.name));
            let arguments = json!(call.arguments);
            let call = format!(
                r#""tool_calls":[{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}],"#
            );
            (String::new(), call)
        }
    };
    let reason = choice.finish_reason();
    // Writing to a string cannot fail.
    match endpoint {
        Endpoint::Chat | Endpoint::Messages => write!(
            body,
            r#"{{"index":{index},"message":{{"role":"assistant","content":"{text}","refusal":null,"annotations":null,"audio":null,"function_call":null,{calls}"reasoning":null}},"logprobs":null,"finish_reason":"{reason}","stop_reason":null,"token_ids":null,"routed_experts":null}}"#
        ),
        Endpoint::Completions => write!(
            body,
            r#"{{"index":{index},"text":"{text}","logprobs":null,"finish_reason":"{reason}","stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null,"routed_experts":null}}"#
        ),
    }
    .ok();
}

/// Prompt tokens are counted once a prompt, output tokens once a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

impl Usage {
    pub(crate) fn of(header: &Header, choices: &[Choice]) -> Self {
        Usage {
            prompt: prompt_tokens(header, choices),
            completion: choices
                .iter()
                .map(|choice| u64::from(choice.output_tokens))
                .sum(),
        }
    }

    /// Appends the usage object, with `further` fields at its end.
    pub(crate) fn push(self, body: &mut String, further: &str) {
        let Usage { prompt, completion } = self;
        let total = prompt + completion;
        write!(
            body,
            r#"{{"prompt_tokens":{prompt},"total_tokens":{total},"completion_tokens":{completion}{further}}}"#
        )
        .ok();
    }
}

pub(crate) fn prompt_tokens(header: &Header, choices: &[Choice]) -> u64 {
    let prompts = choices.iter().step_by(header.n.max(1) as usize);
    prompts.map(|choice| u64::from(choice.prompt_tokens)).sum()
}

/// Of the first choice, as vLLM reports it.
pub(crate) fn cached_tokens(choices: &[Choice]) -> u32 {
    choices.first().map_or(0, |choice| choice.cached_tokens)
}
