#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use picker::{Entropy, SplitMix64};

use super::*;

#[cfg(not(target_arch = "wasm32"))]
mod properties;

pub(super) fn waiting(priority: i32, flow: u64, tokens: u32) -> Waiting {
    Waiting {
        priority: Priority(priority),
        flow,
        tokens,
        bytes: 10,
        arrived: Millis(0),
        due: None,
        expires: Millis(60_000),
    }
}

fn queue() -> Queue<u32> {
    Queue::new(&AdmissionConfig::default())
}

/// Serves everything and returns it in the order in which it went.
fn drained(queue: &mut Queue<u32>) -> Vec<u32> {
    let mut order = Vec::new();
    while let Some(ticket) = next(queue) {
        order.push(queue.serve(ticket).unwrap().1);
    }
    order
}

pub(super) fn next<T>(queue: &Queue<T>) -> Option<Ticket> {
    queue.order().next().map(|(ticket, _, _)| ticket)
}

#[test]
fn priorities_are_strict_and_a_flow_is_first_come_first_served() {
    let mut queue = queue();
    for (held, priority) in [(1, 0), (2, -5), (3, 7), (4, 0), (5, 7)] {
        queue.push(waiting(priority, 0, 100), held).unwrap();
    }
    assert_eq!(queue.highest(), Some(Priority(7)));
    assert_eq!(drained(&mut queue), [3, 5, 1, 4, 2]);
    assert_eq!((queue.highest(), queue.len(), queue.bytes()), (None, 0, 0));
}

#[test]
fn flows_take_turns_by_tokens() {
    let mut queue = queue();
    // Tenant 1 sends prompts ten times as long as tenant 2.
    for held in 0..4 {
        queue.push(waiting(0, 1, 1_000), 100 + held).unwrap();
    }
    for held in 0..40 {
        queue.push(waiting(0, 2, 100), 200 + held).unwrap();
    }
    let order = drained(&mut queue);
    let first_half: Vec<_> = order.iter().take(22).collect();
    let long = first_half.iter().filter(|held| ***held < 200).count();
    assert_eq!(long, 2, "{order:?}");
}

#[test]
fn the_walk_shows_the_order_in_which_equal_requests_go() {
    let mut random = SplitMix64::new(3);
    let mut queue = queue();
    let tokens = [50, 300, 1_000];
    for held in 0..200 {
        let flow = random.below(3);
        let waiting = waiting(random.below(2) as i32, flow as u64, tokens[flow]);
        queue.push(waiting, held).unwrap();
    }
    let shown: Vec<u32> = queue.order().map(|(_, _, held)| *held).collect();
    assert_eq!(shown, drained(&mut queue));
}

#[test]
fn absence_earns_nothing_and_a_debt_is_remembered() {
    let mut queue = queue();
    for held in 0..10 {
        queue.push(waiting(0, 1, 100), held).unwrap();
    }
    for _ in 0..5 {
        let ticket = next(&queue).unwrap();
        queue.serve(ticket);
    }
    // Flow 2 was absent while flow 1 was served 500 tokens; it does not get 500 in advance.
    for held in 100..110 {
        queue.push(waiting(0, 2, 100), held).unwrap();
    }
    let order = drained(&mut queue);
    let of_flow_two = order.iter().take(6).filter(|held| **held >= 100).count();
    assert!((3..=4).contains(&of_flow_two), "{order:?}");
    // Flow 1 has always one long request waiting, flow 2 many short ones: it does not go every other
    // time because its account is closed in between.
    let mut long = 0;
    for held in 0..1_000 {
        if queue.fits(&waiting(0, 2, 10), 1, 10).is_ok() {
            queue.push(waiting(0, 2, 10), held).unwrap();
        }
        let absent = !queue.order().any(|(_, waiting, _)| waiting.flow == 1);
        if absent {
            queue.push(waiting(0, 1, 1_000), held).unwrap();
        }
        let ticket = next(&queue).unwrap();
        let (waiting, _) = queue.serve(ticket).unwrap();
        long += usize::from(waiting.flow == 1);
    }
    assert!((8..=12).contains(&long), "{long} of 1,000 were long");
}

