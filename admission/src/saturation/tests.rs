#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use picker::{EndpointId, Millis, Signal};

use super::*;

const NOW: Millis = Millis(10_000);

fn endpoint(waiting: f32, kv: f32, age_ms: u64) -> Endpoint {
    let id = EndpointId {
        address: ([10, 0, 0, 1], 8000).into(),
        generation: 0,
    };
    let mut endpoint = Endpoint::new(id);
    endpoint.signals.waiting = Some(Signal::new(waiting, NOW.minus(age_ms)));
    endpoint.signals.kv_usage = Some(Signal::new(kv, NOW.minus(age_ms)));
    endpoint
}

/// The vectors of the reference's own tests, with its limits there: 5 waiting, 0.9 KV cache, 200 ms.
#[test]
fn the_references_vectors_hold() {
    let missing = {
        let mut endpoint = endpoint(0.0, 0.0, 0);
        endpoint.signals = picker::Signals::default();
        endpoint
    };
    let vectors: [(&str, Vec<Endpoint>, f32); 9] = [
        ("half full cache", vec![endpoint(2.0, 0.5, 0)], 0.5556),
        ("long queue", vec![endpoint(10.0, 0.1, 0)], 2.0),
        ("full cache", vec![endpoint(1.0, 0.95, 0)], 1.0556),
        (
            "one good, one stale",
            vec![endpoint(2.0, 0.5, 0), endpoint(0.0, 0.0, 201)],
            (0.5556 + 1.0) / 2.0,
        ),
        (
            "one good, one bad",
            vec![endpoint(1.0, 0.1, 0), endpoint(15.0, 0.2, 0)],
            1.6,
        ),
        ("nobody", vec![], 1.0),
        ("no metrics", vec![missing.clone()], 1.0),
        ("stale", vec![endpoint(0.0, 0.0, 201)], 1.0),
        ("just fresh", vec![endpoint(0.0, 0.0, 200)], 0.0),
    ];
    for (name, endpoints, expected) in vectors {
        let got = utilization(&endpoints, NOW, (5.0, 0.9), 200, Missing::Full);
        assert!((got - expected).abs() < 1e-3, "{name}: {got}");
    }
}

#[test]
fn what_is_missing_never_halts_a_pool() {
    let view = |endpoints| PoolView {
        endpoints,
        local: &[],
        now: NOW,
    };
    let ladder = Ladder::default();
    assert_eq!(of_pool(&view(&[]), &ladder), 0.0);
    let stale = [endpoint(100.0, 1.0, 5_001)];
    assert_eq!(of_pool(&view(&stale), &ladder), 0.0);
    let both = [endpoint(100.0, 1.0, 5_001), endpoint(5.0, 0.1, 100)];
    assert_eq!(of_pool(&view(&both), &ladder), 1.0);
}

#[test]
fn ours_is_the_share_of_the_target() {
    let estimate = Estimate {
        ttft_ms: 300.0,
        ..Estimate::default()
    };
    assert!((by_ttft(estimate, 200.0) - 1.5).abs() < 1e-6);
    assert_eq!(by_ttft(Estimate::default(), 200.0), 0.0);
}
