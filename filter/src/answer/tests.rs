use super::*;
use crate::testing::{FakeEnvoy, FakeHost};

struct Rig {
    host: FakeHost,
    context: u32,
    answer: Answer,
}

impl Rig {
    fn new(watch: Watch) -> Self {
        let host = FakeEnvoy::new().vm();
        let context = host.stream(&[]);
        let mut answer = Answer::new(watch, host.monotonic_nanos());
        answer.on_headers(&host, true);
        Self {
            host,
            context,
            answer,
        }
    }

    fn chunk(&mut self, after_ms: u64, chunk: &[u8], end_of_stream: bool) -> bool {
        self.host.envoy().advance_ms(after_ms);
        let size = self.host.chunk(self.context, chunk);
        self.answer
            .on_chunk(&self.host, size, end_of_stream)
            .is_first
    }
}

const STREAM: Watch = Watch {
    streamed: Some(true),
    reports_usage: false,
};
const REPORTING: Watch = Watch {
    streamed: Some(true),
    reports_usage: true,
};
const DOCUMENT: &[u8] =
    br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8}}}"#;

fn event(text: &str) -> Vec<u8> {
    format!(r#"data: {{"id":"x","object":"chat.completion.chunk","choices":[{{"delta":{{"content":"{text}"}}}}]}}"#)
        .into_bytes()
}

#[test]
fn a_streams_times_are_those_of_its_first_and_last_chunk() {
    let mut rig = Rig::new(STREAM);
    assert!(!rig.chunk(5, b"", false), "nothing is no chunk");
    assert!(rig.chunk(10, &event("a"), false));
    assert!(!rig.chunk(20, &event("b"), false));
    assert!(!rig.chunk(30, &event("c"), false));
    assert!(!rig.chunk(1, b"data: [DONE]\n\n", false));
    assert_eq!(rig.answer.measured(), None, "it may still be cut off");
    assert!(!rig.chunk(4, b"", true));
    let measured = rig.answer.measured().unwrap();
    assert_eq!(measured.first_token_ms, Some(15.0));
    assert_eq!(measured.total_ms, 70.0);
    assert_eq!(measured.usage.output_tokens, Some(2));
    assert_eq!(measured.usage.prompt_tokens, None);
    assert_eq!(
        rig.host.reads(),
        0,
        "bytes that nobody asked to report are not read"
    );
}

#[test]
fn events_that_pass_together_are_counted_apart() {
    let mut rig = Rig::new(STREAM);
    rig.chunk(1, &event("abcd"), false);
    rig.chunk(1, &event("efgh").repeat(40), false);
    rig.chunk(1, &event("ijkl").repeat(9), true);
    assert_eq!(rig.answer.measured().unwrap().usage.output_tokens, Some(49));
}

#[test]
fn an_answer_tells_what_its_request_did_not() {
    for (content_type, streamed) in [
        (Some("text/event-stream; charset=utf-8"), true),
        (Some("application/json"), false),
        (None, false),
    ] {
        let mut rig = Rig::new(Watch::default());
        if let Some(content_type) = content_type {
            let name = "content-type";
            rig.host
                .respond_header(rig.context, name, content_type.as_bytes());
        }
        rig.answer.on_headers(&rig.host, true);
        assert_eq!(rig.answer.is_streamed(), streamed, "{content_type:?}");
        rig.chunk(1, DOCUMENT, true);
        assert_eq!(rig.host.reads(), u32::from(!streamed));
    }
}

#[test]
fn an_error_after_the_status_is_not_taken_for_an_answer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/answers");
    let name = format!("{folder}/vllm-0.32.0-err-admission-chat-stream-status200.sse");
    for watch in [STREAM, REPORTING] {
        let mut rig = Rig::new(watch);
        rig.chunk(1, &std::fs::read(&name).unwrap(), true);
        assert_eq!(rig.answer.measured(), None);
    }
}

#[test]
fn a_reporting_stream_is_read_and_its_own_counts_are_taken() {
    let mut rig = Rig::new(REPORTING);
    rig.chunk(1, &event("abcd").repeat(9), false);
    let last = [b"\n\ndata: ", DOCUMENT, b"\n\ndata: [DONE]\n\n"].concat();
    let (head, tail) = last.split_at(40);
    rig.chunk(1, head, false);
    rig.chunk(1, tail, true);
    let usage = rig.answer.measured().unwrap().usage;
    assert_eq!(usage.output_tokens, Some(4));
    assert_eq!(usage.prompt_tokens, Some(9));
    assert_eq!(usage.cached_tokens, Some(8));
}

#[test]
fn of_a_document_the_tail_is_read_and_its_first_token_is_unknown() {
    let mut rig = Rig::new(Watch::default());
    assert!(rig.chunk(7, &[b' '; 100_000], false));
    rig.chunk(1, DOCUMENT, true);
    let measured = rig.answer.measured().unwrap();
    assert_eq!(measured.first_token_ms, None);
    assert_eq!(measured.total_ms, 8.0);
    assert_eq!(measured.usage.output_tokens, Some(4));
}

#[test]
fn nothing_is_learned_of_a_failure_or_of_what_says_nothing() {
    let mut rig = Rig::new(Watch::default());
    rig.answer.on_headers(&rig.host, false);
    rig.chunk(1, DOCUMENT, true);
    assert_eq!(rig.answer.measured(), None, "a failure");
    assert_eq!(rig.host.reads(), 0);
    let mut rig = Rig::new(Watch::default());
    rig.chunk(1, b"{}", true);
    assert_eq!(rig.answer.measured(), None, "no counts");
    let mut rig = Rig::new(STREAM);
    rig.chunk(0, b"", true);
    assert_eq!(rig.answer.measured(), None, "nothing at all");
}
