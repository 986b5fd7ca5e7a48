//! What is published when, and what is in it.

use std::{net::SocketAddr, sync::Arc};

use picker::{EndpointId, Health, InFlight, Millis, Signal, Signals};
use pool_state::convert::Report;

use super::*;

const GRACE_MS: u64 = 2_000;

fn index() -> Index {
    Index::new(7, 1_000, GRACE_MS)
}

fn address(target: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(target).unwrap()], 8_000))
}

fn members(pool: &str, targets: &[u64]) -> PoolMembers {
    PoolMembers {
        name: Arc::from(pool),
        members: targets
            .iter()
            .map(|target| Member {
                target: TargetId(*target),
                address: address(*target),
                name: None,
                weight: 1.0,
                price: 1.0,
                labels: Arc::default(),
            })
            .collect(),
        unresolved: 0,
    }
}

fn membership(pools: &[(&str, &[u64])]) -> Membership {
    let pools = pools.iter();
    Membership {
        pools: pools
            .map(|(name, targets)| members(name, targets))
            .collect(),
    }
}

fn page(at: u64, waiting: f32, life: u64) -> Observation {
    Observation {
        at: Millis(at),
        attempt: Attempt::Scraped,
        signals: Signals {
            waiting: Some(Signal::new(waiting, Millis(at))),
            ..Signals::default()
        },
        health: Health::Ready,
        reason: "scraped".into(),
        life,
        tallies: Default::default(),
    }
}

fn failure(at: u64, last: Option<(u64, f32)>) -> Observation {
    Observation {
        attempt: Attempt::Failed,
        signals: Signals {
            waiting: last.map(|(at, waiting)| Signal::new(waiting, Millis(at))),
            ..Signals::default()
        },
        health: Health::Suspect,
        reason: "refused".into(),
        ..page(at, 0.0, 1)
    }
}

fn published(index: &mut Index, at: u64) -> Publications {
    index.publish(Millis(at), 1_700_000_000_000 + at)
}

fn only(publications: &Publications) -> &Publication {
    assert_eq!(publications.len(), 1, "one pool is published");
    publications.values().next().unwrap()
}

#[test]
fn a_pool_is_withheld_until_every_endpoint_was_attempted() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1, 2])]), Millis(0));
    assert!(published(&mut index, 1).is_empty());
    assert!(!index.all_attempted());
    index.observe(TargetId(1), page(10, 1.0, 1));
    assert!(
        published(&mut index, 11).is_empty(),
        "the first answer is not flooded"
    );
    index.observe(TargetId(2), failure(20, None));
    assert!(index.all_attempted(), "a failed attempt is an attempt");
    let publications = published(&mut index, 21);
    let publication = only(&publications);
    assert_eq!(publication.snapshot.endpoints.len(), 2);
    assert_eq!(publication.snapshot.version.sequence, 1);
    assert_eq!(publication.snapshot.version.epoch, 1_000);
    let suspect = &publication.snapshot.endpoints[1];
    assert_eq!(
        (suspect.health, suspect.signals.waiting),
        (Health::Suspect, None)
    );
}

#[test]
fn the_wait_for_the_first_attempts_ends() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1, 2])]), Millis(100));
    index.observe(TargetId(1), page(110, 1.0, 1));
    assert_eq!(index.next_deadline(), Some(Millis(100 + GRACE_MS)));
    assert!(published(&mut index, 99 + GRACE_MS).is_empty());
    let publications = published(&mut index, 100 + GRACE_MS);
    assert_eq!(
        only(&publications).snapshot.endpoints.len(),
        1,
        "what is known by then"
    );
    assert_eq!(index.next_deadline(), None);
}

#[test]
fn an_empty_pool_is_published_at_once_unless_names_are_unresolved() {
    let mut index = index();
    let mut membership = membership(&[("empty", &[]), ("unresolved", &[])]);
    membership.pools[1].unresolved = 1;
    index.set_membership(&membership, Millis(0));
    let names: Vec<String> = published(&mut index, 1)
        .keys()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(names, ["empty"]);
}

#[test]
fn nothing_new_publishes_nothing() {
    let mut index = index();
    let same = membership(&[("a", &[1])]);
    index.set_membership(&same, Millis(0));
    index.observe(TargetId(1), page(10, 1.0, 1));
    assert_eq!(published(&mut index, 11).len(), 1);
    assert!(published(&mut index, 12).is_empty());
    index.set_membership(&same, Millis(13));
    assert!(
        published(&mut index, 13).is_empty(),
        "the same members again"
    );
    assert!(
        !index.observe(TargetId(9), page(14, 1.0, 1)),
        "a target of nobody's"
    );
}

