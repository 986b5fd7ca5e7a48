//! A pool as lines of text: what screen and plain output share.

use std::fmt::Write as _;

use crate::{
    fetch::printable,
    status::{PodStatus, PoolStatus, Status},
};

/// What pods can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    #[default]
    Load,
    Name,
    InFlight,
    Share,
}

impl Order {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Load => Self::Name,
            Self::Name => Self::InFlight,
            Self::InFlight => Self::Share,
            Self::Share => Self::Load,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Name => "name",
            Self::InFlight => "in flight",
            Self::Share => "share",
        }
    }

    /// The pods of a pool in this order, the most first.
    pub(super) fn sort(self, pool: &PoolStatus) -> Vec<&PodStatus> {
        let mut pods: Vec<&PodStatus> = pool.pods.iter().collect();
        let key = |pod: &PodStatus| match self {
            // What is unknown is what somebody should look at.
            Self::Load => pod.saturation.unwrap_or(f32::INFINITY),
            Self::Name => 0.0,
            Self::InFlight => pod.in_flight as f32,
            Self::Share => pod.share.unwrap_or(-1.0),
        };
        pods.sort_by(|a, b| key(b).total_cmp(&key(a)).then_with(|| a.name.cmp(&b.name)));
        pods
    }
}

/// Column heads with their widths; the first takes what is left, the last is the history.
pub(super) const HEADS: [(&str, usize); 9] = [
    ("POD", 17),
    ("STATE", 9),
    ("WAIT", 4),
    ("RUN", 4),
    ("KV", 5),
    ("FLIGHT", 6),
    ("SHARE", 6),
    ("HITS", 5),
    ("LOAD, 5 s EACH", 16),
];

const UNKNOWN: &str = "-";

/// The cells of a pod but for the last.
pub(super) fn cells(pod: &PodStatus) -> [String; 8] {
    let number =
        |value: Option<f32>| value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.0}"));
    let percent = |part: Option<f32>| match part {
        None => UNKNOWN.to_owned(),
        Some(part) if part > 0.0 && part < 0.01 => format!("{:.1}%", part * 100.0),
        Some(part) => format!("{:.0}%", part * 100.0),
    };
    [
        printable(&pod.name),
        state(pod),
        number(pod.waiting),
        number(pod.running),
        percent(pod.kv_usage),
        pod.in_flight.to_string(),
        percent(pod.share),
        percent(pod.prefix_hits),
    ]
}

fn state(pod: &PodStatus) -> String {
    let mark = match pod.state.as_str() {
        "suspect" => "!",
        "draining" | "pending" => "~",
        _ => "",
    };
    match pod.held {
        true => "~held".to_owned(),
        false => format!("{mark}{}", printable(&pod.state)),
    }
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Twentieths of saturation in the digits of [`PodStatus::load`].
const SATURATED: u32 = 20;

/// The last `width` columns of a pod's history: a bar each, `·` where nothing is known, and whether the
/// pod was saturated then.
pub(super) fn history(load: &str, width: usize) -> Vec<(char, bool)> {
    let skipped = load.chars().count().saturating_sub(width);
    let columns = load.chars().skip(skipped);
    columns
        .map(|digit| match digit.to_digit(36) {
            None => ('·', false),
            Some(level) => {
                let place = (level * BARS.len() as u32 / SATURATED) as usize;
                let bar = BARS.get(place).or(BARS.last());
                (bar.copied().unwrap_or('█'), level >= SATURATED)
            }
        })
        .collect()
}

/// The figures of a pool in one line.
pub(super) fn figures(pool: &PoolStatus) -> String {
    let sum =
        |value: fn(&PodStatus) -> Option<f32>| -> f32 { pool.pods.iter().filter_map(value).sum() };
    let ready = pool.pods.iter().filter(|pod| pod.state == "ready").count();
    let in_flight: u32 = pool.pods.iter().map(|pod| pod.in_flight).sum();
    let mut line = format!(
        "ready {ready}/{}  load {:.0}%  wait {:.0}  run {:.0}  flight {in_flight}",
        pool.pods.len(),
        pool.saturation * 100.0,
        sum(|pod| pod.waiting),
        sum(|pod| pod.running),
    );
    if let Some(rate) = pool.requests_per_second {
        // Writing to a string does not fail.
        write!(line, "  {rate:.1} req/s").ok();
    }
    if let Some(sheds @ 1..) = pool.sheds {
        write!(line, "  shed {sheds}").ok();
    }
    write!(line, "  gateways {}", pool.gateways.len()).ok();
    line
}

/// Everything once, without a terminal.
pub(super) fn plain(status: &Status, wanted: Option<&str>, width: usize) -> String {
    let mut text = String::new();
    for problem in &status.problems {
        text.push_str(&format!("not ready: {}\n", printable(problem)));
    }
    let pools = status.pools.iter();
    for pool in pools.filter(|pool| wanted.is_none_or(|wanted| pool.name == wanted)) {
        let fixed: usize = HEADS.iter().skip(1).map(|(_, width)| width + 1).sum();
        let first = width.saturating_sub(fixed).max(8);
        text.push_str(&format!(
            "pool {}\n{}\n",
            printable(&pool.name),
            figures(pool)
        ));
        let heads = HEADS.map(|(head, _)| head.to_owned());
        text.push_str(&line(&heads, first));
        for pod in Order::default().sort(pool) {
            let history = history(&pod.load, HEADS.last().map_or(0, |(_, width)| *width));
            let history: String = history.into_iter().map(|(bar, _)| bar).collect();
            let [a, b, c, d, e, f, g, h] = cells(pod);
            text.push_str(&line(&[a, b, c, d, e, f, g, h, history], first));
        }
    }
    text
}

fn line(cells: &[String; 9], first: usize) -> String {
    let mut line = String::new();
    for (at, (cell, (_, width))) in cells.iter().zip(HEADS).enumerate() {
        let width = if at == 0 { first } else { width };
        let cell: String = cell.chars().take(width).collect();
        let cell = match at {
            0 => format!("{cell:width$}"),
            1 | 8 => format!(" {cell:width$}"),
            _ => format!(" {cell:>width$}"),
        };
        line.push_str(&cell);
    }
    format!("{}\n", line.trim_end())
}
