//! The rule case by case, and as a property over interleavings of two agents.

use picker::{Entropy, Millis, SnapshotVersion, SplitMix64};

use super::{Gate, HOLD_MS, STALE_AFTER_MS, Verdict};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: u64 = 0xa;
const B: u64 = 0xb;

const fn message(agent_id: u64, epoch: u64, sequence: u64) -> SnapshotVersion {
    SnapshotVersion {
        agent_id,
        epoch,
        sequence,
        taken_at_unix_ms: 0,
    }
}

/// Judges a message and takes it if the verdict allows.
fn offer(gate: &mut Gate, version: SnapshotVersion, now: u64) -> Verdict {
    let verdict = gate.judge(version, Millis(now));
    if matches!(verdict, Verdict::Next | Verdict::Switch) {
        gate.take(version, Millis(now));
    }
    verdict
}

#[test]
fn the_sequence_of_a_run_only_grows() {
    let mut gate = Gate::new();
    assert_eq!(offer(&mut gate, message(A, 1, 5), 0), Verdict::Switch);
    assert_eq!(offer(&mut gate, message(A, 1, 5), 1), Verdict::Old);
    assert_eq!(offer(&mut gate, message(A, 1, 4), 2), Verdict::Old);
    assert_eq!(offer(&mut gate, message(A, 1, 6), 3), Verdict::Next);
    assert_eq!(offer(&mut gate, message(A, 1, 60), 4), Verdict::Next);
}

#[test]
fn a_restarted_agent_is_believed_at_once() {
    let mut gate = Gate::new();
    offer(&mut gate, message(A, 1, 500), 0);
    assert_eq!(offer(&mut gate, message(A, 2, 1), 1), Verdict::Switch);
    assert_eq!(
        offer(&mut gate, message(A, 1, 501), 2),
        Verdict::Held,
        "the former run may not come back while the new one is fresh"
    );
    assert_eq!(offer(&mut gate, message(A, 1, 500), 2), Verdict::Old);
}

#[test]
fn another_agent_waits_until_the_present_one_is_stale() {
    let mut gate = Gate::new();
    offer(&mut gate, message(A, 1, 1), 0);
    let stale = STALE_AFTER_MS;
    assert_eq!(offer(&mut gate, message(B, 1, 1), stale - 1), Verdict::Held);
    assert_eq!(offer(&mut gate, message(B, 1, 1), stale), Verdict::Switch);
}

#[test]
fn two_changes_are_a_hold_apart() {
    let mut gate = Gate::new();
    offer(&mut gate, message(A, 1, 1), 0);
    assert_eq!(offer(&mut gate, message(B, 1, 1), 1_000), Verdict::Switch);
    assert_eq!(
        offer(&mut gate, message(A, 1, 2), 1_000 + HOLD_MS - 1),
        Verdict::Held,
        "stale, but the last change is too young"
    );
    let verdict = offer(&mut gate, message(A, 1, 2), 1_000 + HOLD_MS);
    assert_eq!(verdict, Verdict::Switch);
}

#[test]
fn a_held_message_keeps_nobody_alive() {
    let mut gate = Gate::new();
    offer(&mut gate, message(A, 1, 1), 0);
    for now in 1..STALE_AFTER_MS {
        assert_eq!(offer(&mut gate, message(B, 1, now), now), Verdict::Held);
        assert_eq!(offer(&mut gate, message(A, 1, 1), now), Verdict::Old);
    }
    assert_eq!(
        offer(&mut gate, message(B, 1, 5_000), 1_000),
        Verdict::Switch
    );
}

#[test]
fn a_late_message_of_a_former_run_stays_old() {
    let mut gate = Gate::new();
    offer(&mut gate, message(A, 1, 10), 0);
    offer(&mut gate, message(B, 1, 3), 1_000);
    assert_eq!(offer(&mut gate, message(A, 1, 9), 9_000), Verdict::Old);
    assert_eq!(offer(&mut gate, message(A, 1, 11), 9_000), Verdict::Switch);
}

#[test]
fn an_agent_whose_clock_was_set_back_returns_after_the_hold() {
    let mut gate = Gate::new();
    offer(&mut gate, message(A, 9, 10), 0);
    assert_eq!(offer(&mut gate, message(A, 8, 1), 10), Verdict::Held);
    assert_eq!(offer(&mut gate, message(A, 8, 1), 1_000), Verdict::Switch);
}

#[test]
fn a_gateway_clock_that_steps_back_delays_no_change() {
    const HOUR: u64 = 3_600_000;
    let mut gate = Gate::new();
    offer(&mut gate, message(A, 1, 1), HOUR);
    assert_eq!(offer(&mut gate, message(B, 1, 1), 0), Verdict::Held);
    assert_eq!(
        offer(&mut gate, message(B, 1, 1), STALE_AFTER_MS),
        Verdict::Switch
    );
}

