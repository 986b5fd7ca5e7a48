//! The section `scrape`.

use std::time::Duration;

use super::{
    checked::ScrapeSettings,
    document::Value,
    section::{Checker, Field},
    values,
};

const KNOWN: [&str; 8] = [
    "interval",
    "standby_interval",
    "timeout",
    "connect_timeout",
    "max_bytes",
    "max_lines",
    "concurrency",
    "hang_after",
];

const MAX_BYTES: std::ops::RangeInclusive<u64> = 1_024..=(64 << 20);

pub(super) fn read(checker: &mut Checker, field: Option<&Field<'_>>) -> ScrapeSettings {
    let mut settings = ScrapeSettings::default();
    let Some(section) = field.and_then(|field| checker.section(field, &KNOWN)) else {
        return settings;
    };
    let mut duration = |name: &str, low: u64, high: u64, into: &mut Duration| {
        let range = Duration::from_millis(low)..=Duration::from_millis(high);
        if let Some(field) = section.get(name) {
            *into = checker.duration(&field, range).unwrap_or(*into);
        }
    };
    duration("interval", 50, 10_000, &mut settings.interval);
    duration(
        "standby_interval",
        50,
        10_000,
        &mut settings.standby_interval,
    );
    duration("timeout", 10, 30_000, &mut settings.timeout);
    duration("connect_timeout", 10, 30_000, &mut settings.connect_timeout);
    duration("hang_after", 200, 600_000, &mut settings.hang_after);
    if settings.standby_interval < settings.interval {
        match section.get("standby_interval") {
            Some(field) => checker.wrong(
                &field,
                format!(
                    "{} is shorter than scrape.interval, {}",
                    values::show_duration(settings.standby_interval),
                    values::show_duration(settings.interval)
                ),
            ),
            None => settings.standby_interval = settings.interval,
        }
    }
    if settings.connect_timeout > settings.timeout {
        match section.get("connect_timeout") {
            Some(field) => checker.wrong(
                &field,
                format!(
                    "{} is longer than scrape.timeout, {}",
                    values::show_duration(settings.connect_timeout),
                    values::show_duration(settings.timeout)
                ),
            ),
            None => settings.connect_timeout = settings.timeout,
        }
    }
    if let Some(field) = section.get("max_bytes") {
        settings.max_bytes = size(checker, &field).unwrap_or(settings.max_bytes);
    }
    let mut count = |name: &str, high: u64, into: &mut usize| {
        if let Some(field) = section.get(name) {
            let read = checker.integer(&field, 1..=high);
            *into = read.and_then(|n| usize::try_from(n).ok()).unwrap_or(*into);
        }
    };
    count("max_lines", 1_000_000, &mut settings.max_lines);
    count("concurrency", 4_096, &mut settings.concurrency);
    settings
}

/// A number of bytes, or text with `KiB` or `MiB`.
fn size(checker: &mut Checker, field: &Field<'_>) -> Option<usize> {
    let found = match &field.node.value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        Value::Text(text) => values::bytes(text),
        _ => None,
    }
    .filter(|bytes| MAX_BYTES.contains(bytes));
    if found.is_none() {
        let shown = field.node.value.shown();
        checker.wrong(
            field,
            format!("expected 1024..=64MiB such as 4MiB or 65536, got {shown}"),
        );
    }
    found.and_then(|bytes| usize::try_from(bytes).ok())
}
