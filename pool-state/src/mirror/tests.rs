//! The copy follows the agent, and nothing that is refused or held changes it.

use picker::{Endpoint, Entropy, Millis, PoolSnapshot, Signal, SplitMix64};

use super::*;
use crate::{
    convert::{delta_to_proto, endpoint_to_proto, snapshot_to_proto},
    testing::{clock, id, random_endpoint, random_pool, sample, version},
};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(not(target_arch = "wasm32"))]
mod properties;

const NOW: Millis = Millis(9_200);

fn at(sequence: u64, endpoints: Vec<Endpoint>) -> PoolSnapshot {
    PoolSnapshot {
        pool: "default".to_owned(),
        version: version(1, 2, sequence),
        endpoints,
    }
}

fn endpoint(address: &str, generation: u64) -> Endpoint {
    Endpoint::new(id(address, generation))
}

fn mirror_of(snapshot: &PoolSnapshot) -> PoolMirror {
    let mut mirror = PoolMirror::new(&snapshot.pool);
    let applied = mirror.apply_snapshot(snapshot_to_proto(snapshot, NOW), NOW);
    assert_eq!(applied, Ok(Applied::Taken));
    mirror
}

#[test]
fn a_snapshot_is_taken_as_it_is() {
    let mirror = mirror_of(&sample());
    assert_eq!(mirror.snapshot(), Some(&sample()));
    assert_eq!(PoolMirror::new("default").snapshot(), None);
}

#[test]
fn endpoints_are_sorted_whatever_their_order_in_the_message() {
    let mut raw = snapshot_to_proto(&sample(), NOW);
    raw.endpoints.reverse();
    let mut mirror = PoolMirror::new("default");
    assert_eq!(mirror.apply_snapshot(raw, NOW), Ok(Applied::Taken));
    assert_eq!(mirror.snapshot(), Some(&sample()));
}

#[test]
fn a_delta_patches_the_copy() {
    let old = sample();
    let mut mirror = mirror_of(&old);
    let mut new = sample();
    new.version.sequence += 1;
    new.endpoints.remove(1);
    new.endpoints[0].signals.waiting = None;
    new.endpoints.push(endpoint("[2001:db8::2]:1", 4));
    let delta = delta_to_proto(&old, &new, NOW);
    assert_eq!(mirror.apply_delta(delta, NOW), Ok(Applied::Taken));
    assert_eq!(mirror.snapshot(), Some(&new));
}

#[test]
fn a_delta_that_skips_a_publication_is_a_gap() {
    let mut mirror = mirror_of(&sample());
    let mut base = sample();
    base.version.sequence = 4;
    let mut new = sample();
    new.version.sequence = 5;
    let gap = mirror.apply_delta(delta_to_proto(&base, &new, NOW), NOW);
    assert_eq!(
        gap,
        Err(ContractError::Gap {
            pool: "default".to_owned(),
            base: 4,
            held: Some(3)
        })
    );
    assert_eq!(mirror.snapshot(), Some(&sample()), "the copy stays");
    let snapshot = snapshot_to_proto(&new, NOW);
    assert_eq!(
        mirror.apply_snapshot(snapshot, NOW),
        Ok(Applied::Taken),
        "and the way out works"
    );
}

#[test]
fn a_delta_before_any_snapshot_is_a_gap() {
    let mut mirror = PoolMirror::new("default");
    let delta = delta_to_proto(&at(1, vec![]), &at(2, vec![]), NOW);
    assert!(matches!(
        mirror.apply_delta(delta, NOW),
        Err(ContractError::Gap { held: None, .. })
    ));
}

#[test]
fn a_delta_of_a_restarted_agent_is_a_gap() {
    let mut mirror = mirror_of(&sample());
    let mut old = sample();
    old.version = version(1, 3, 3);
    let mut new = sample();
    new.version = version(1, 3, 4);
    let delta = delta_to_proto(&old, &new, NOW);
    assert!(matches!(
        mirror.apply_delta(delta, NOW),
        Err(ContractError::Gap { held: None, .. })
    ));
    let snapshot = snapshot_to_proto(&new, NOW);
    assert_eq!(mirror.apply_snapshot(snapshot, NOW), Ok(Applied::Taken));
}

