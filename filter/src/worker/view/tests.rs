use picker::{InFlight, SplitMix64};

use super::*;
use crate::testing::{FakeEnvoy, FakeHost};

fn id(last: u8, generation: u64) -> EndpointId {
    EndpointId {
        address: ([10, 0, 0, last], 8000).into(),
        generation,
    }
}

fn snapshot(sequence: u64, ids: &[EndpointId]) -> PoolSnapshot {
    PoolSnapshot {
        pool: "p".to_owned(),
        version: SnapshotVersion {
            agent_id: 1,
            epoch: 1,
            sequence,
            taken_at_unix_ms: 0,
        },
        endpoints: ids.iter().map(|id| Endpoint::new(*id)).collect(),
    }
}

fn publish(host: &FakeHost, value: &[u8]) {
    let keys = PoolKeys::new("p");
    host.set_shared(&keys.snapshot, value).unwrap();
    slots::bump(host, &keys.version);
}

fn view() -> View {
    View::new("p", &[id(1, 0).address], AllowedAddresses::default())
}

fn ids(view: &View) -> Vec<EndpointId> {
    view.endpoints()
        .iter()
        .map(|endpoint| endpoint.id)
        .collect()
}

#[test]
fn seeds_serve_until_the_first_state_and_never_again() {
    let host = FakeEnvoy::new().vm();
    let mut view = view();
    assert_eq!(view.reload(&host), Reload::Unchanged);
    assert_eq!(ids(&view), [id(1, 0)]);
    publish(&host, &pool::encode(&snapshot(1, &[id(2, 7), id(3, 7)])));
    assert_eq!(view.reload(&host), Reload::Replaced { refused: 0 });
    assert_eq!(ids(&view), [id(2, 7), id(3, 7)]);
    assert_eq!(
        view.reload(&host),
        Reload::Unchanged,
        "until the version moves"
    );
    publish(&host, &pool::encode(&snapshot(2, &[])));
    assert_eq!(view.reload(&host), Reload::Replaced { refused: 0 });
    assert_eq!(ids(&view), [], "an empty pool is empty");
}

#[test]
fn endpoints_outside_the_allowed_networks_are_left_out() {
    let host = FakeEnvoy::new().vm();
    let mut view = view();
    let evil = ["127.0.0.1:9901", "169.254.169.254:80", "[::1]:80"].map(|text| EndpointId {
        address: text.parse().unwrap(),
        generation: 1,
    });
    let mut all = vec![id(2, 1), evil[0], evil[1], evil[2]];
    all.sort();
    publish(&host, &pool::encode(&snapshot(1, &all)));
    assert_eq!(view.reload(&host), Reload::Replaced { refused: 3 });
    assert_eq!(ids(&view), [id(2, 1)]);
}

#[test]
fn poison_changes_nothing() {
    let host = FakeEnvoy::new().vm();
    let mut view = view();
    publish(&host, &pool::encode(&snapshot(5, &[id(2, 1)])));
    view.reload(&host);
    let good = pool::encode(&snapshot(6, &[id(9, 1)]));
    let mut other_pool = snapshot(7, &[id(9, 1)]);
    other_pool.pool = "q".to_owned();
    let mut poison = vec![
        Vec::new(),
        vec![0xff; 500],
        pool::encode(&other_pool),
        pool::encode(&snapshot(4, &[id(9, 1)])),
    ];
    for cut in 0..good.len() {
        poison.push(good[..cut].to_vec());
        let mut flipped = good.clone();
        flipped[cut] ^= 0x20;
        poison.push(flipped);
    }
    for value in poison {
        publish(&host, &value);
        assert!(
            matches!(view.reload(&host), Reload::Rejected(_)),
            "{value:?}"
        );
        assert_eq!(view.reload(&host), Reload::Unchanged, "looked at once");
        assert_eq!(ids(&view), [id(2, 1)]);
    }
    host.set_shared(&PoolKeys::new("p").version, b"rubbish")
        .unwrap();
    assert_eq!(view.reload(&host), Reload::Unchanged);
    publish(&host, &good);
    assert_eq!(view.reload(&host), Reload::Replaced { refused: 0 });
    assert_eq!(ids(&view), [id(9, 1)], "and the next good state is taken");
}

#[test]
fn another_life_of_an_address_starts_at_zero_except_for_seeds() {
    let host = FakeEnvoy::new().vm();
    let mut ledger = Ledger::new();
    let others = Others::new(1);
    let breaker = Breaker::new(SplitMix64::new(1));
    let mut view = view();
    let requests = |view: &mut View| {
        let pool = view.at(Millis(1), &breaker, &Backpressure::default());
        let counts = pool.local.iter().map(|local| local.in_flight.requests);
        counts.collect::<Vec<_>>()
    };
    ledger.begin(id(1, 0), 1, 1);
    view.recount(&ledger, &others);
    assert_eq!(requests(&mut view), [1]);
    publish(&host, &pool::encode(&snapshot(1, &[id(1, 7)])));
    view.reload(&host);
    view.recount(&ledger, &others);
    assert_eq!(
        requests(&mut view),
        [1],
        "sent when only the seed was known"
    );
    ledger.begin(id(1, 7), 1, 1);
    view.recount_own(id(1, 7).address, &ledger);
    assert_eq!(requests(&mut view), [2]);
    publish(&host, &pool::encode(&snapshot(2, &[id(1, 8)])));
    view.reload(&host);
    ledger.end(id(1, 0), 1, Some(1));
    view.recount(&ledger, &others);
    assert_eq!(requests(&mut view), [0], "a reused address is new");
    assert_eq!(view.loads().count(), 0);
    assert_eq!(
        ledger.get(id(1, 7)),
        InFlight {
            requests: 1,
            tokens: 1,
            prefilling: 1,
            prefill_tokens: 1,
        }
    );
}
