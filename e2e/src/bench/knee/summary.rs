//! What is made of the answers: percentiles per lane and load, the knee, and the figures.

use std::time::Duration;

use super::{Balancer, HALF};
use crate::bench::figures::Figure;

/// By how much time per output token has to grow over its value at half load.
const KNEE: f64 = 3.0;
/// The most of round robin's time per output token that ours may be at the knee.
const GOAL_RATIO: f64 = 0.5;
/// The least of round robin's throughput that ours may be at the knee.
const GOAL_THROUGHPUT: f64 = 0.98;

/// One answered request.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When it was due, from the start of the load.
    pub at: Duration,
    /// How much later the client came to send it.
    pub late: Duration,
    /// From when it was due to the end of its answer.
    pub latency: Duration,
    /// Tokens of the answer, at least 1.
    pub output_tokens: u32,
}

/// Seconds of CPU, or cores in use once divided by a time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cores {
    /// This process: all clients and all pods.
    pub client_and_pods: f64,
    /// All Envoys and all agents.
    pub envoys_and_agents: f64,
}

impl Cores {
    /// Cores in use since `before`, which was `elapsed` ago.
    #[must_use]
    pub fn since(self, before: Self, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        Self {
            client_and_pods: (self.client_and_pods - before.client_and_pods) / seconds,
            envoys_and_agents: (self.envoys_and_agents - before.envoys_and_agents) / seconds,
        }
    }
}

/// What one lane made of one load.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// p90 of latency over output tokens, in milliseconds: the published benchmark's "normalized
    /// time per output token".
    pub ntpot_p90_ms: f64,
    /// p90 of latency, in seconds.
    pub latency_p90_s: f64,
    /// Output tokens per second of the answers that ended while requests were measured.
    pub tokens_per_second: f64,
    /// p99 of the client's lateness, in milliseconds.
    pub late_p99_ms: f64,
    /// Share of the requests that were refused and count nowhere else.
    pub refused: f64,
}

/// One load through all lanes.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Requests that were due earlier do not count.
    pub from: Duration,
    /// When the last request was due.
    pub to: Duration,
    /// The CPU used meanwhile.
    pub cores: Cores,
    lanes: Vec<LaneSamples>,
}

/// All answers of one lane, and how many requests were refused instead.
#[derive(Debug, Clone)]
struct LaneSamples {
    balancer: Balancer,
    samples: Vec<Sample>,
    refused: usize,
}

impl Step {
    /// A load that counts between these times.
    #[must_use]
    pub const fn new(from: Duration, to: Duration, cores: Cores) -> Self {
        Self {
            from,
            to,
            cores,
            lanes: Vec::new(),
        }
    }

    /// Adds all answers of a lane, `None` for each request that was refused.
    pub fn push(&mut self, balancer: Balancer, answers: Vec<Option<Sample>>) {
        let sent = answers.len();
        let samples: Vec<Sample> = answers.into_iter().flatten().collect();
        self.lanes.push(LaneSamples {
            balancer,
            refused: sent - samples.len(),
            samples,
        });
        self.lanes
            .sort_by_key(|lane| Balancer::ALL.iter().position(|each| *each == lane.balancer));
    }

    /// What the lane made of it; nothing when there is no such lane.
    #[must_use]
    pub fn summary(&self, balancer: Balancer) -> Option<Summary> {
        let lane = self.lanes.iter().find(|lane| lane.balancer == balancer)?;
        let samples = &lane.samples;
        let counted: Vec<&Sample> = samples.iter().filter(|each| each.at >= self.from).collect();
        let of = |share, value: fn(&Sample) -> f64| {
            quantile(counted.iter().map(|each| value(each)).collect(), share)
        };
        let in_time = samples.iter().filter(|each| {
            let ended = each.at + each.latency;
            (self.from..self.to).contains(&ended)
        });
        let tokens: u64 = in_time.map(|each| u64::from(each.output_tokens)).sum();
        let seconds = self.to.saturating_sub(self.from).as_secs_f64();
        Some(Summary {
            ntpot_p90_ms: of(0.9, |each| {
                each.latency.as_secs_f64() * 1_000.0 / f64::from(each.output_tokens)
            }),
            latency_p90_s: of(0.9, |each| each.latency.as_secs_f64()),
            tokens_per_second: tokens as f64 / seconds.max(f64::MIN_POSITIVE),
            late_p99_ms: of(0.99, |each| each.late.as_secs_f64() * 1_000.0),
            refused: lane.refused as f64 / (samples.len() + lane.refused).max(1) as f64,
        })
    }
}

/// All loads so far.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    steps: Vec<(f64, Step)>,
}

/// Round robin and ours at the knee.
#[derive(Debug, Clone, Copy)]
pub struct Knee {
    /// The load.
    pub load: f64,
    /// Ours over round robin's p90 time per output token.
    pub ntpot_ratio: f64,
    /// Ours over round robin's throughput.
    pub throughput_ratio: f64,
}