#[test]
fn old_messages_change_nothing() {
    let mut mirror = mirror_of(&sample());
    let again = snapshot_to_proto(&sample(), NOW);
    assert_eq!(mirror.apply_snapshot(again, NOW), Ok(Applied::Old));
    let mut earlier = sample();
    earlier.version.sequence = 2;
    earlier.endpoints.clear();
    let delta = delta_to_proto(&at(1, vec![]), &earlier, NOW);
    assert_eq!(mirror.apply_delta(delta, NOW), Ok(Applied::Old));
    assert_eq!(mirror.snapshot(), Some(&sample()));
}

#[test]
fn two_agents_are_never_merged() {
    let mut mirror = mirror_of(&sample());
    let other = PoolSnapshot {
        pool: "default".to_owned(),
        version: version(9, 1, 1),
        endpoints: vec![endpoint("10.9.9.9:9", 9)],
    };
    let raw = snapshot_to_proto(&other, NOW);
    assert_eq!(mirror.apply_snapshot(raw.clone(), NOW), Ok(Applied::Held));
    assert_eq!(mirror.snapshot(), Some(&sample()));
    let later = NOW.plus(1_000);
    assert_eq!(mirror.apply_snapshot(raw, later), Ok(Applied::Taken));
    assert_eq!(mirror.snapshot(), Some(&other));
}

#[test]
fn a_reused_address_is_a_new_endpoint() {
    let old = at(
        1,
        vec![endpoint("10.0.0.1:80", 7), endpoint("10.0.0.2:80", 1)],
    );
    for generation in [3, 8] {
        let new = at(
            2,
            vec![
                endpoint("10.0.0.1:80", generation),
                endpoint("10.0.0.2:80", 1),
            ],
        );
        let mut delta = delta_to_proto(&old, &new, NOW);
        assert_eq!((delta.upserts.len(), delta.removals.len()), (1, 1));
        let mut mirror = mirror_of(&old);
        assert_eq!(mirror.apply_delta(delta.clone(), NOW), Ok(Applied::Taken));
        assert_eq!(mirror.snapshot(), Some(&new));
        delta.removals.clear();
        let mut mirror = mirror_of(&old);
        assert_eq!(mirror.apply_delta(delta, NOW), Ok(Applied::Taken));
        assert_eq!(mirror.snapshot(), Some(&new), "no address has two lives");
    }
}

#[test]
fn a_refused_message_changes_nothing() {
    let pool = sample();
    let mut next = sample();
    next.version.sequence = 4;
    let good = snapshot_to_proto(&next, NOW);
    type Spoil = fn(&mut proto::Snapshot);
    let cases: [(Spoil, &str); 6] = [
        (
            |raw| raw.pool = "other".to_owned(),
            "snapshot.pool: expected pool default, got \"other\"",
        ),
        (|raw| raw.version = None, "snapshot.version: missing"),
        (
            |raw| raw.endpoints[1].id = None,
            "snapshot.endpoints[1].id: missing",
        ),
        (
            |raw| raw.endpoints[2].id.as_mut().expect("id").port = 70_000,
            "snapshot.endpoints[2].id.port: a port is 1..65535, got 70000",
        ),
        (
            |raw| raw.endpoints.push(raw.endpoints[0].clone()),
            "snapshot.endpoints: 10.0.0.1:8000 occurs twice",
        ),
        (
            |raw| raw.endpoints = vec![proto::Endpoint::default(); 10_001],
            "snapshot.endpoints: at most 10000 elements are allowed, got 10001",
        ),
    ];
    for (spoil, message) in cases {
        let mut mirror = mirror_of(&pool);
        let mut raw = good.clone();
        spoil(&mut raw);
        let refusal = mirror.apply_snapshot(raw, NOW).expect_err("a bad snapshot");
        assert_eq!(refusal.to_string(), message);
        assert_eq!(mirror.snapshot(), Some(&pool));
        assert_eq!(
            mirror.apply_snapshot(good.clone(), NOW),
            Ok(Applied::Taken),
            "a refused message must not count as taken"
        );
    }
}

