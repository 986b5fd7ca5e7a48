//! What a terminal of 80 columns shows.

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent},
};

use super::{
    rows::{history, plain},
    screen::Screen,
    *,
};
use crate::status::{GatewayStatus, PodStatus, PoolStatus};

fn pod(name: &str, saturation: Option<f32>) -> PodStatus {
    PodStatus {
        name: name.to_owned(),
        address: "10.0.0.1:8000".to_owned(),
        state: if saturation.is_some() {
            "ready"
        } else {
            "suspect"
        }
        .to_owned(),
        waiting: saturation.map(|load| load * 5.0),
        running: Some(12.0),
        kv_usage: Some(0.4),
        saturation,
        in_flight: 7,
        share: Some(0.004),
        prefix_hits: Some(0.25),
        load: "-05aekoz".to_owned(),
        ..PodStatus::default()
    }
}

fn status() -> Status {
    let pool = |name: &str, pods| PoolStatus {
        name: name.to_owned(),
        saturation: 0.5,
        requests_per_second: Some(3.25),
        sheds: Some(if name == "chat" { 12 } else { 0 }),
        pods,
        gateways: vec![GatewayStatus::default()],
        ..PoolStatus::default()
    };
    let pods = vec![
        pod("idle", Some(0.1)),
        pod("busy", Some(1.2)),
        pod("evil\u{1b}[2J\u{7}name", Some(0.2)),
        pod("gone", None),
    ];
    Status {
        agent: "agent-0".to_owned(),
        pools: vec![
            pool("chat", pods),
            pool("code", vec![pod("only", Some(0.3))]),
        ],
        ..Status::default()
    }
}

fn drawn(screen: &Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = (0..height).map(|y| (0..width).map(move |x| (x, y)));
    rows.map(|row| row.map(|at| buffer[at].symbol().to_owned()).collect())
        .collect()
}

#[test]
fn eighty_columns_hold_every_column_and_the_worst_comes_first() {
    let mut screen = Screen::default();
    screen.take(Ok(status()));
    let lines = drawn(&screen, 80, 12);
    assert!(lines[0].contains("agent-0") && lines[0].contains("pool chat (1/2)"));
    assert!(
        lines[1].contains("ready 3/4") && lines[1].contains("3.2 req/s"),
        "{}",
        lines[1]
    );
    for head in [
        "POD", "STATE", "WAIT", "RUN", "KV", "FLIGHT", "SHARE", "HITS", "LOAD",
    ] {
        assert!(lines[2].contains(head), "{head} is missing in {}", lines[2]);
    }
    assert!(
        lines[3].starts_with("gone") && lines[3].contains("!suspect"),
        "{}",
        lines[3]
    );
    assert!(
        lines[4].starts_with("busy") && lines[4].contains("0.4%"),
        "{}",
        lines[4]
    );
    assert!(lines[4].contains("·▁▃▅▆███"), "{}", lines[4]);
    assert!(lines[11].contains("q quit"));
}

#[test]
fn keys_sort_scroll_change_the_pool_and_quit() {
    let mut screen = Screen::default();
    screen.take(Ok(status()));
    let press = |screen: &mut Screen, code| screen.press(KeyEvent::from(code));
    press(&mut screen, KeyCode::Char('s'));
    assert!(drawn(&screen, 80, 12)[3].starts_with("busy"), "by name");
    press(&mut screen, KeyCode::Down);
    assert!(drawn(&screen, 80, 12)[3].starts_with("evil"), "scrolled");
    for _ in 0..100 {
        press(&mut screen, KeyCode::PageDown);
    }
    assert!(
        drawn(&screen, 80, 12)[3].starts_with("idle"),
        "the last one stays"
    );
    press(&mut screen, KeyCode::Char('p'));
    assert!(drawn(&screen, 80, 12)[0].contains("pool code (2/2)"));
    assert!(!screen.is_over());
    press(&mut screen, KeyCode::Char('q'));
    assert!(screen.is_over());
}

#[test]
fn any_size_is_drawn_and_an_agent_that_is_gone_is_told() {
    let mut screen = Screen::default();
    for (width, height) in [(1, 1), (20, 3), (40, 6), (300, 100)] {
        drop(drawn(&screen, width, height));
    }
    screen.take(Ok(status()));
    screen.take(Err(TopError::Fetch(FetchError::Address("x".to_owned()))));
    for (width, height) in [(1, 1), (20, 3), (40, 6), (300, 100)] {
        drop(drawn(&screen, width, height));
    }
    let lines = drawn(&screen, 100, 10);
    assert!(lines[0].contains("OLD: `x` is no address"), "{}", lines[0]);
    assert!(
        lines[3].starts_with("gone"),
        "what was known stays on the screen"
    );
}

#[test]
fn plain_text_fits_and_commands_no_terminal() {
    let text = plain(&status(), None, 80);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text:?}"
    );
    assert!(text.contains("pool chat") && text.contains("pool code"));
    assert!(text.contains("  shed 12  gateways 1"), "{text}");
    let code = plain(&status(), Some("code"), 80);
    assert!(
        !code.contains("pool chat") && !code.contains("shed"),
        "{code}"
    );
}

#[test]
fn bars_rise_with_the_load() {
    let bars: String = history("0123456789abcdefghijk", 21)
        .iter()
        .map(|(bar, _)| bar)
        .collect();
    assert_eq!(
        bars,
        "▁▁▁▂▂▃▃▃▄▄▅▅▅▆▆▇▇▇███".replace("███", "██").to_owned() + "█"
    );
    assert_eq!(history("-kz", 2), [('█', true), ('█', true)]);
    assert_eq!(history("nonsense!", 1), [('·', false)]);
}
