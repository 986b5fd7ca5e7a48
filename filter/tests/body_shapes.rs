//! What is learned of each request of `testdata/requests`: one row a file.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails by panicking"
)]

use std::collections::BTreeSet;

use filter::{
    body::{BodyScanner, Learned, ScanConfig, ScanOutcome},
    work::{Paths, Work},
};

mod body_corpus;

/// A path, a file, and what is learned: model, work, bytes of text, images and so on, limit of all
/// answers, answers to a prompt, prompts, whether streamed.
type Row = (
    &'static str,
    &'static str,
    Option<&'static str>,
    Work,
    u64,
    u32,
    Option<u64>,
    u64,
    u64,
    bool,
);

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

#[rustfmt::skip]
const ROWS: [Row; 31] = [
    (CHAT, "captured/chat.json", Some("tiny"), Work::Generate, 46, 0, Some(12), 1, 1, false),
    (CHAT, "captured/chat-parts.json", Some("tiny"), Work::Generate, 9, 0, Some(6), 1, 1, false),
    (CHAT, "captured/chat-stream-n2.json", Some("tiny"), Work::Generate, 46, 0, Some(8), 2, 1, true),
    (CHAT, "shapes/chat-tools.json", Some("m"), Work::Generate, 226, 0, None, 1, 1, false),
    (CHAT, "shapes/chat-image.json", Some("qwen2-vl"), Work::Generate, 13, 1, Some(32), 1, 1, false),
    (CHAT, "shapes/chat-image-address.json", Some("qwen2-vl"), Work::Generate, 13, 1, Some(64), 1, 1, false),
    (CHAT, "shapes/chat-audio.json", Some("omni"), Work::Generate, 0, 1, None, 1, 1, false),
    (CHAT, "shapes/chat-video.json", Some("qwen2-vl"), Work::Generate, 10, 1, None, 1, 1, false),
    (TEXT, "captured/completion.json", Some("tiny"), Work::Generate, 9, 0, Some(12), 1, 1, false),
    (TEXT, "captured/completion-n2-logprobs.json", Some("tiny"), Work::Generate, 15, 0, Some(20), 2, 2, false),
    (TEXT, "captured/completion-tokenids-prompt.json", Some("tiny"), Work::Generate, 16, 0, Some(5), 1, 1, false),
    (TEXT, "shapes/completions-batch.json", Some("m"), Work::Generate, 16, 0, Some(15), 1, 3, false),
    (TEXT, "shapes/completions-token-id-batch.json", Some("m"), Work::Generate, 24, 0, Some(48), 1, 3, false),
    ("/v1/responses", "captured/responses.json", Some("tiny"), Work::Generate, 9, 0, Some(8), 1, 1, false),
    ("/v1/responses", "shapes/responses-items.json", Some("m"), Work::Generate, 20, 0, Some(99), 1, 1, true),
    ("/v1/responses", "shapes/responses-image.json", Some("m"), Work::Generate, 13, 1, Some(32), 1, 1, false),
    ("/v1/messages", "captured/anthropic-messages.json", Some("tiny"), Work::Generate, 9, 0, Some(6), 1, 1, false),
    ("/v1/messages", "shapes/anthropic-cache-control.json", Some("claude-like"), Work::Generate, 84, 0, Some(1024), 1, 1, true),
    ("/v1/messages", "shapes/anthropic-image.json", Some("claude-like"), Work::Generate, 12, 1, Some(64), 1, 1, false),
    ("/v1/messages/count_tokens", "shapes/count-tokens.json", None, Work::Count, 0, 0, Some(0), 1, 1, false),
    ("/v1/embeddings", "shapes/embeddings-batch.json", Some("bge-m3"), Work::Encode, 21, 0, Some(0), 1, 1, false),
    ("/v1/embeddings", "shapes/embeddings-token-ids.json", Some("bge-m3"), Work::Encode, 12, 0, Some(0), 1, 1, false),
    ("/v1/rerank", "shapes/rerank.json", Some("bge-reranker"), Work::Encode, 29, 0, Some(0), 1, 1, false),
    ("/score", "shapes/score.json", Some("bge-reranker"), Work::Encode, 68, 0, Some(0), 1, 1, false),
    ("/v1/score", "shapes/score-queries.json", Some("bge-reranker"), Work::Encode, 29, 0, Some(0), 1, 1, false),
    ("/tokenize", "captured/tokenize.json", None, Work::Count, 0, 0, Some(0), 1, 1, false),
    ("/tokenize", "shapes/tokenize-chat.json", None, Work::Count, 0, 0, Some(0), 1, 1, false),
    ("/inference/v1/generate", "shapes/generate-token-ids.json", Some("tiny"), Work::Generate, 24, 0, Some(32), 2, 1, false),
    ("/v1/images/generations", "shapes/images-generation.json", Some("sdxl"), Work::Opaque, 0, 0, None, 2, 1, false),
    ("/v1/audio/speech", "shapes/audio-speech.json", Some("tts"), Work::Opaque, 0, 0, None, 1, 1, false),
    ("/v1/load_lora_adapter", "captured/lora-load.json", None, Work::Opaque, 0, 0, None, 1, 1, false),
];

