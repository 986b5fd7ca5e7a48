//! What is measured of one experiment.

use crate::outcome::{Outcome, RequestRecord, Status};

/// A request that was refused or failed counts with this latency, in seconds, so that nobody looks
/// better by answering less.
pub const NO_ANSWER: f64 = 1_000.0;

/// What a figure says of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// 90th percentile of the time to the first token, in seconds.
    TtftP90,
    /// 90th percentile of the latency divided by the tokens of the answer, in seconds.
    NtpotP90,
    /// 90th percentile of the latency, in seconds.
    E2eP90,
    /// The share of the requests answered within the SLO: first token within 1 s, then at most 50 ms
    /// per token.
    Goodput,
    /// The share of the prompt tokens that engines found in their prefix caches.
    Hit,
}

impl Metric {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 5] = [
        Self::TtftP90,
        Self::NtpotP90,
        Self::E2eP90,
        Self::Goodput,
        Self::Hit,
    ];

    /// Those by which policies are compared with each other.
    pub const COMPARED: [Self; 4] = [Self::TtftP90, Self::NtpotP90, Self::E2eP90, Self::Goodput];

    /// Its name in figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TtftP90 => "ttft_p90",
            Self::NtpotP90 => "ntpot_p90",
            Self::E2eP90 => "e2e_p90",
            Self::Goodput => "goodput",
            Self::Hit => "hit",
        }
    }

    /// Its unit.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::TtftP90 | Self::NtpotP90 | Self::E2eP90 => "s",
            Self::Goodput | Self::Hit => "share",
        }
    }

    /// Whether more of it is better.
    pub const fn more_is_better(self) -> bool {
        matches!(self, Self::Goodput | Self::Hit)
    }

    /// By which factor `one` is worse than `other`: 1 when they are equal, above 1 when it is worse.
    ///
    /// Shares are compared with a hundredth added to both: where nearly nothing succeeds, a factor
    /// between tiny shares says nothing.
    pub fn times_worse(self, one: f64, other: f64) -> f64 {
        if self.more_is_better() {
            (other + 0.01) / (one + 0.01)
        } else {
            one / other
        }
    }
}

/// The measured values of one experiment, or their means over several seeds.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Scores {
    /// [`Metric::TtftP90`].
    pub ttft_p90: f64,
    /// The same of the requests of the highest priority.
    pub critical_ttft_p90: f64,
    /// [`Metric::NtpotP90`].
    pub ntpot_p90: f64,
    /// [`Metric::E2eP90`].
    pub e2e_p90: f64,
    /// [`Metric::Goodput`].
    pub goodput: f64,
    /// [`Metric::Hit`].
    pub hit: f64,
    /// Requests finished per second of the measured window.
    pub throughput: f64,
    /// The share of the requests that were refused or failed.
    pub unanswered: f64,
}

impl Scores {
    /// What an outcome shows.
    pub fn of(outcome: &Outcome) -> Self {
        let requests = &outcome.requests;
        let count = requests.len() as f64;
        let unanswered = requests.iter().filter(|one| !is_answered(one)).count();
        let most = requests.iter().map(|one| one.priority).max();
        let critical = requests.iter().filter(|one| Some(one.priority) == most);
        Scores {
            ttft_p90: p90(requests.iter(), |one| one.ttft),
            critical_ttft_p90: p90(critical, |one| one.ttft),
            ntpot_p90: p90(requests.iter(), RequestRecord::ntpot),
            e2e_p90: p90(requests.iter(), |one| one.e2e),
            goodput: outcome.goodput(),
            hit: outcome.hit_ratio(),
            throughput: outcome.throughput,
            unanswered: unanswered as f64 / count,
        }
    }

    /// The value of a metric.
    pub fn get(&self, metric: Metric) -> f64 {
        match metric {
            Metric::TtftP90 => self.ttft_p90,
            Metric::NtpotP90 => self.ntpot_p90,
            Metric::E2eP90 => self.e2e_p90,
            Metric::Goodput => self.goodput,
            Metric::Hit => self.hit,
        }
    }

    /// The means over several runs; `None` when there is none.
    pub fn mean(runs: &[Scores]) -> Option<Scores> {
        if runs.is_empty() {
            return None;
        }
        let mean =
            |value: fn(&Scores) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
        Some(Scores {
            ttft_p90: mean(|one| one.ttft_p90),
            critical_ttft_p90: mean(|one| one.critical_ttft_p90),
            ntpot_p90: mean(|one| one.ntpot_p90),
            e2e_p90: mean(|one| one.e2e_p90),
            goodput: mean(|one| one.goodput),
            hit: mean(|one| one.hit),
            throughput: mean(|one| one.throughput),
            unanswered: mean(|one| one.unanswered),
        })
    }
}

fn is_answered(request: &RequestRecord) -> bool {
    request.status == Status::Finished
}

/// The value that nine of ten requests do not exceed (nearest rank); `NaN` without requests.
fn p90<'a>(
    requests: impl Iterator<Item = &'a RequestRecord>,
    value: impl Fn(&RequestRecord) -> f64,
) -> f64 {
    let mut values: Vec<f64> = requests
        .map(|one| {
            if is_answered(one) {
                value(one)
            } else {
                NO_ANSWER
            }
        })
        .collect();
    let rank = (values.len() as f64 * 0.9).ceil() as usize;
    match rank.checked_sub(1) {
        Some(at) => *values.select_nth_unstable_by(at, f64::total_cmp).1,
        None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use model_sim::engine::SimTime;

    use super::{Metric, Scores};
    use crate::{
        outcome::{Outcome, RequestRecord, Status},
        workload::ConversationId,
    };

    fn outcome(unanswered: usize) -> Outcome {
        let requests = (0..100).map(|number| RequestRecord {
            conversation: ConversationId(number),
            arrived_at: SimTime::ZERO,
            ttft: number as f64 / 100.0,
            e2e: 2.0 + number as f64,
            prompt_tokens: 10,
            cached_tokens: 5,
            output_tokens: 10,
            pod: Some(0),
            retries: 0,
            priority: (number % 2) as i32,
            status: if (number as usize) < unanswered {
                Status::Refused
            } else {
                Status::Finished
            },
        });
        Outcome {
            requests: requests.collect(),
            lookup_tokens: 1_000,
            hit_tokens: 500,
            ..Outcome::default()
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let scores = Scores::of(&outcome(0));
        assert_eq!(scores.ttft_p90, 0.89);
        assert_eq!(scores.critical_ttft_p90, 0.89);
        assert_eq!(scores.e2e_p90, 91.0);
        assert_eq!(scores.ntpot_p90, 9.1);
        assert_eq!((scores.hit, scores.unanswered), (0.5, 0.0));
    }

    #[test]
    fn refusing_does_not_make_a_policy_look_fast() {
        let scores = Scores::of(&outcome(20));
        assert_eq!(scores.unanswered, 0.2);
        assert!(scores.ttft_p90 > 100.0 && scores.ntpot_p90 > 100.0);
    }

    #[test]
    fn worse_is_above_1_in_either_direction() {
        assert_eq!(Metric::TtftP90.times_worse(3.0, 2.0), 1.5);
        assert!(Metric::Goodput.times_worse(0.5, 0.9) > 1.5);
        assert!((Metric::Goodput.times_worse(0.0001, 0.0002) - 1.0).abs() < 0.02);
    }
}
