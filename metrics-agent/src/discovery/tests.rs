//! Names, targets and memberships.

use std::{collections::HashMap, net::IpAddr};

use super::*;
use crate::{config, index::TargetId};

fn config(pools: &str) -> Config {
    config::parse("a.yaml", &format!("pools:\n{pools}")).unwrap()
}

fn names(entries: &[(&str, &[&str])]) -> DnsTable {
    let parse =
        |list: &[&str]| -> Vec<IpAddr> { list.iter().map(|ip| ip.parse().unwrap()).collect() };
    let entries = entries.iter();
    entries
        .map(|(name, list)| ((*name).to_owned(), parse(list)))
        .collect()
}

fn addresses(pool: &PoolMembers) -> Vec<String> {
    pool.members
        .iter()
        .map(|member| member.address.to_string())
        .collect()
}

#[test]
fn a_name_stands_for_all_its_addresses() {
    let config = config(
        "  - {name: a, endpoints: [{address: \"vllm:8000\"}, {address: \"10.0.0.1:8000\"}]}",
    );
    let mut targets = Targets::default();
    let before = resolve(&config, &DnsTable::new(), &mut targets);
    assert_eq!(before.pools[0].unresolved, 1);
    assert_eq!(addresses(&before.pools[0]), ["10.0.0.1:8000"]);

    let table = names(&[("vllm", &["10.0.0.1", "10.0.0.7", "fd00::7"])]);
    let after = resolve(&config, &table, &mut targets);
    assert_eq!(after.pools[0].unresolved, 0);
    assert_eq!(
        addresses(&after.pools[0]),
        ["10.0.0.1:8000", "10.0.0.7:8000", "[fd00::7]:8000"],
        "an address that occurs twice is one member"
    );
    assert_eq!(targets.len(), 3);
}

#[test]
fn one_page_is_one_target_however_many_pools_it_is_in() {
    let config = config(
        "  - {name: a, engine: vllm, endpoints: [{address: \"10.0.0.1:8000\"}]}\n\
         \x20 - {name: b, engine: vllm, endpoints: [{address: \"10.0.0.1:8000\", weight: 2}]}\n\
         \x20 - {name: c, engine: vllm, endpoints: [{address: \"10.0.0.1:8000\", metrics: {port: 9}}]}\n",
    );
    let mut targets = Targets::default();
    let membership = resolve(&config, &DnsTable::new(), &mut targets);
    let [a, b, c] = &membership.pools[..] else {
        panic!("three pools")
    };
    assert_eq!(a.members[0].target, b.members[0].target);
    assert_ne!(a.members[0].target, c.members[0].target, "another page");
    assert_eq!((a.members[0].weight, b.members[0].weight), (1.0, 2.0));
    let ports: HashMap<TargetId, u16> = targets
        .iter()
        .map(|(id, target)| (id, target.metrics.port()))
        .collect();
    assert_eq!(ports[&a.members[0].target], 8000);
    assert_eq!(ports[&c.members[0].target], 9);
}

#[test]
fn targets_keep_their_numbers_as_long_as_they_are_used() {
    let two = config(
        "  - {name: a, endpoints: [{address: \"10.0.0.1:8000\"}, {address: \"10.0.0.2:8000\"}]}",
    );
    let one = config("  - {name: a, endpoints: [{address: \"10.0.0.2:8000\"}]}");
    let mut targets = Targets::default();
    let first = resolve(&two, &DnsTable::new(), &mut targets);
    let kept = first.pools[0].members[1].target;
    let second = resolve(&one, &DnsTable::new(), &mut targets);
    assert_eq!(second.pools[0].members[0].target, kept);
    assert_eq!(targets.len(), 1);
    let third = resolve(&two, &DnsTable::new(), &mut targets);
    assert_eq!(third.pools[0].members[1].target, kept);
    assert_ne!(
        third.pools[0].members[0].target, first.pools[0].members[0].target,
        "what was known of it is gone"
    );
}

mod resolver {
    use std::{
        collections::BTreeSet,
        io,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio::time::timeout;

    use super::super::dns::{Lookup, Resolver};
    use crate::telemetry::Telemetry;

    type Script = Arc<Mutex<Option<Vec<&'static str>>>>;

    fn scripted(script: &Script, asked: &Arc<AtomicUsize>) -> Lookup {
        let (script, asked) = (Arc::clone(script), Arc::clone(asked));
        Arc::new(move |_name| {
            asked.fetch_add(1, Ordering::Relaxed);
            let answer = script.lock().unwrap().clone();
            Box::pin(async move {
                let answer = answer.ok_or_else(|| io::Error::other("name server is down"))?;
                Ok(answer.iter().map(|ip| ip.parse().unwrap()).collect())
            })
        })
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_last_good_addresses_and_tells_only_of_changes() {
        let script: Script = Arc::new(Mutex::new(None));
        let asked = Arc::new(AtomicUsize::new(0));
        let telemetry = Arc::new(Telemetry::new());
        let (mut resolver, mut answers) =
            Resolver::new(scripted(&script, &asked), Arc::clone(&telemetry));
        resolver.follow(&BTreeSet::from(["vllm".to_owned()]));
        let quiet = timeout(Duration::from_secs(10), answers.recv()).await;
        assert!(quiet.is_err(), "no answer, no news");
        assert!(
            (8..=14).contains(&asked.load(Ordering::Relaxed)),
            "about one look-up a second"
        );
        assert_eq!(
            telemetry.dns_failures.get(),
            asked.load(Ordering::Relaxed) as u64
        );

        *script.lock().unwrap() = Some(vec!["10.0.0.2", "::ffff:10.0.0.1", "10.0.0.2", "0.0.0.0"]);
        let (name, addresses) = answers.recv().await.unwrap();
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            (name.as_str(), shown),
            ("vllm", vec!["10.0.0.1".into(), "10.0.0.2".into()])
        );

        // Another order is no change; a dead name server and an empty answer change nothing.
        for same in [Some(vec!["10.0.0.1", "10.0.0.2"]), None, Some(vec![])] {
            *script.lock().unwrap() = same;
            let quiet = timeout(Duration::from_secs(20), answers.recv()).await;
            assert!(quiet.is_err(), "told {quiet:?}");
        }
        *script.lock().unwrap() = Some(vec!["10.0.0.3"]);
        let (_, addresses) = answers.recv().await.unwrap();
        assert_eq!(addresses.len(), 1);

        resolver.follow(&BTreeSet::new());
        let before = asked.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(
            asked.load(Ordering::Relaxed),
            before,
            "a name that went is asked no more"
        );
    }
}