#[test]
fn deadlines_order_a_flow_within_bounds() {
    let mut queue: Queue<u32> = Queue::new(&AdmissionConfig {
        order: Order::Deadline,
        ..AdmissionConfig::default()
    });
    let due = |due: Option<u64>| Waiting {
        due: due.map(Millis),
        arrived: Millis(1_000),
        ..waiting(0, 0, 1)
    };
    queue.push(due(None), 1).unwrap();
    queue.push(due(Some(5_000)), 2).unwrap();
    queue.push(due(Some(2_000)), 3).unwrap();
    // A moment before it came, or after it expires, is no better than these.
    queue.push(due(Some(0)), 4).unwrap();
    queue.push(due(Some(1_000)), 5).unwrap();
    queue.push(due(Some(u64::MAX)), 6).unwrap();
    assert_eq!(drained(&mut queue), [4, 5, 3, 2, 1, 6]);
}

#[test]
fn bounds_hold_for_worker_priority_and_flow() {
    let bounds = |requests, bytes| Bounds { requests, bytes };
    let mut queue: Queue<u32> = Queue::new(&AdmissionConfig {
        worker: bounds(4, 1_000),
        priority: bounds(3, 1_000),
        flow: bounds(2, 1_000),
        ..AdmissionConfig::default()
    });
    let push = |queue: &mut Queue<u32>, priority, flow| {
        let result = queue.push(waiting(priority, flow, 1), 0);
        result.map(drop).map_err(|(Full(bound), _)| bound)
    };
    assert_eq!(push(&mut queue, 0, 1), Ok(()));
    assert_eq!(push(&mut queue, 0, 1), Ok(()));
    assert_eq!(push(&mut queue, 0, 1), Err(Bound::Flow));
    assert_eq!(push(&mut queue, 0, 2), Ok(()));
    assert_eq!(push(&mut queue, 0, 3), Err(Bound::Priority));
    assert_eq!(push(&mut queue, 1, 1), Ok(()));
    assert_eq!(push(&mut queue, 2, 1), Err(Bound::Worker));
    let ticket = next(&queue).unwrap();
    assert_eq!(queue.grow(ticket, 970), Ok(()));
    assert_eq!(queue.bytes(), 1_000);
    assert_eq!(queue.grow(ticket, 971), Err(Full(Bound::Worker)));
    queue.remove(ticket).unwrap();
    assert_eq!(queue.bytes(), 30);
    assert_eq!(queue.grow(ticket, 1 << 40), Ok(()), "it is gone");
}

#[test]
fn requests_expire_in_their_order() {
    let mut queue = queue();
    for (held, expires) in [(1, 300), (2, 100), (3, 200)] {
        let waiting = Waiting {
            expires: Millis(expires),
            ..waiting(0, 0, 1)
        };
        queue.push(waiting, held).unwrap();
    }
    assert_eq!(queue.expired(Millis(99)), None);
    let mut gone = Vec::new();
    while let Some(ticket) = queue.expired(Millis(200)) {
        gone.push(queue.remove(ticket).unwrap().1);
    }
    assert_eq!(gone, [2, 3]);
    assert_eq!(queue.len(), 1);
}

#[test]
fn the_tokens_before_a_request_are_those_of_its_turn() {
    let mut queue = queue();
    for _ in 0..10 {
        queue.push(waiting(0, 1, 100), 0).unwrap();
    }
    queue.push(waiting(0, 2, 100), 0).unwrap();
    queue.push(waiting(3, 1, 500), 0).unwrap();
    assert_eq!(queue.tokens_before(Priority(3), 1), 500);
    assert_eq!(queue.tokens_before(Priority(0), 1), 500 + 1_100);
    assert_eq!(queue.tokens_before(Priority(0), 2), 500 + 200);
    assert_eq!(queue.tokens_before(Priority(0), 9), 500 + 100);
    assert_eq!(queue.tokens_before(Priority(4), 1), 0);
}
