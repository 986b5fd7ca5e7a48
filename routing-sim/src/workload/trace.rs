//! W9: the replay of a recorded trace in the published shape of Mooncake's: one JSON object a line.
//!
//! ```text
//!   {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}
//!     milliseconds since  tokens of the         tokens of the         one number for each 512
//!     the trace's start   prompt                answer                tokens of the prompt
//! ```
//!
//! Equal numbers at equal places stand for equal tokens. The last one may stand for fewer than 512
//! tokens; tokens without a number are shared with nobody. A prompt that repeats an earlier answer
//! has numbers for it in the trace, but which request's answer that was is not recorded: so answers
//! are not found again in a replay, and hits are a little lower than they were. The replay is an open
//! loop: a request arrives when it did, whatever became of those before it.

use std::sync::Arc;

use model_sim::engine::SimTime;
use picker::{RequestFacts, SplitMix64};
use serde::Deserialize;

use super::{Arrival, ConversationId, PrefixBlocks, Transcript, Workload, prompt_bytes};

/// Tokens for which one of the trace's numbers stands.
const HASHED_TOKENS: u32 = 512;
/// More tokens than any request has; a trace that claims more is wrong.
const MAX_TOKENS: u32 = 10_000_000;
/// Mistakes that are listed one by one; the others are counted.
const LISTED: usize = 20;

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TraceLine {
    /// Milliseconds since the trace's start.
    pub timestamp: f64,
    /// Tokens of the prompt, at least 1.
    pub input_length: u32,
    /// Tokens of the answer, at least 1.
    pub output_length: u32,
    /// One number for each 512 leading tokens of the prompt.
    #[serde(default)]
    pub hash_ids: Vec<u64>,
}

/// What is wrong with a trace.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", listed(.mistakes))]
pub struct TraceError {
    /// Every mistake, as `line number: what is wrong`, in order.
    pub mistakes: Vec<String>,
}

fn listed(mistakes: &[String]) -> String {
    let mut text = format!("the trace has {} mistakes:", mistakes.len());
    for mistake in mistakes.iter().take(LISTED) {
        text.push_str("\n  ");
        text.push_str(mistake);
    }
    if mistakes.len() > LISTED {
        text.push_str("\n  ...");
    }
    text
}

/// A trace that was read and checked; empty lines are passed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    lines: Arc<[TraceLine]>,
}

impl Trace {
    /// Reads a trace's text.
    ///
    /// # Errors
    /// With every mistake in it: lines that are not such an object, lengths of 0 or beyond
    /// 10,000,000, times that are negative or earlier than the line before, more numbers than the
    /// prompt has blocks of 512 tokens, or no request at all.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines: Vec<TraceLine> = Vec::new();
        let mut mistakes = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<TraceLine>(line) {
                Ok(line) => {
                    let before = lines.last().map_or(0.0, |before| before.timestamp);
                    let wrong = line.mistakes(before);
                    mistakes.extend(wrong.iter().map(|wrong| format!("line {number}: {wrong}")));
                    lines.push(line);
                }
                // The position is the line's own, so only its column says anything.
                Err(error) => mistakes.push(format!("line {number}: {}", without_line(&error))),
            }
        }
        if lines.is_empty() && mistakes.is_empty() {
            mistakes.push("line 1: there must be at least one request".to_owned());
        }
        if mistakes.is_empty() {
            Ok(Self {
                lines: lines.into(),
            })
        } else {
            Err(TraceError { mistakes })
        }
    }

    /// The requests, in order of time.
    #[must_use]
    pub fn lines(&self) -> &[TraceLine] {
        &self.lines
    }

    /// Requests per second on average between the first and the last; 0 if that is no time.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        let time = |line: Option<&TraceLine>| line.map_or(0.0, |line| line.timestamp / 1_000.0);
        let seconds = time(self.lines.last()) - time(self.lines.first());
        if seconds > 0.0 {
            (self.lines.len() - 1) as f64 / seconds
        } else {
            0.0
        }
    }
}

impl TraceLine {
    fn mistakes(&self, before: f64) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.timestamp.is_nan() || self.timestamp < 0.0 {
            let got = self.timestamp;
            mistakes.push(format!("timestamp: must be at least 0, got {got}"));
        } else if self.timestamp < before {
            mistakes.push(format!(
                "timestamp: must not be earlier than the line before ({before}), got {}",
                self.timestamp
            ));
        }
        for (name, tokens) in [
            ("input_length", self.input_length),
            ("output_length", self.output_length),
        ] {
            if !(1..=MAX_TOKENS).contains(&tokens) {
                mistakes.push(format!(
                    "{name}: must be from 1 to {MAX_TOKENS}, got {tokens}"
                ));
            }
        }
        let blocks = self.input_length.div_ceil(HASHED_TOKENS);
        if self.hash_ids.len() > blocks as usize {
            mistakes.push(format!(
                "hash_ids: {} tokens have at most {blocks} numbers, got {}",
                self.input_length,
                self.hash_ids.len()
            ));
        }
        mistakes
    }
}

fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} at column {}", error.column()),
        None => text,
    }
}

/// The replay of a trace.
#[derive(Debug, Clone)]
pub struct Replay {
    trace: Trace,
    times_faster: f64,
    seed: u64,
    entropy: SplitMix64,
    next: usize,
}