impl Sweep {
    /// Adds the next higher load.
    pub fn push(&mut self, load: f64, step: Step) {
        self.steps.push((load, step));
    }

    /// The lowest load at which round robin's p90 time per output token is more than three times
    /// that at half load; nothing when the sweep does not reach it.
    #[must_use]
    pub fn knee(&self) -> Option<Knee> {
        let rr = |step: &Step| step.summary(Balancer::RoundRobin);
        let (_, half) = self.steps.iter().find(|(load, _)| *load == HALF)?;
        let limit = KNEE * rr(half)?.ntpot_p90_ms;
        let over = |step: &Step| rr(step).is_some_and(|summary| summary.ntpot_p90_ms > limit);
        let (load, step) = self.steps.iter().find(|(_, step)| over(step))?;
        let (rr, ours) = (rr(step)?, step.summary(Balancer::Cost)?);
        Some(Knee {
            load: *load,
            ntpot_ratio: ours.ntpot_p90_ms / rr.ntpot_p90_ms,
            throughput_ratio: ours.tokens_per_second / rr.tokens_per_second,
        })
    }

    /// The figures for `target/bench/envoy.json`. Without a knee its figures are missing.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        if let Some(knee) = self.knee() {
            figures.extend([
                Figure::new("envoy.knee_load", knee.load, "of capacity", None),
                Figure::new(
                    "envoy.ntpot_ratio_at_knee",
                    knee.ntpot_ratio,
                    "x rr",
                    Some(GOAL_RATIO),
                ),
                Figure::higher(
                    "envoy.throughput_ratio_at_knee",
                    knee.throughput_ratio,
                    "x rr",
                    Some(GOAL_THROUGHPUT),
                ),
            ]);
        }
        for (load, step) in &self.steps {
            for balancer in Balancer::ALL {
                let Some(summary) = step.summary(balancer) else {
                    continue;
                };
                let id = |metric| format!("envoy.{metric}.{}@{load}", balancer.name());
                figures.extend([
                    Figure::new(id("ntpot_p90"), summary.ntpot_p90_ms, "ms", None),
                    Figure::new(id("e2e_p90"), summary.latency_p90_s, "s", None),
                    Figure::higher(id("throughput"), summary.tokens_per_second, "tok/s", None),
                ]);
            }
        }
        figures
    }
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share) as usize;
    let last = values.len().saturating_sub(1);
    values.get(rank.min(last)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{Balancer, Cores, Duration, Sample, Step, Sweep};

    fn step(latencies_ms: [u64; 2]) -> Step {
        let mut step = Step::new(
            Duration::from_secs(1),
            Duration::from_secs(11),
            Cores::default(),
        );
        for (balancer, latency) in [Balancer::RoundRobin, Balancer::Cost]
            .into_iter()
            .zip(latencies_ms)
        {
            let samples = (0..110).map(|number| Sample {
                at: Duration::from_millis(number * 100),
                late: Duration::ZERO,
                // The warm-up's are ten times as slow and must not count.
                latency: Duration::from_millis(if number < 10 { latency * 10 } else { latency }),
                output_tokens: 10,
            });
            step.push(balancer, samples.map(Some).collect());
        }
        step
    }

    #[test]
    fn the_knee_is_the_first_load_above_three_times_half_load() {
        let mut sweep = Sweep::default();
        for (load, latencies) in [
            (0.5, [100, 90]),
            (0.7, [300, 150]),
            (0.8, [400, 160]),
            (0.9, [900, 180]),
        ] {
            sweep.push(load, step(latencies));
        }
        let knee = sweep.knee().unwrap();
        assert_eq!(knee.load, 0.8);
        assert!((knee.ntpot_ratio - 0.4).abs() < 1e-9, "{knee:?}");
        let figures = sweep.figures();
        let figure = |id: &str| {
            figures
                .iter()
                .find(|each| each.id == id)
                .map(|each| each.value)
        };
        assert_eq!(figure("envoy.ntpot_p90.rr@0.5"), Some(10.0));
        assert_eq!(figure("envoy.ntpot_p90.cost@0.9"), Some(18.0));
        assert_eq!(figure("envoy.ntpot_p90.lr@0.9"), None);
    }

    #[test]
    fn throughput_counts_what_ended_in_time() {
        // 10 requests/s of 10 tokens for 10 s: the last 4 come too late, and 10 of the warm-up in time.
        let summary = step([400, 400]).summary(Balancer::RoundRobin).unwrap();
        assert_eq!(summary.tokens_per_second, 106.0);
    }

    #[test]
    fn a_sweep_without_a_knee_has_no_figures_of_one() {
        let mut sweep = Sweep::default();
        sweep.push(0.5, step([100, 100]));
        sweep.push(0.9, step([250, 100]));
        assert!(sweep.knee().is_none());
        assert!(
            !sweep
                .figures()
                .iter()
                .any(|figure| figure.id.contains("knee"))
        );
    }
}
