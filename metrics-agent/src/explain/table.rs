//! The explanation as text.

use std::fmt::Write as _;

use picker::{
    PickerConfig, Reason,
    explain::{Explanation, Terms},
};

use super::{Perspective, Request};
use crate::fetch::printable;

const NOT_KNOWN: &str = "\
Not known here, because only a gateway's own workers know it:
  - which prompts they sent where: a prefix that an endpoint holds lowers its `new` and its cost
  - endpoints that failed them of late, and how fast answers really came
  - adapters that they sent since the last scrape, and sessions
";

/// The whole answer.
pub(super) fn text(
    perspective: &Perspective,
    request: &Request,
    explained: &Explanation,
    config: &PickerConfig,
    rows: usize,
) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    head(&mut text, perspective, request, explained).ok();
    terms(&mut text, perspective, explained, config, rows).ok();
    text.push('\n');
    text.push_str(NOT_KNOWN);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

fn head(
    text: &mut String,
    perspective: &Perspective,
    request: &Request,
    explained: &Explanation,
) -> std::fmt::Result {
    let facts = &request.facts;
    write!(
        text,
        "request   {} bytes, read: {}",
        request.bytes,
        request.outcome.as_str()
    )?;
    match &request.asked {
        Some(model) => write!(text, ", model {}", printable(model))?,
        None => write!(text, ", no model that can be told")?,
    }
    if let Some((target, share)) = &request.target {
        write!(
            text,
            " -> {} ({:.0} % of the draw)",
            printable(target),
            share * 100.0
        )?;
    }
    if !request.is_served {
        write!(text, " (the pool does not serve it)")?;
    }
    write!(text, ", prompt of {} bytes", facts.prompt_bytes)?;
    if let Some(most) = facts.max_tokens {
        write!(text, ", at most {most} tokens")?;
    }
    writeln!(text, "{}", if facts.stream { ", streamed" } else { "" })?;

    let endpoints = perspective.view().endpoints.len();
    write!(
        text,
        "pool      {}: {endpoints} endpoints, ",
        printable(&perspective.pool)
    )?;
    match &perspective.gateway {
        Some(gateway) => writeln!(
            text,
            "as gateway {} of {} has it: {} requests in flight of its own, {} of others",
            printable(gateway),
            perspective.gateways,
            perspective.own(),
            perspective.others(),
        )?,
        None => writeln!(text, "no gateway reported load")?,
    }

    let decision = &explained.decision;
    let choices: Vec<String> = decision
        .choices()
        .map(|at| printable(&perspective.name(at)))
        .collect();
    match decision.reason() {
        Reason::NoEndpoints | Reason::NoneEligible | Reason::Saturated => {
            writeln!(text, "decision  nobody: {}", decision.reason().as_str())?;
        }
        reason => {
            let estimate = decision.estimate();
            writeln!(
                text,
                "decision  {}: {}",
                choices.join(", then "),
                reason.as_str()
            )?;
            writeln!(
                text,
                "expected  first token after {:.0} ms, last after {:.1} s",
                estimate.ttft_ms,
                estimate.total_ms / 1e3,
            )?;
        }
    }
    Ok(())
}

fn terms(
    text: &mut String,
    perspective: &Perspective,
    explained: &Explanation,
    config: &PickerConfig,
    rows: usize,
) -> std::fmt::Result {
    if explained.terms.is_empty() {
        let policy = config.policy.as_str();
        return writeln!(text, "\nThe policy `{policy}` compares no costs.");
    }
    let mut sorted: Vec<(usize, Terms)> = explained.terms.clone();
    sorted.sort_by(|a, b| a.1.cost_s.total_cmp(&b.1.cost_s));
    let choices: Vec<usize> = explained.decision.choices().collect();
    let width = sorted
        .iter()
        .take(rows)
        .map(|(at, _)| perspective.name(*at).chars().count());
    let width = width.max().unwrap_or(0).clamp(8, 32);
    let weight = config.cost.ttft_weight;
    writeln!(
        text,
        "\n    {:width$}  {:>6} {:>5} {:>7} {:>5} {:>5} | {:>6} {:>8} {:>7} {:>7} {:>8} {:>7} {:>6} {:>9}",
        "", "there:", "", "", "", "", "this:", "", "", "", "", "", "", ""
    )?;
    writeln!(
        text,
        "    {:width$}  {:>6} {:>5} {:>7} {:>5} {:>5} | {:>6} {:>8} {:>7} {:>7} {:>8} {:>7} {:>6} {:>9}",
        "endpoint",
        "decode",
        "wait",
        "prefill",
        "kv %",
        "trust",
        "new",
        format!("{weight:.0} ttft"),
        "decode",
        "delay",
        "pressure",
        "adapter",
        "factor",
        "= cost s",
    )?;
    for (at, terms) in sorted.iter().take(rows) {
        let place = choices.iter().position(|choice| choice == at);
        let place = place.map_or_else(String::new, |place| (place + 1).to_string());
        let name: String = printable(&perspective.name(*at))
            .chars()
            .take(width)
            .collect();
        writeln!(
            text,
            "{place:>2}  {name:width$}  {:>6.1} {:>5.1} {:>7.0} {:>5.0} {:>5.2} | {:>6.0} {:>8.3} {:>7.3} {:>7.3} {:>8.3} {:>7.3} {:>6.2} {:>9.3}",
            terms.decoding,
            terms.waiting,
            terms.prefill_tokens,
            100.0 * terms.kv_tokens / terms.kv_capacity,
            terms.trust,
            terms.uncached_tokens,
            weight * terms.ttft_s,
            terms.decode_s,
            terms.delay_s,
            terms.pressure_s,
            terms.adapter_s,
            terms.factor,
            terms.cost_s,
        )?;
    }
    if sorted.len() > rows {
        writeln!(
            text,
            "    ... and {} more that cost more (--rows)",
            sorted.len() - rows
        )?;
    }
    left_out(text, perspective, explained)?;
    let band = match perspective.others() {
        0 => config.cost.near_tie,
        _ => config.cost.several_gateways_near_tie,
    };
    writeln!(
        text,
        "Costs within {:.0} % of the least are near ties: one of them is drawn.",
        band * 100.0
    )
}

/// Those that were not compared: draining, failing, or without the adapter.
fn left_out(
    text: &mut String,
    perspective: &Perspective,
    explained: &Explanation,
) -> std::fmt::Result {
    let endpoints = perspective.view().endpoints.iter().enumerate();
    let compared = |at: usize| explained.terms.iter().any(|(position, _)| *position == at);
    let left: Vec<String> = endpoints
        .filter(|(at, _)| !compared(*at))
        .map(|(at, endpoint)| {
            let health = format!("{:?}", endpoint.health).to_lowercase();
            format!("{} ({health})", printable(&perspective.name(at)))
        })
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "Not compared, as others can take it: {}",
        left.join(", ")
    )
}
