use super::*;

#[test]
fn the_longest_known_end_of_a_path_decides() {
    let none = Paths::default();
    for (path, work) in [
        ("/v1/chat/completions", Work::Generate),
        ("/v1/completions", Work::Generate),
        ("/v1/completions?timeout=5", Work::Generate),
        ("/tenant/a/v1/responses", Work::Generate),
        ("/v1/messages", Work::Generate),
        ("/v1/messages/count_tokens", Work::Count),
        ("/inference/v1/generate", Work::Generate),
        ("/v1/embeddings", Work::Encode),
        ("/v2/rerank", Work::Encode),
        ("/rerank", Work::Encode),
        ("/score", Work::Encode),
        ("/tokenize", Work::Count),
        ("/v1/images/generations", Work::Opaque),
        ("/v1/audio/speech", Work::Opaque),
        ("/v1/audio/transcriptions", Work::Opaque),
        ("/v1/load_lora_adapter", Work::Opaque),
        ("/generate", Work::Opaque),
        ("/v1/underscore", Work::Opaque),
        ("/v1/completions/", Work::Opaque),
        ("/?x=/v1/completions", Work::Opaque),
        ("", Work::Opaque),
    ] {
        assert_eq!(none.work(Some(path.as_bytes())), work, "{path}");
    }
    assert_eq!(none.work(None), Work::Generate);
    assert_eq!(none.work(Some(b"\xff\xfe")), Work::Opaque);
}

#[test]
fn the_configuration_wins_where_it_says_as_much_and_loses_where_it_says_less() {
    let paths = Paths(vec![
        ("/completions".to_owned(), Work::Opaque),
        ("/ask".to_owned(), Work::Generate),
        ("/pictures/ask".to_owned(), Work::Opaque),
    ]);
    for (path, work) in [
        ("/v1/completions", Work::Opaque),
        ("/v1/chat/completions", Work::Generate),
        ("/ask", Work::Generate),
        ("/v1/pictures/ask", Work::Opaque),
    ] {
        assert_eq!(paths.work(Some(path.as_bytes())), work, "{path}");
    }
}

#[test]
fn what_is_not_prefilled_or_decoded_is_not_counted() {
    let facts = RequestFacts {
        model: Some("m".to_owned()),
        prefix: vec![1],
        prompt_bytes: 100,
        stream: true,
        max_tokens: Some(7),
        ..RequestFacts::default()
    };
    let limited = |work: Work| {
        let mut facts = facts.clone();
        work.limit(&mut facts);
        facts
    };
    assert_eq!(limited(Work::Generate), facts);
    let encoded = limited(Work::Encode);
    assert_eq!((encoded.prompt_bytes, encoded.max_tokens), (100, Some(0)));
    assert_eq!(encoded.prefix, [1]);
    let counted = limited(Work::Count);
    assert_eq!((counted.prompt_bytes, counted.max_tokens), (0, Some(0)));
    assert_eq!((counted.model, counted.prefix), (None, vec![]));
    let opaque = limited(Work::Opaque);
    assert_eq!((opaque.prompt_bytes, opaque.max_tokens), (0, None));
    assert_eq!(
        opaque.model.as_deref(),
        Some("m"),
        "an adapter all the same"
    );
}
