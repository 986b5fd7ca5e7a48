//! The parameters of the cost model ([`crate::policy::PolicyName::Cost`]), each with unit, range and reason.

use super::section::Section;
use crate::step_model::StepModel;

/// The cost model's parameters. The shape of the model matters, its constants hardly: in the
/// scheduling study a factor of 2 on any of the engine's changed p90 TTFT by 3 % at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostConfig {
    /// How many seconds of decoding one second of TTFT is worth, `0.0..=1000.0`. With 1 instead of
    /// 10 the study's p90 TTFT was 5 % worse, with 30 1 % better.
    pub ttft_weight: f32,
    /// How much the prefill of a request counts as delay to each request that is there,
    /// `0.0..=100.0`. Towards 1 trades time per output token for mean latency, 0 helps pools that are
    /// bound by decoding.
    pub delay_weight: f32,
    /// Costs within this share of the least are drawn from, `0.0..=1.0`. 0.1 is better where many
    /// gateways do not see each other's load.
    pub near_tie: f32,
    /// The same where the agent tells of other gateways, `0.0..=1.0`: each hears of the others' picks
    /// only with the next publication, and had better part ways with them meanwhile.
    pub several_gateways_near_tie: f32,
    /// What a step costs where it has not been learned yet: microseconds a step (`1..=1e6`), a token
    /// computed (`0..=1e4`) and a KV token attended to (`0..=100`).
    pub step: StepModel,
    /// Tokens an engine computes in one step, `256.0..=1e6` (vLLM's `max_num_batched_tokens`).
    pub token_budget: f32,
    /// Requests an engine runs at once, `1.0..=1e5` (vLLM's `max_num_seqs`).
    pub max_num_seqs: f32,
    /// KV tokens of an engine that does not tell, `1024.0..=1e9`.
    pub kv_tokens: f32,
    /// The share of the KV cache beyond which requests wait for memory, `0.1..=1.0`.
    pub kv_limit: f32,
    /// How much a wait for memory or for a slot counts beyond its place in the TTFT, `0.0..=1e4`:
    /// such waits last as long as answers do, and what waits is preempted or recomputed.
    pub pressure_weight: f32,
    /// The most that a wait for memory or for a slot adds in this way, in seconds, `0.0..=1000.0`.
    pub pressure_cap_s: f32,
    /// Prompt tokens of a request whose prompt could not be read, until it was learned, `1.0..=1e7`.
    pub mean_prompt_tokens: f32,
    /// Generated tokens of a request until it was learned, `1.0..=1e5`.
    pub mean_output_tokens: f32,
    /// Prompt bytes of a token until it was learned, `1.0..=16.0`.
    pub bytes_per_token: f32,
    /// Tokens that are computed however much of the prompt is cached, `1.0..=1e4`: engines match whole
    /// blocks and always compute the last token.
    pub least_uncached_tokens: f32,
    /// Seconds to load an adapter, `0.0..=60.0`. They delay this request and all that run there, so
    /// they count once for each.
    pub lora_load_s: f32,
    /// Seconds that a request waits on average for an adapter's slot, `0.0..=600.0`.
    pub lora_wait_s: f32,
    /// What a full set of adapters costs on top, in seconds, `0.0..=1000.0`: an adapter that is
    /// evicted is loaded again for the next request.
    pub lora_full_s: f32,
    /// The share of a cold prompt that the rendezvous favourite is taken to hold, `0.0..=1.0`. Enough
    /// to bring a new prefix to one endpoint, too little to hold it on a busy one.
    pub rendezvous_discount: f32,
    /// What the favourite of a chat is taken to hold of the turns that came through other gateways, as
    /// a share, `0.0..=1.0`. The chat was taken to its favourite at its second turn by the latest,
    /// unless that was busy.
    pub chat_share: f32,
    /// What a session's favourite is taken to hold of a prompt that says nothing, in tokens,
    /// `0.0..=1e6`: a few turns of a chat.
    pub session_tokens: f32,
    /// Engines whose learned steps differ by less than this factor count as equal, `1.0..=8.0`: what
    /// counters say of an engine errs by as much, and not by chance.
    pub same_engine_factor: f32,
    /// The exponent of an endpoint's price in its cost, `0.0..=10.0`; 0 ignores prices.
    pub price_weight: f32,
}

