//! Whatever is pushed, served and removed: the counts are right, and fairness holds.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Push(i32, u64, u32),
    Serve,
    Remove(usize),
    Grow(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (-2..3_i32, 0..4_u64, 0..5_000_u32).prop_map(|(a, b, c)| Step::Push(a, b, c)),
        2 => Just(Step::Serve),
        1 => any::<usize>().prop_map(Step::Remove),
        1 => (any::<usize>(), 0..100_u64).prop_map(|(at, bytes)| Step::Grow(at, bytes)),
    ]
}

proptest! {
    #[test]
    fn counts_are_always_right(steps in proptest::collection::vec(step(), 1..300)) {
        let mut queue = queue();
        let mut there: Vec<(Ticket, Waiting)> = Vec::new();
        for step in steps {
            match step {
                Step::Push(priority, flow, tokens) => {
                    let waiting = waiting(priority, flow, tokens);
                    let ticket = queue.push(waiting, 0).unwrap();
                    there.push((ticket, waiting));
                }
                Step::Serve => {
                    let first = next(&queue);
                    prop_assert_eq!(first.is_some(), !there.is_empty());
                    if let Some(ticket) = first {
                        let (waiting, _) = queue.serve(ticket).unwrap();
                        let highest = there.iter().map(|(_, one)| one.priority).max();
                        prop_assert_eq!(Some(waiting.priority), highest);
                        there.retain(|(one, _)| *one != ticket);
                    }
                }
                Step::Remove(at) if !there.is_empty() => {
                    let (ticket, _) = there.swap_remove(at % there.len());
                    prop_assert!(queue.remove(ticket).is_some());
                    prop_assert!(queue.remove(ticket).is_none());
                }
                Step::Grow(at, bytes) if !there.is_empty() => {
                    let place = at % there.len();
                    let (ticket, waiting) = &mut there[place];
                    queue.grow(*ticket, bytes).unwrap();
                    waiting.bytes = waiting.bytes.max(bytes);
                }
                Step::Remove(_) | Step::Grow(..) => {}
            }
            prop_assert_eq!(queue.len(), there.len());
            let bytes: u64 = there.iter().map(|(_, waiting)| waiting.bytes).sum();
            prop_assert_eq!(queue.bytes(), bytes);
            let highest = there.iter().map(|(_, waiting)| waiting.priority).max();
            prop_assert_eq!(queue.highest(), highest);
            let mut shown: Vec<Ticket> = queue.order().map(|(ticket, _, _)| ticket).collect();
            let priorities: Vec<Priority> = queue.order().map(|(_, one, _)| one.priority).collect();
            prop_assert!(priorities.is_sorted_by(|one, next| one >= next));
            shown.sort_unstable();
            let mut tickets: Vec<Ticket> = there.iter().map(|(ticket, _)| *ticket).collect();
            tickets.sort_unstable();
            prop_assert_eq!(shown, tickets);
            let tokens: u64 = there.iter().map(|(_, waiting)| u64::from(waiting.tokens)).sum();
            prop_assert!(queue.tokens_before(Priority(i32::MIN), 0) <= tokens);
        }
    }

    /// Two flows that always wait are served as many tokens, to within their largest requests.
    #[test]
    fn two_flows_that_always_wait_get_equal_shares(
        sizes in proptest::collection::vec((1..2_000_u32, 1..20_000_u32), 50..400),
    ) {
        let mut queue = queue();
        let mut served = [0_u64; 2];
        for (short, long) in sizes {
            for (flow, tokens) in [(0, short), (1, long)] {
                queue.push(waiting(0, flow, tokens), 0).unwrap();
            }
            let ticket = next(&queue).unwrap();
            let (waiting, _) = queue.serve(ticket).unwrap();
            served[waiting.flow as usize] += u64::from(waiting.tokens);
            prop_assert!(served[0].abs_diff(served[1]) <= 20_000, "{served:?}");
        }
    }
}