#[test]
fn equal_measurements_refresh_ages_at_a_bounded_rate_and_changed_ones_at_once() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1])]), Millis(0));
    assert!(index.observe(TargetId(1), page(1_000, 1.0, 1)));
    assert!(
        !index.observe(TargetId(1), page(1_050, 1.0, 1)),
        "50 ms later, nothing changed"
    );
    assert!(
        index.observe(TargetId(1), page(1_100, 1.0, 1)),
        "100 ms later"
    );
    assert!(
        index.observe(TargetId(1), page(1_101, 2.0, 1)),
        "another value"
    );
    assert!(
        index.observe(TargetId(1), failure(1_102, Some((1_101, 2.0)))),
        "suspect now"
    );
    assert!(
        !index.observe(TargetId(1), failure(9_000, Some((1_101, 2.0)))),
        "another failure measures nothing"
    );
    let publications = published(&mut index, 9_001);
    let endpoint = &only(&publications).snapshot.endpoints[0];
    assert_eq!(
        endpoint.signals.waiting,
        Some(Signal::new(2.0, Millis(1_101))),
        "its age grows"
    );
}

#[test]
fn a_delta_holds_what_changed_and_is_based_on_the_publication_before() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1, 2, 3])]), Millis(0));
    (1..=3).for_each(|target| {
        index.observe(TargetId(target), page(10, 1.0, 1));
    });
    let first = published(&mut index, 11);
    assert!(only(&first).delta().is_none());
    index.observe(TargetId(2), page(20, 5.0, 1));
    let second = published(&mut index, 21);
    let delta = only(&second).delta().unwrap();
    assert_eq!(
        (
            delta.base_sequence,
            delta.upserts.len(),
            delta.removals.len()
        ),
        (1, 1, 0)
    );
    index.set_membership(&membership(&[("a", &[2, 3])]), Millis(30));
    let third = published(&mut index, 31);
    let delta = only(&third).delta().unwrap();
    assert_eq!(
        (
            delta.base_sequence,
            delta.upserts.len(),
            delta.removals.len()
        ),
        (2, 0, 1)
    );
}

#[test]
fn a_target_in_two_pools_is_told_to_both() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1]), ("b", &[1])]), Millis(0));
    index.observe(TargetId(1), page(10, 3.0, 1));
    let publications = published(&mut index, 11);
    assert_eq!(publications.len(), 2);
    for publication in publications.values() {
        assert_eq!(
            publication.snapshot.endpoints[0]
                .signals
                .waiting
                .unwrap()
                .value,
            3.0
        );
    }
}

#[test]
fn what_is_known_survives_a_reload_that_keeps_the_target() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1])]), Millis(0));
    index.observe(TargetId(1), page(10, 3.0, 1));
    published(&mut index, 11);
    index.set_membership(&membership(&[("a", &[1, 2]), ("b", &[1])]), Millis(20));
    let publications = published(&mut index, 21);
    assert_eq!(
        publications["a"].snapshot.endpoints.len(),
        1,
        "target 2 was not attempted"
    );
    assert_eq!(
        publications["b"].snapshot.endpoints.len(),
        1,
        "target 1 is known"
    );
    assert_eq!(publications["a"].snapshot.version.sequence, 2);
}

#[test]
fn a_pool_that_comes_back_goes_on_counting() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[])]), Millis(0));
    published(&mut index, 1);
    index.set_membership(&membership(&[]), Millis(2));
    index.set_membership(&membership(&[("a", &[])]), Millis(3));
    let publications = published(&mut index, 4);
    assert_eq!(only(&publications).snapshot.version.sequence, 2);
    assert!(only(&publications).base.is_none());
}

#[test]
fn generations_differ_by_name_and_life_and_by_nothing_else() {
    let at = address(1);
    assert_eq!(generation(at, None, 5), generation(at, None, 5));
    assert_ne!(
        generation(at, None, 5),
        generation(at, None, 6),
        "restarted"
    );
    assert_ne!(generation(at, None, 5), generation(address(2), None, 5));
    assert_ne!(
        generation(at, Some("pod-a"), 5),
        generation(at, Some("pod-b"), 5)
    );
    assert_eq!(
        generation(at, Some("pod-a"), 5),
        generation(address(2), Some("pod-a"), 5),
        "with a name the address plays no part; it stands beside the generation anyway"
    );
    // Agents of different builds must agree: these numbers never change.
    assert_eq!(generation(at, Some("pod-a"), 0), 0xe57c_6128_534f_32a4);
}

#[test]
fn a_restarted_engine_is_another_endpoint() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1])]), Millis(0));
    index.observe(TargetId(1), page(10, 3.0, 1));
    let first = published(&mut index, 11);
    index.observe(TargetId(1), page(20, 3.0, 2));
    let second = published(&mut index, 21);
    let (before, after) = (
        only(&first).snapshot.endpoints[0].id,
        only(&second).snapshot.endpoints[0].id,
    );
    assert_eq!(before.address, after.address);
    assert_ne!(before.generation, after.generation);
}

fn id(target: u64) -> EndpointId {
    EndpointId {
        address: address(target),
        generation: generation(address(target), None, 1),
    }
}