impl Default for CostConfig {
    fn default() -> Self {
        Self {
            ttft_weight: 10.0,
            delay_weight: 0.15,
            near_tie: 0.02,
            several_gateways_near_tie: 0.05,
            step: StepModel::default(),
            token_budget: 2_048.0,
            max_num_seqs: 256.0,
            kv_tokens: 112_000.0,
            kv_limit: 0.95,
            pressure_weight: 100.0,
            pressure_cap_s: 20.0,
            mean_prompt_tokens: 250.0,
            mean_output_tokens: 225.0,
            bytes_per_token: 4.0,
            least_uncached_tokens: 16.0,
            lora_load_s: 0.1,
            lora_wait_s: 5.0,
            lora_full_s: 20.0,
            rendezvous_discount: 0.5,
            chat_share: 0.9,
            session_tokens: 500.0,
            same_engine_factor: 1.3,
            price_weight: 0.0,
        }
    }
}

/// The section `cost`, with every mistake in it.
pub(super) fn check(mut section: Section, mistakes: &mut Vec<String>) -> CostConfig {
    let mut config = CostConfig::default();
    let step = &mut config.step;
    let fields: [(&'static str, &mut f32, f64, f64); 25] = [
        ("ttft_weight", &mut config.ttft_weight, 0.0, 1_000.0),
        ("delay_weight", &mut config.delay_weight, 0.0, 100.0),
        ("near_tie", &mut config.near_tie, 0.0, 1.0),
        (
            "several_gateways_near_tie",
            &mut config.several_gateways_near_tie,
            0.0,
            1.0,
        ),
        ("step_base_us", &mut step.base_us, 1.0, 1e6),
        ("step_token_us", &mut step.token_us, 0.0, 1e4),
        ("step_kv_token_us", &mut step.kv_token_us, 0.0, 100.0),
        ("token_budget", &mut config.token_budget, 256.0, 1e6),
        ("max_num_seqs", &mut config.max_num_seqs, 1.0, 1e5),
        ("kv_tokens", &mut config.kv_tokens, 1_024.0, 1e9),
        ("kv_limit", &mut config.kv_limit, 0.1, 1.0),
        ("pressure_weight", &mut config.pressure_weight, 0.0, 1e4),
        ("pressure_cap_s", &mut config.pressure_cap_s, 0.0, 1_000.0),
        (
            "mean_prompt_tokens",
            &mut config.mean_prompt_tokens,
            1.0,
            1e7,
        ),
        (
            "mean_output_tokens",
            &mut config.mean_output_tokens,
            1.0,
            1e5,
        ),
        ("bytes_per_token", &mut config.bytes_per_token, 1.0, 16.0),
        (
            "least_uncached_tokens",
            &mut config.least_uncached_tokens,
            1.0,
            1e4,
        ),
        ("lora_load_s", &mut config.lora_load_s, 0.0, 60.0),
        ("lora_wait_s", &mut config.lora_wait_s, 0.0, 600.0),
        ("lora_full_s", &mut config.lora_full_s, 0.0, 1_000.0),
        (
            "rendezvous_discount",
            &mut config.rendezvous_discount,
            0.0,
            1.0,
        ),
        ("chat_share", &mut config.chat_share, 0.0, 1.0),
        ("session_tokens", &mut config.session_tokens, 0.0, 1e6),
        (
            "same_engine_factor",
            &mut config.same_engine_factor,
            1.0,
            8.0,
        ),
        ("price_weight", &mut config.price_weight, 0.0, 10.0),
    ];
    for (name, field, low, high) in fields {
        if let Some(given) = section.number(name, low..=high) {
            *field = given as f32;
        }
    }
    section.finish(mistakes);
    config
}