#[test]
fn bad_deltas_change_nothing() {
    let old = sample();
    let mut new = sample();
    new.version.sequence = 4;
    new.endpoints[0].weight = 1.5;
    let gone = new.endpoints.remove(1).id;
    let good = delta_to_proto(&old, &new, NOW);
    type Spoil = fn(&mut proto::Delta);
    let cases: [(Spoil, &str); 5] = [
        (
            |raw| raw.upserts.push(raw.upserts[0].clone()),
            "delta.upserts: 10.0.0.1:8000 occurs twice",
        ),
        (
            |raw| raw.removals.push(raw.removals[0].clone()),
            "delta.removals[1]: 10.0.0.2:8000 occurs twice",
        ),
        (
            |raw| raw.removals.extend(raw.upserts[0].id.clone()),
            "delta.removals[1]: 10.0.0.1:8000 occurs twice",
        ),
        (
            |raw| raw.removals[0].ip.clear(),
            "delta.removals[0].ip: an address has 4 or 16 bytes, got 0",
        ),
        (
            |raw| raw.pool.clear(),
            "delta.pool: expected pool default, got \"\"",
        ),
    ];
    for (spoil, message) in cases {
        let mut mirror = mirror_of(&old);
        let mut raw = good.clone();
        spoil(&mut raw);
        let refusal = mirror.apply_delta(raw, NOW).expect_err("a bad delta");
        assert_eq!(refusal.to_string(), message);
        assert_eq!(mirror.snapshot(), Some(&old));
        assert_eq!(mirror.apply_delta(good.clone(), NOW), Ok(Applied::Taken));
        let endpoints = &mirror.snapshot().expect("taken").endpoints;
        assert!(endpoints.iter().all(|endpoint| endpoint.id != gone));
    }
}

#[test]
fn removing_what_is_gone_already_is_no_mistake() {
    let mut mirror = mirror_of(&at(1, vec![]));
    let mut delta = delta_to_proto(&at(1, vec![]), &at(2, vec![]), NOW);
    delta
        .removals
        .push(crate::convert::id_to_proto(id("10.0.0.1:1", 1)));
    assert_eq!(mirror.apply_delta(delta, NOW), Ok(Applied::Taken));
}

#[test]
fn no_sequence_of_deltas_outgrows_the_limit() {
    let full: Vec<Endpoint> = (0..10_000)
        .map(|index| endpoint(&format!("10.0.{}.{}:80", index / 250, index % 250), 1))
        .collect();
    let mut mirror = mirror_of(&at(1, full));
    let mut delta = delta_to_proto(&at(1, vec![]), &at(2, vec![]), NOW);
    delta
        .upserts
        .push(endpoint_to_proto(&endpoint("10.1.0.0:80", 1), NOW));
    let refusal = mirror
        .apply_delta(delta.clone(), NOW)
        .expect_err("one too many");
    assert_eq!(
        refusal.to_string(),
        "delta.upserts: at most 10000 elements are allowed, got 10001"
    );
    delta
        .removals
        .push(crate::convert::id_to_proto(id("10.0.0.0:80", 1)));
    assert_eq!(
        mirror.apply_delta(delta, NOW),
        Ok(Applied::Taken),
        "one came, one went"
    );
}

#[test]
fn refused_signals_are_counted_over_messages() {
    let mut mirror = PoolMirror::new("default");
    for sequence in 1..=3 {
        let mut lying = endpoint("10.0.0.1:80", 1);
        lying.signals.waiting = Some(Signal::new(f32::NAN, NOW));
        lying.signals.running = Some(Signal::new(-1.0, NOW));
        let raw = snapshot_to_proto(&at(sequence, vec![lying]), NOW);
        assert_eq!(mirror.apply_snapshot(raw, NOW), Ok(Applied::Taken));
        let signals = &mirror.snapshot().expect("taken").endpoints[0].signals;
        assert_eq!((signals.waiting, signals.running), (None, None));
    }
    assert_eq!(mirror.refused_signals(), 6);
}

