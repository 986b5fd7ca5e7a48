use super::*;
use crate::testing::FakeEnvoy;

const REFUSED: &str =
    include_str!("../../../testdata/answers/vllm-0.32.0-err-admission-chat-stream-status200.sse");

/// What a stream says when it comes in pieces of this size.
fn beginning(stream: &[u8], piece: usize) -> Beginning {
    let host = FakeEnvoy::new().vm();
    let context = host.stream(&[]);
    let mut first = FirstEvent::default();
    for chunk in stream.chunks(piece) {
        let size = host.chunk(context, chunk);
        match first.on_chunk(&host, size) {
            Beginning::Unknown => {}
            told => return told,
        }
    }
    Beginning::Unknown
}

#[test]
fn a_refusal_as_the_first_event_is_an_error_however_it_is_cut() {
    for piece in [1, 2, 3, 7, 20, 64, 65, 100_000] {
        assert_eq!(
            beginning(REFUSED.as_bytes(), piece),
            Beginning::Error,
            "{piece}"
        );
    }
}

#[test]
fn every_engines_good_streams_begin_well() {
    for name in [
        "chat-stream",
        "chat-stream-usage",
        "completion-stream-usage",
        "responses-stream",
        "anthropic-messages-stream",
    ] {
        let path = format!("../testdata/answers/vllm-0.32.0-{name}.sse");
        let stream = std::fs::read(path).unwrap();
        for piece in [1, 5, 64, 100_000] {
            assert_eq!(beginning(&stream, piece), Beginning::Well, "{name} {piece}");
        }
    }
}

#[test]
fn the_shapes_of_errors_and_whose_fault_they_are() {
    let table: [(&str, Beginning); 13] = [
        ("data: {\"error\":{\"code\":500}}\n", Beginning::Error),
        (
            "data:{ \"error\" : {\"message\":\"x\"}}\n",
            Beginning::Error,
        ),
        (
            "data: {\"object\":\"error\",\"code\":503}\n",
            Beginning::Error,
        ),
        (
            "event: error\ndata: {\"type\":\"error\"}\n",
            Beginning::Error,
        ),
        ("event: error\ndata: anything\n", Beginning::Error),
        (
            ": ping\n\nid: 1\nretry: 5\ndata: {\"error\":{\"code\":\"429\"}}\n",
            Beginning::Error,
        ),
        // The client's own fault.
        ("data: {\"error\":{\"code\":400}}\n", Beginning::Well),
        (
            "data: {\"error\":{\"message\":\"\\\"code\\\": 503\",\"code\":404}}\n",
            Beginning::Well,
        ),
        ("data: {\"error_free\":1}\n", Beginning::Well),
        ("data: [DONE]\n", Beginning::Well),
        (
            "data: {\"choices\":[{\"text\":\"{\\\"error\\\":1}\"}]}\n",
            Beginning::Well,
        ),
        ("<html>\n", Beginning::Well),
        ("data: {\"err", Beginning::Unknown),
    ];
    for (stream, expected) in table {
        for piece in [1, 64, 100_000] {
            assert_eq!(
                beginning(stream.as_bytes(), piece),
                expected,
                "{stream} {piece}"
            );
        }
    }
}

#[test]
fn a_stream_that_never_says_anything_is_not_read_for_ever() {
    let comments = b": ping\n\n".repeat(1_000);
    assert_eq!(beginning(&comments, 8), Beginning::Well);
    let long = [b"data: {\"error\":".to_vec(), vec![b'x'; 10_000]].concat();
    assert_eq!(
        beginning(&long, 1_000),
        Beginning::Well,
        "no end of it in sight"
    );
}

#[test]
fn a_stream_that_begins_well_is_read_once() {
    let host = FakeEnvoy::new().vm();
    let context = host.stream(&[]);
    let mut first = FirstEvent::default();
    for _ in 0..5 {
        let size = host.chunk(context, b"data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[]}\n\n and more");
        first.on_chunk(&host, size);
    }
    assert_eq!(host.reads(), 1);
}