fn learn(path: &str, body: &[u8]) -> (Work, Learned) {
    let mut scanner = BodyScanner::new(&ScanConfig {
        block_bytes: 16,
        ..ScanConfig::default()
    });
    let _progress = scanner.push(body);
    let mut learned = scanner.learn(true, Some(body.len() as u64));
    let work = Paths::default().work(Some(path.as_bytes()));
    work.limit(&mut learned.facts);
    (work, learned)
}

#[test]
fn each_shape_tells_what_it_can() {
    let samples = body_corpus::samples();
    let mut wrong = Vec::new();
    for (path, file, model, work, text, media, limit, choices, prompts, stream) in ROWS {
        let sample = samples.iter().find(|sample| sample.name == file);
        let (found, learned) = learn(path, &sample.expect(file).body);
        assert_eq!(learned.outcome, ScanOutcome::Complete, "{file}");
        let facts = &learned.facts;
        let of_media = if work == Work::Generate {
            4 * learned.media.tokens
        } else {
            0
        };
        let row = (
            path,
            file,
            facts.model.as_deref(),
            found,
            facts.prompt_bytes - of_media,
            learned.media.items,
            facts.max_tokens,
            learned.choices,
            learned.prompts,
            facts.stream,
        );
        if row
            != (
                path, file, model, work, text, media, limit, choices, prompts, stream,
            )
        {
            wrong.push(format!("{row:?}"));
        }
        if !(1..24).contains(&facts.prompt_bytes) {
            assert_eq!(facts.prefix.is_empty(), facts.prompt_bytes == 0, "{file}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_of_work_has_a_row() {
    let works: BTreeSet<_> = ROWS.iter().map(|row| format!("{:?}", row.3)).collect();
    assert_eq!(works.len(), 4);
}

#[test]
fn an_image_is_known_by_its_bytes_and_counts_by_its_size() {
    let body = |image: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{image}"}}}},{{"type":"text","text":"What is this? Answer in one sentence."}}]}}]}}"#
        )
    };
    let inline = |byte: &str| format!("data:image/png;base64,{}", byte.repeat(50_000));
    let one = learn(CHAT, body(&inline("A")).as_bytes()).1;
    assert_eq!(one.media.items, 1);
    assert_eq!(one.media.bytes, 50_022);
    assert_eq!(one.media.tokens, 256, "the least");
    assert_eq!(one.facts.prompt_bytes, 37 + 4 * 256);
    let same = learn(CHAT, body(&inline("A").replace('/', "\\/")).as_bytes()).1;
    assert_eq!(same.facts.prefix, one.facts.prefix, "however it is escaped");
    let other = learn(CHAT, body(&inline("B")).as_bytes()).1;
    assert_ne!(other.facts.prefix.last(), one.facts.prefix.last());
    let by_address = learn(CHAT, body("https://example.org/a.png").as_bytes()).1;
    assert_eq!(by_address.media.tokens, 256);
    let spelled = body("https://example.org/a.png").replace("image_url\":{", "text\":{");
    assert_ne!(
        learn(CHAT, spelled.as_bytes()).1.facts.prefix,
        by_address.facts.prefix
    );
}

#[test]
fn an_image_that_is_cut_off_counts_to_the_end_of_the_body() {
    let begin = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"#;
    let mut scanner = BodyScanner::new(&ScanConfig {
        cap_bytes: 1_000,
        ..ScanConfig::default()
    });
    let body = format!("{begin}{}", "A".repeat(2_000));
    let _progress = scanner.push(body.as_bytes());
    let learned = scanner.learn(false, Some(1_000_000));
    assert_eq!(learned.outcome, ScanOutcome::CapReached);
    assert_eq!(learned.media.items, 1);
    assert!(
        (3_900..3_907).contains(&learned.media.tokens),
        "{learned:?}"
    );
    assert_eq!(learned.facts.model.as_deref(), Some("m"));
}
