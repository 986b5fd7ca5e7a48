//! Behaviour of the whole engine.

mod capacity;
mod properties;
mod scheduling;

use super::{Engine, EngineConfig, Event, EventKind, Request, RequestId};

/// A request of these lengths without a prefix.
fn request(prompt_tokens: u32, output_tokens: u32) -> Request {
    Request {
        prompt_tokens,
        output_tokens,
        ..Request::default()
    }
}

/// Runs the engine until it is idle and gives all events.
fn drain(engine: &mut Engine) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(at) = engine.next_event_at() {
        events.extend(engine.advance(at));
        engine.check();
        assert!(events.len() < 10_000_000, "the engine never becomes idle");
    }
    events
}

fn time_of(events: &[Event], id: RequestId, wanted: fn(&EventKind) -> bool) -> f64 {
    let mut found = events
        .iter()
        .filter(|event| event.id == id && wanted(&event.kind));
    let event = found.next().expect("the event is there");
    assert!(found.next().is_none(), "it is there once");
    event.at.as_seconds()
}

fn first_token(events: &[Event], id: RequestId) -> f64 {
    time_of(events, id, |kind| {
        matches!(kind, EventKind::FirstToken { .. })
    })
}

fn finish(events: &[Event], id: RequestId) -> f64 {
    time_of(events, id, |kind| matches!(kind, EventKind::Finished(_)))
}

fn small(kv_blocks: u32) -> EngineConfig {
    EngineConfig {
        kv_blocks,
        ..EngineConfig::default()
    }
}
