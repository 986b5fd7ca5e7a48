//! What an engine counts over its life: totals and the histograms that vLLM publishes.

use super::request::Summary;

/// A histogram with fixed upper edges; the last bucket has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    edges: Vec<f64>,
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// An empty histogram with these upper edges, which must rise.
    pub fn new(edges: &[f64]) -> Self {
        Histogram {
            edges: edges.to_vec(),
            buckets: vec![0; edges.len()],
            count: 0,
            sum: 0.0,
        }
    }

    /// An empty histogram with edges 1, 2, 5, 10, ... up to `limit`, as vLLM makes for lengths.
    pub fn one_two_five(limit: u32) -> Self {
        let mut edges = Vec::new();
        let mut decade = 1.0;
        while decade <= f64::from(limit) {
            edges.extend(
                [1.0, 2.0, 5.0]
                    .map(|m| m * decade)
                    .into_iter()
                    .filter(|edge| *edge <= f64::from(limit)),
            );
            decade *= 10.0;
        }
        Histogram::new(&edges)
    }

    /// Counts one value.
    pub fn observe(&mut self, value: f64) {
        self.observe_many(value, 1);
    }

    /// Counts the same value `times` times.
    pub fn observe_many(&mut self, value: f64, times: u64) {
        if times == 0 {
            return;
        }
        let bucket = self.edges.iter().position(|edge| value <= *edge);
        if let Some(count) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *count += times;
        }
        self.count += times;
        self.sum += value * times as f64;
    }

    /// Upper edges with the number of values at or below each, without the last bucket.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.edges
            .iter()
            .zip(&self.buckets)
            .scan(0, |total, (edge, count)| {
                *total += count;
                Some((*edge, *total))
            })
    }

    /// Values counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the values counted.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

const FIRST_TOKEN_EDGES: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const TOKEN_TIME_EDGES: [f64; 19] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const REQUEST_TIME_EDGES: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
const STEP_TOKEN_EDGES: [f64; 13] = [
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
];
const PREEMPTION_EDGES: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0];

/// Totals since the engine's start. Edges and meanings are those of vLLM 0.32.
#[derive(Clone, Debug, PartialEq)]
pub struct Counters {
    /// Requests submitted, refused ones included.
    pub submitted: u64,
    /// Requests that got their last token.
    pub finished: u64,
    /// Requests aborted by the caller.
    pub aborted: u64,
    /// Requests refused at the door.
    pub rejected: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Steps run.
    pub steps: u64,
    /// Time spent in steps, in seconds.
    pub busy_seconds: f64,
    /// Adapter loads.
    pub lora_loads: u64,
    /// Prompt tokens of requests that got their first token.
    pub prompt_tokens: u64,
    /// Of these, tokens from the prefix cache.
    pub cached_prompt_tokens: u64,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Prompt tokens looked up in the prefix cache, at the first scheduling of a request.
    pub prefix_queries: u64,
    /// Of these, tokens found.
    pub prefix_hits: u64,
    /// Submission to first token, seconds.
    pub first_token: Histogram,
    /// Between two tokens of a request, seconds.
    pub inter_token: Histogram,
    /// Mean time per token after the first, one value a request, seconds.
    pub time_per_output_token: Histogram,
    /// Submission to last token, seconds.
    pub latency: Histogram,
    /// Submission to first scheduling, seconds.
    pub queue_time: Histogram,
    /// First scheduling to last token, seconds.
    pub inference_time: Histogram,
    /// First scheduling to first token, seconds.
    pub prefill_time: Histogram,
    /// First to last token, seconds.
    pub decode_time: Histogram,
    /// Prompt tokens of finished requests.
    pub request_prompt_tokens: Histogram,
    /// Generated tokens of finished requests.
    pub request_generation_tokens: Histogram,
    /// Prompt tokens of finished requests that were not cached.
    pub request_computed_tokens: Histogram,
    /// Preemptions of finished requests.
    pub request_preemptions: Histogram,
    /// Tokens computed in a step.
    pub step_tokens: Histogram,
}

impl Counters {
    pub(crate) fn new(max_model_len: u32) -> Self {
        let lengths = Histogram::one_two_five(max_model_len);
        let request_time = Histogram::new(&REQUEST_TIME_EDGES);
        Counters {
            submitted: 0,
            finished: 0,
            aborted: 0,
            rejected: 0,
            preemptions: 0,
            steps: 0,
            busy_seconds: 0.0,
            lora_loads: 0,
            prompt_tokens: 0,
            cached_prompt_tokens: 0,
            generation_tokens: 0,
            prefix_queries: 0,
            prefix_hits: 0,
            first_token: Histogram::new(&FIRST_TOKEN_EDGES),
            inter_token: Histogram::new(&TOKEN_TIME_EDGES),
            time_per_output_token: Histogram::new(&TOKEN_TIME_EDGES),
            latency: request_time.clone(),
            queue_time: request_time.clone(),
            inference_time: request_time.clone(),
            prefill_time: request_time.clone(),
            decode_time: request_time,
            request_prompt_tokens: lengths.clone(),
            request_generation_tokens: lengths.clone(),
            request_computed_tokens: lengths,
            request_preemptions: Histogram::new(&PREEMPTION_EDGES),
            step_tokens: Histogram::new(&STEP_TOKEN_EDGES),
        }
    }

    pub(crate) fn record_finished(&mut self, summary: &Summary) {
        let Summary {
            submitted_at,
            scheduled_at,
            first_token_at,
            finished_at,
            ..
        } = *summary;
        let decode_seconds = finished_at.seconds_since(first_token_at);
        self.finished += 1;
        self.latency
            .observe(finished_at.seconds_since(submitted_at));
        self.queue_time
            .observe(scheduled_at.seconds_since(submitted_at));
        self.inference_time
            .observe(finished_at.seconds_since(scheduled_at));
        self.prefill_time
            .observe(first_token_at.seconds_since(scheduled_at));
        self.decode_time.observe(decode_seconds);
        let later_tokens = summary.output_tokens.saturating_sub(1);
        let per_token = if later_tokens == 0 {
            0.0
        } else {
            decode_seconds / f64::from(later_tokens)
        };
        self.time_per_output_token.observe(per_token);
        self.request_prompt_tokens
            .observe(f64::from(summary.prompt_tokens));
        self.request_generation_tokens
            .observe(f64::from(summary.output_tokens));
        let computed = summary.prompt_tokens.saturating_sub(summary.cached_tokens);
        self.request_computed_tokens.observe(f64::from(computed));
        self.request_preemptions
            .observe(f64::from(summary.preemptions));
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn values_on_an_edge_belong_to_its_bucket_and_large_ones_only_to_the_count() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        histogram.observe(1.0);
        histogram.observe_many(1.5, 3);
        histogram.observe(9.0);
        assert_eq!(
            histogram.cumulative().collect::<Vec<_>>(),
            [(1.0, 1), (2.0, 4)]
        );
        assert_eq!((histogram.count(), histogram.sum()), (5, 14.5));
    }

    #[test]
    fn length_edges_stop_at_the_limit_like_vllm_with_1024() {
        let edges: Vec<f64> = Histogram::one_two_five(1024)
            .cumulative()
            .map(|(e, _)| e)
            .collect();
        let expected = [1., 2., 5., 10., 20., 50., 100., 200., 500., 1000.];
        assert_eq!(edges, expected);
    }
}