#[test]
fn a_new_holder_of_the_stream_goes_on_where_the_last_one_stopped() {
    let mut mirror = PoolMirror::resume("default", sample(), NOW);
    assert_eq!(mirror.snapshot(), Some(&sample()));
    let mut new = sample();
    new.version.sequence += 1;
    let delta = delta_to_proto(&sample(), &new, NOW);
    assert_eq!(mirror.apply_delta(delta, NOW), Ok(Applied::Taken));
    let mut other = sample();
    other.version.agent_id = 99;
    let raw = snapshot_to_proto(&other, NOW);
    assert_eq!(mirror.apply_snapshot(raw, NOW), Ok(Applied::Held));
    assert_eq!(
        PoolMirror::resume("another", sample(), NOW).snapshot(),
        None
    );
}

/// Quadratic work over the largest pool would take minutes; the figures are for people.
#[test]
fn the_largest_pool_is_patched_quickly() {
    for count in [1_000, 10_000] {
        let now = Millis(1 << 33);
        let mut old = random_pool(count, now, &mut SplitMix64::new(4));
        old.version = version(1, 1, 1);
        let mut new = old.clone();
        new.version.sequence = 2;
        for endpoint in &mut new.endpoints {
            endpoint.signals.waiting = Some(Signal::new(1.0, now));
        }
        let mut mirror = PoolMirror::new(&old.pool);
        let mut steps = Vec::new();
        let snapshot = snapshot_to_proto(&old, now);
        steps.push(clock::micros(|| {
            assert_eq!(mirror.apply_snapshot(snapshot, now), Ok(Applied::Taken));
        }));
        let mut delta = None;
        steps.push(clock::micros(|| {
            delta = Some(delta_to_proto(&old, &new, now))
        }));
        let delta = delta.expect("a delta");
        steps.push(clock::micros(|| {
            assert_eq!(mirror.apply_delta(delta, now), Ok(Applied::Taken));
        }));
        assert_eq!(mirror.snapshot(), Some(&new));
        let micros: Vec<String> = steps.iter().map(|step| format!("{step:.0}")).collect();
        let micros = micros.join(", ");
        clock::report(&format!(
            "{count} endpoints: snapshot, diff, delta in {micros} us"
        ));
        assert!(steps.iter().all(|step| *step < 5e6), "{micros} us");
    }
}

/// A pool that lives for thousands of publications, as the agent sees it, against its copy.
#[test]
fn the_copy_equals_the_agents_pool_after_any_history() {
    let mut random = SplitMix64::new(3);
    let mut agent = at(1, vec![]);
    let mut mirror = mirror_of(&agent);
    let mut now = Millis(1 << 33);
    for _ in 0..3_000 {
        now = now.plus(random.below(400) as u64);
        let before = agent.clone();
        agent.version.sequence += 1;
        for _ in 0..random.below(4) {
            let came = random_endpoint(random.below(60), now, &mut random);
            agent
                .endpoints
                .retain(|known| known.id.address != came.id.address);
            agent.endpoints.push(came);
        }
        if random.below(3) == 0 && !agent.endpoints.is_empty() {
            let gone = random.below(agent.endpoints.len());
            agent.endpoints.remove(gone);
        }
        agent.endpoints.sort_by_key(|endpoint| endpoint.id);
        let applied = if random.below(20) == 0 {
            mirror.apply_snapshot(snapshot_to_proto(&agent, now), now)
        } else {
            mirror.apply_delta(delta_to_proto(&before, &agent, now), now)
        };
        assert_eq!(applied, Ok(Applied::Taken));
        assert_eq!(mirror.snapshot(), Some(&agent), "after {:?}", agent.version);
    }
    assert!(agent.endpoints.len() > 10, "the pool must have lived");
    assert_eq!(mirror.refused_signals(), 0);
}