fn report(loads: &[(u64, u32)]) -> Report {
    let loads = loads.iter().map(|(target, requests)| {
        let load = InFlight {
            requests: *requests,
            tokens: 0,
            ..InFlight::default()
        };
        (id(*target), load)
    });
    Report {
        pool: "a".to_owned(),
        loads: loads.collect(),
    }
}

fn others(publications: &Publications, gateway: &str, target: u64) -> u32 {
    let others = only(publications).loads.others(gateway);
    others
        .get(&id(target))
        .map_or(0, |load| load.value.requests)
}

#[test]
fn a_gateways_former_stream_is_not_another_gateway() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1])]), Millis(0));
    let (one, two): (Arc<str>, Arc<str>) = (Arc::from("one"), Arc::from("two"));
    assert!(index.report(&one, 1, report(&[(1, 5)]), Millis(10)));
    assert!(index.report(&two, 2, report(&[(1, 3)]), Millis(11)));
    // Gateway `one` reconnects; its former stream ends later.
    index.report(&one, 3, report(&[(1, 6)]), Millis(12));
    let publications = published(&mut index, GRACE_MS);
    assert_eq!(others(&publications, "one", 1), 3);
    assert_eq!(
        others(&publications, "two", 1),
        6,
        "5 of the former stream do not count"
    );
    assert!(
        !index.gateway_gone("one", 1),
        "the former stream took nothing along"
    );
    assert!(index.gateway_gone("one", 3));
    let publications = published(&mut index, GRACE_MS + 1);
    assert_eq!(others(&publications, "two", 1), 0);
}

/// A gateway reports when its load changes: one that says nothing but that it lives still has what
/// it reported, and one without load ages nobody's sum.
#[test]
fn a_load_is_as_old_as_its_gateway_is_silent() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1])]), Millis(0));
    let gateways = ["one", "two", "idle", "me"].map(Arc::<str>::from);
    let [one, two, idle, me] = &gateways;
    for (stream, gateway) in (1..).zip(&gateways) {
        let load = if gateway == idle { 0 } else { 5 };
        index.report(gateway, stream, report(&[(1, load)]), Millis(10));
    }
    let age_at = |index: &mut Index, now: u64| {
        index.report(two, 2, report(&[(1, now as u32)]), Millis(now));
        let publications = index.publish(Millis(now), 1);
        let others = only(&publications).loads.others(me);
        others.get(&id(1)).map(|others| others.age_ms(Millis(now)))
    };
    assert_eq!(age_at(&mut index, GRACE_MS), Some(GRACE_MS - 10), "of one");
    index.heard(one, 1, Millis(GRACE_MS + 1_000));
    assert_eq!(age_at(&mut index, GRACE_MS + 1_001), Some(1));
    index.heard(one, 77, Millis(GRACE_MS + 5_000));
    assert_eq!(
        age_at(&mut index, GRACE_MS + 5_002),
        Some(4_002),
        "a former stream says nothing of this one"
    );
}

#[test]
fn sums_hold_the_prefill_and_nothing_that_nobody_would_believe() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1, 2])]), Millis(0));
    let load = InFlight {
        requests: 900_000,
        tokens: 7_000,
        prefilling: 2,
        prefill_tokens: 500,
    };
    for (stream, gateway) in ["one", "two"].iter().enumerate() {
        let small = InFlight {
            requests: 3,
            ..load
        };
        let loads = vec![(id(1), small), (id(2), load)];
        let report = Report {
            pool: "a".to_owned(),
            loads,
        };
        index.report(&Arc::from(*gateway), stream as u64, report, Millis(10));
    }
    let publications = published(&mut index, GRACE_MS);
    let others = only(&publications).loads.others("me");
    let expected = InFlight {
        requests: 6,
        tokens: 14_000,
        prefilling: 4,
        prefill_tokens: 1_000,
    };
    assert_eq!(
        others.get(&id(1)).map(|others| others.value),
        Some(expected)
    );
    assert_eq!(others.get(&id(2)), None, "1,800,000 requests");
}

#[test]
fn equal_reports_are_no_news() {
    let mut index = index();
    index.set_membership(&membership(&[("a", &[1])]), Millis(0));
    let (one, two): (Arc<str>, Arc<str>) = (Arc::from("one"), Arc::from("two"));
    index.report(&one, 1, report(&[(1, 5)]), Millis(10));
    index.report(&two, 2, report(&[]), Millis(10));
    assert!(!index.report(&one, 1, report(&[(1, 5)]), Millis(20)));
    assert!(
        !index.report(&two, 2, report(&[(1, 0)]), Millis(20)),
        "zero is no load"
    );
    assert!(index.report(&one, 1, report(&[]), Millis(30)));
    assert!(!index.report(
        &one,
        1,
        Report {
            pool: "b".to_owned(),
            loads: vec![]
        },
        Millis(31)
    ));
}
