use super::*;
use crate::testing::{FakeEnvoy, FakeHost};

/// A root context that can stop ticking, as when its VM panicked.
struct Vm {
    host: FakeHost,
    leases: Leases,
    alive: bool,
}

fn keys(pools: &[&str]) -> Vec<PoolKeys> {
    pools.iter().map(|pool| PoolKeys::new(pool)).collect()
}

fn vms(envoy: &FakeEnvoy, count: u64, agent: &str, pools: &[&str]) -> Vec<Vm> {
    let start = |owner| {
        let host = envoy.vm();
        for keys in keys(pools) {
            keys.create(&host);
            slots::set_agent(&host, &keys, agent);
        }
        let leases = Leases::new(owner, agent, keys(pools));
        Vm {
            host,
            leases,
            alive: true,
        }
    };
    (1..=count).map(start).collect()
}

fn tick(vms: &mut [Vm]) {
    for vm in vms.iter_mut().filter(|vm| vm.alive) {
        let now = vm.host.now();
        vm.leases.tick(&vm.host, now);
    }
}

fn holders(vms: &[Vm], pool: usize) -> Vec<usize> {
    let living = vms.iter().enumerate().filter(|(_, vm)| vm.alive);
    living
        .filter(|(_, vm)| vm.leases.holds(pool))
        .map(|(index, _)| index)
        .collect()
}

#[test]
fn of_four_vms_exactly_one_holds_the_lease_and_keeps_it() {
    let envoy = FakeEnvoy::new();
    let mut vms = vms(&envoy, 4, "agent", &["p"]);
    for _ in 0..100 {
        tick(&mut vms);
        assert_eq!(holders(&vms, 0), [0]);
        envoy.advance_ms(u64::from(TICK_MS));
    }
}

#[test]
fn a_dead_holder_is_replaced_one_lease_later() {
    let envoy = FakeEnvoy::new();
    let mut vms = vms(&envoy, 4, "agent", &["p"]);
    tick(&mut vms);
    vms[0].alive = false;
    let mut waited = 0;
    while holders(&vms, 0).is_empty() {
        envoy.advance_ms(u64::from(TICK_MS));
        waited += u64::from(TICK_MS);
        tick(&mut vms);
        assert!(waited <= LEASE_MS, "nobody took over after {waited} ms");
    }
    assert_eq!(holders(&vms, 0), [1]);
    assert_eq!(waited, LEASE_MS);
}

#[test]
fn a_holder_that_slept_finds_that_it_lost_the_lease() {
    let envoy = FakeEnvoy::new();
    let mut vms = vms(&envoy, 2, "agent", &["p"]);
    tick(&mut vms);
    vms[0].alive = false;
    envoy.advance_ms(10 * LEASE_MS);
    tick(&mut vms);
    vms[0].alive = true;
    assert_eq!(holders(&vms, 0), [0, 1], "it does not know yet");
    tick(&mut vms);
    assert_eq!(holders(&vms, 0), [1]);
}

#[test]
fn all_pools_of_one_configuration_go_to_one_holder() {
    let envoy = FakeEnvoy::new();
    let mut vms = vms(&envoy, 3, "agent", &["p", "q", "r"]);
    // The second VM looks between the first one's pools.
    let watcher = envoy.vm();
    let now = watcher.now();
    vms[0].leases.seats[0].tick(&watcher, 1, now, true);
    vms[1].leases.tick(&watcher, now);
    for _ in 0..10 {
        tick(&mut vms);
        envoy.advance_ms(u64::from(TICK_MS));
    }
    for pool in 0..3 {
        assert_eq!(holders(&vms, pool), [0], "pool {pool}");
    }
}

#[test]
fn a_pool_that_nobody_else_wants_is_taken_by_a_stray() {
    let envoy = FakeEnvoy::new();
    let mut first = vms(&envoy, 1, "agent", &["p"]);
    let mut second = vms(&envoy, 1, "agent", &["p", "q"]);
    second[0].leases.owner = 99;
    for _ in 0..20 {
        tick(&mut first);
        tick(&mut second);
        envoy.advance_ms(u64::from(TICK_MS));
    }
    assert_eq!(holders(&first, 0), [0]);
    assert!(holders(&second, 0).is_empty());
    assert_eq!(holders(&second, 1), [0], "its own second pool is fed too");
}

#[test]
fn the_former_configuration_stands_down_for_another_agent() {
    let envoy = FakeEnvoy::new();
    let mut old = vms(&envoy, 1, "old-agent", &["p"]);
    tick(&mut old);
    assert_eq!(holders(&old, 0), [0]);
    let mut new = vms(&envoy, 1, "new-agent", &["p"]);
    new[0].leases.owner = 2;
    tick(&mut old);
    assert!(holders(&old, 0).is_empty(), "it gave up at once");
    tick(&mut new);
    assert_eq!(holders(&new, 0), [0], "without waiting for the expiry");
    tick(&mut old);
    assert!(holders(&old, 0).is_empty(), "and does not come back");
}

#[test]
fn rubbish_and_endless_leases_are_vacant() {
    let envoy = FakeEnvoy::new();
    let mut vms = vms(&envoy, 1, "agent", &["p"]);
    let endless = Lease {
        owner: 666,
        expires: Millis(u64::MAX),
    };
    for rubbish in [&b"\xff\x00"[..], &lease::encode(&endless), &[0; 1000]] {
        envoy.poison("zerohop/v1/pool/p/lease", rubbish);
        tick(&mut vms);
        assert_eq!(holders(&vms, 0), [0]);
    }
}