impl Replay {
    /// `trace` from its first request on, its pauses shortened by `times_faster` (above 0; 1 is as
    /// recorded). The `seed` varies only what the trace does not say: bytes per token.
    #[must_use]
    pub fn new(trace: Trace, seed: u64, times_faster: f64) -> Self {
        Self {
            trace,
            times_faster,
            seed,
            entropy: SplitMix64::new(seed),
            next: 0,
        }
    }
}

impl Workload for Replay {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let line = self.trace.lines.get(self.next)?;
        let start = self.trace.lines.first()?.timestamp;
        self.next += 1;
        let number = self.next as u64;
        let mut text = Transcript::new(self.seed, PrefixBlocks::default());
        for id in &line.hash_ids {
            let left = line.input_length.saturating_sub(text.tokens());
            text.push(id << 1, left.min(HASHED_TOKENS));
        }
        let rest = line.input_length.saturating_sub(text.tokens());
        text.push(number << 2 | 1, rest);
        let facts = RequestFacts {
            prefix: text.prefix().to_vec(),
            prompt_bytes: prompt_bytes(line.input_length, &mut self.entropy),
            stream: true,
            ..RequestFacts::default()
        };
        text.push(number << 2 | 3, line.output_length);
        Some(Arrival {
            at: SimTime::from_seconds((line.timestamp - start) / 1_000.0 / self.times_faster),
            conversation: ConversationId(number),
            prompt_tokens: line.input_length,
            output_tokens: line.output_length,
            block_hashes: Arc::from(text.kv_blocks()),
            facts,
            lora: None,
            priority: 0,
        })
    }

    fn on_ended(&mut self, _: ConversationId, _: bool, _: SimTime) -> Option<Arrival> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Replay, Trace};
    use crate::workload::Workload;

    const SAMPLE: &str = include_str!("../../testdata/trace-sample.jsonl");

    #[test]
    fn the_sample_is_replayed_as_it_is_written() {
        let trace = Trace::parse(SAMPLE).unwrap();
        let lines = trace.lines().to_vec();
        let mut replay = Replay::new(trace, 1, 2.0);
        let arrivals: Vec<_> = std::iter::from_fn(|| replay.next_arrival()).collect();
        assert_eq!(arrivals.len(), lines.len());
        for (arrival, line) in arrivals.iter().zip(&lines) {
            let seconds = (line.timestamp - lines[0].timestamp) / 2_000.0;
            assert!((arrival.at.as_seconds() - seconds).abs() < 1e-9);
            assert_eq!(arrival.prompt_tokens, line.input_length);
            assert_eq!(arrival.output_tokens, line.output_length);
            let tokens = line.input_length + line.output_length;
            assert_eq!(arrival.block_hashes.len(), (tokens / 16) as usize);
        }
    }

    #[test]
    fn equal_numbers_at_the_beginning_are_equal_tokens() {
        let trace = Trace::parse(
            "{\"timestamp\": 0, \"input_length\": 1100, \"output_length\": 40, \"hash_ids\": [5, 6, 7]}\n\
             \n\
             {\"timestamp\": 9, \"input_length\": 1300, \"output_length\": 40, \"hash_ids\": [5, 6, 8]}\n\
             {\"timestamp\": 9, \"input_length\": 1300, \"output_length\": 40, \"hash_ids\": [6, 5]}\n",
        )
        .unwrap();
        let mut replay = Replay::new(trace, 1, 1.0);
        let mut next = || replay.next_arrival().unwrap();
        let (one, other, swapped) = (next(), next(), next());
        let shared = |a: &[u64], b: &[u64]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
        assert_eq!(shared(&one.block_hashes, &other.block_hashes), 1_024 / 16);
        assert_eq!(shared(&one.facts.prefix, &other.facts.prefix), 1_024 / 64);
        assert_eq!(shared(&one.block_hashes, &swapped.block_hashes), 0);
    }

    #[test]
    fn every_mistake_is_listed_with_its_line() {
        let text = "{\"timestamp\": 5, \"input_length\": 10, \"output_length\": 1, \"hash_ids\": [1]}\n\
                    not json\n\
                    {\"timestamp\": 4, \"input_length\": 0, \"output_length\": 1, \"hash_ids\": [1]}\n\
                    {\"timestamp\": 6, \"input_length\": 513, \"output_length\": 99999999, \"hash_ids\": [1, 2, 3]}\n\
                    {\"timestamp\": 7, \"input_length\": -1, \"output_length\": 1}\n\
                    {\"timestamp\": 8, \"output_length\": 1}\n";
        let mistakes = Trace::parse(text).unwrap_err().mistakes;
        assert_eq!(
            mistakes,
            [
                "line 2: expected ident at column 2",
                "line 3: timestamp: must not be earlier than the line before (5), got 4",
                "line 3: input_length: must be from 1 to 10000000, got 0",
                "line 3: hash_ids: 0 tokens have at most 0 numbers, got 1",
                "line 4: output_length: must be from 1 to 10000000, got 99999999",
                "line 4: hash_ids: 513 tokens have at most 2 numbers, got 3",
                "line 5: invalid value: integer `-1`, expected u32 at column 35",
                "line 6: missing field `input_length` at column 36",
            ]
        );
        let text = Trace::parse(&"x\n".repeat(30)).unwrap_err().to_string();
        assert!(
            text.starts_with("the trace has 30 mistakes:\n  line 1: "),
            "{text}"
        );
        assert_eq!(text.lines().count(), 22, "{text}");
    }

    #[test]
    fn an_empty_trace_is_a_mistake() {
        assert!(Trace::parse("\n \n").is_err());
    }
}