#[test]
fn many_runs_do_not_grow_the_memory() {
    let mut gate = Gate::new();
    for epoch in 0..10_000 {
        assert_eq!(
            offer(&mut gate, message(A, epoch, 1), epoch),
            Verdict::Switch
        );
    }
    assert!(gate.history.len() <= super::REMEMBERED_RUNS);
}

/// What must hold of every history: written without the gate's own state.
#[derive(Default)]
struct Witness {
    taken: Vec<(SnapshotVersion, u64)>,
    changes: Vec<u64>,
}

impl Witness {
    fn saw(&mut self, version: SnapshotVersion, now: u64) {
        let same_run = |other: &SnapshotVersion| {
            other.agent_id == version.agent_id && other.epoch == version.epoch
        };
        for (earlier, _) in self.taken.iter().filter(|(earlier, _)| same_run(earlier)) {
            assert!(
                earlier.sequence < version.sequence,
                "time ran back: {version:?} after {earlier:?}"
            );
        }
        if let Some((last, at)) = self.taken.last()
            && !same_run(last)
        {
            let restart = last.agent_id == version.agent_id && last.epoch < version.epoch;
            if !restart {
                assert!(
                    now - at >= STALE_AFTER_MS,
                    "{version:?} took over from a live run"
                );
                if let Some(change) = self.changes.last() {
                    assert!(
                        now - change >= HOLD_MS,
                        "two changes within a hold, at {now}"
                    );
                }
            }
            self.changes.push(now);
        }
        self.taken.push((version, now));
    }
}

/// Two agents publish, pause and restart; their messages are delayed, doubled and reordered.
fn interleaving(seed: u64) -> Witness {
    let mut random = SplitMix64::new(seed);
    let mut gate = Gate::new();
    let mut witness = Witness::default();
    let mut heads = [message(A, 1, 0), message(B, 1, 0)];
    let mut sent: Vec<SnapshotVersion> = Vec::new();
    let mut now = 0;
    for _ in 0..120 {
        now += [0, 10, 200, 700, 1_500][random.below(5)];
        let who = random.below(2);
        let version = match random.below(10) {
            // A message of the past arrives late or twice.
            0..3 if !sent.is_empty() => sent[random.below(sent.len())],
            // No more restarts than the gate remembers runs.
            3 if heads[who].epoch < super::REMEMBERED_RUNS as u64 / 2 => {
                heads[who].epoch += 1;
                heads[who].sequence = 1;
                heads[who]
            }
            _ => {
                heads[who].sequence += 1 + random.below(3) as u64;
                heads[who]
            }
        };
        sent.push(version);
        if matches!(
            offer(&mut gate, version, now),
            Verdict::Next | Verdict::Switch
        ) {
            witness.saw(version, now);
        }
    }
    witness
}

#[test]
fn two_agents_never_turn_time_back_and_never_flap() {
    let (mut taken, mut changes) = (0, 0);
    for seed in 0..10_000 {
        let witness = interleaving(seed);
        taken += witness.taken.len();
        changes += witness.changes.len();
    }
    assert!(
        taken > 100_000,
        "the cases must take messages, took {taken}"
    );
    assert!(
        changes > 10_000,
        "the cases must change runs, did {changes} times"
    );
}

#[test]
fn a_live_pair_of_agents_never_changes_at_all() {
    let mut gate = Gate::new();
    for step in 0..10_000 {
        let now = step * 100;
        let a = offer(&mut gate, message(A, 1, step + 1), now);
        assert_eq!(
            a == Verdict::Switch,
            step == 0,
            "only the first message is a change"
        );
        assert_eq!(
            offer(&mut gate, message(B, 1, step + 1), now),
            Verdict::Held
        );
    }
}

#[test]
fn no_clock_breaks_the_gate() {
    const YEAR: u64 = 365 * 24 * 3_600_000;
    let mut random = SplitMix64::new(21);
    let mut gate = Gate::new();
    let mut now = YEAR;
    for sequence in 1..10_000 {
        now = match random.below(4) {
            0 => now.saturating_sub(3_600_000),
            1 => now.saturating_add(YEAR),
            2 => u64::MAX - random.below(2) as u64,
            _ => random.below(10) as u64,
        };
        let who = if random.below(2) == 0 { A } else { B };
        offer(&mut gate, message(who, 1, sequence), now);
    }
    // Whatever happened, a live agent is believed within one hold.
    let from = now.min(u64::MAX - 10 * HOLD_MS);
    offer(&mut gate, message(A, 1, 10_000), from);
    let late = offer(&mut gate, message(A, 1, 10_001), from + HOLD_MS);
    assert!(
        matches!(late, Verdict::Next | Verdict::Switch),
        "got {late:?}"
    );
}
