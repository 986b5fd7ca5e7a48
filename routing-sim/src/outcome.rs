//! What came of an experiment.

use std::time::Duration;

use model_sim::engine::SimTime;

use crate::workload::ConversationId;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Its last token was there.
    Finished,
    /// The policy refused it.
    Refused,
    /// No pod answered it.
    Failed,
}

/// One request's story. Times are seen by the client; the network takes none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestRecord {
    /// Its conversation.
    pub conversation: ConversationId,
    /// When it arrived.
    pub arrived_at: SimTime,
    /// Seconds to the first token; to its end if it did not finish.
    pub ttft: f64,
    /// Seconds to the last token; to its end if it did not finish.
    pub e2e: f64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, tokens from the prefix cache of the engine that finished it.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub output_tokens: u32,
    /// The pod that had it last, as an index into [`crate::Scenario::endpoints`].
    pub pod: Option<u32>,
    /// How often it was sent to another pod because one failed.
    pub retries: u32,
    /// [`crate::Arrival::priority`].
    pub priority: i32,
    /// How it ended.
    pub status: Status,
}

/// First token later than this, in seconds, misses the SLO.
pub const SLO_TTFT: f64 = 1.0;
/// More than this per token after the first, in seconds, misses the SLO.
pub const SLO_TPOT: f64 = 0.05;

impl RequestRecord {
    /// Seconds per generated token, the whole latency counted ("normalized time per output token").
    #[must_use]
    pub fn ntpot(&self) -> f64 {
        self.e2e / f64::from(self.output_tokens.max(1))
    }

    /// Seconds per token after the first; 0 when there was only one.
    #[must_use]
    pub fn tpot(&self) -> f64 {
        match self.output_tokens {
            0 | 1 => 0.0,
            tokens => (self.e2e - self.ttft) / f64::from(tokens - 1),
        }
    }

    /// Whether it finished within the SLO: [`SLO_TTFT`] and [`SLO_TPOT`].
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.status == Status::Finished && self.ttft < SLO_TTFT && self.tpot() <= SLO_TPOT
    }
}

/// What one pod did, over the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PodRecord {
    /// Requests it finished.
    pub finished: u64,
    /// Tokens it generated.
    pub generated_tokens: u64,
    /// Seconds its engine was busy.
    pub busy_seconds: f64,
    /// Preemptions.
    pub preemptions: u64,
    /// Adapters it loaded.
    pub lora_loads: u64,
}

/// What came of an experiment.
///
/// Bit-identical for equal scenarios and workloads: the simulator reads no clock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The measured requests, in order of arrival.
    pub requests: Vec<RequestRecord>,
    /// Every pod, in the order of [`crate::Scenario::endpoints`].
    pub pods: Vec<PodRecord>,
    /// Prompt tokens looked up in the engines' prefix caches by measured requests.
    pub lookup_tokens: u64,
    /// Of these, tokens found, by the engines' own count.
    pub hit_tokens: u64,
    /// Requests that arrived over the whole run, and how they ended.
    pub arrived: u64,
    /// Of these, finished.
    pub finished: u64,
    /// Of these, refused by the policy.
    pub refused: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Decisions taken, retries not counted.
    pub picks: u64,
    /// Requests that a ledger still counts at the end; anything but 0 is a mistake of the simulator.
    pub left_in_ledgers: u64,
    /// Length of the measured window in seconds.
    pub window_seconds: f64,
    /// Requests that finished inside the measured window, whenever they arrived, per second.
    pub throughput: f64,
    /// Virtual seconds from the start to the last event.
    pub simulated_seconds: f64,
}

impl Outcome {
    /// The measured requests that finished.
    pub fn finished_requests(&self) -> impl Iterator<Item = &RequestRecord> {
        self.requests
            .iter()
            .filter(|request| request.status == Status::Finished)
    }

    /// The value below which the share `quantile` (0 to 1) of the finished measured requests lies
    /// (nearest rank); `NaN` when there is none.
    #[must_use]
    pub fn quantile(&self, quantile: f64, value: impl Fn(&RequestRecord) -> f64) -> f64 {
        let mut values: Vec<f64> = self.finished_requests().map(value).collect();
        if values.is_empty() {
            return f64::NAN;
        }
        let rank = (quantile.clamp(0.0, 1.0) * values.len() as f64).ceil() as usize;
        let at = rank.clamp(1, values.len()) - 1;
        *values.select_nth_unstable_by(at, f64::total_cmp).1
    }

    /// The mean over the finished measured requests; `NaN` when there is none.
    #[must_use]
    pub fn mean(&self, value: impl Fn(&RequestRecord) -> f64) -> f64 {
        let (count, sum) = self
            .finished_requests()
            .fold((0u64, 0.0), |(count, sum), request| {
                (count + 1, sum + value(request))
            });
        sum / count as f64
    }

    /// 90th percentile of the time to the first token, in seconds.
    #[must_use]
    pub fn ttft_p90(&self) -> f64 {
        self.quantile(0.9, |request| request.ttft)
    }

    /// 90th percentile of the normalized time per output token, in seconds.
    #[must_use]
    pub fn ntpot_p90(&self) -> f64 {
        self.quantile(0.9, RequestRecord::ntpot)
    }

    /// 90th percentile of the latency, in seconds.
    #[must_use]
    pub fn e2e_p90(&self) -> f64 {
        self.quantile(0.9, |request| request.e2e)
    }

    /// The share of the measured requests that finished within the SLO, 0 to 1.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        let good = self.requests.iter().filter(|request| request.is_good());
        good.count() as f64 / self.requests.len() as f64
    }

    /// The share of the measured prompt tokens that the engines found in their prefix caches, 0 to
    /// 1.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        self.hit_tokens as f64 / self.lookup_tokens as f64
    }

    /// How much faster than real time the run was, given how long the caller waited for it.
    #[must_use]
    pub fn simulated_seconds_per_second(&self, waited: Duration) -> f64 {
        self.simulated_seconds / waited.as_secs_f64()
    }
}
