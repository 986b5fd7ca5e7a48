//! The histograms, with the bounds of the reference (llm-d router), in microseconds, bytes and tokens.

use super::histogram::Kind;

const SECONDS: u32 = 1_000_000;

/// 5 ms to an hour.
const DURATION: [u32; 35] = [
    5_000,
    25_000,
    50_000,
    100_000,
    200_000,
    400_000,
    600_000,
    800_000,
    1_000_000,
    1_250_000,
    1_500_000,
    2_000_000,
    3_000_000,
    4_000_000,
    5_000_000,
    6_000_000,
    8_000_000,
    10_000_000,
    15_000_000,
    20_000_000,
    30_000_000,
    45_000_000,
    60_000_000,
    120_000_000,
    180_000_000,
    240_000_000,
    300_000_000,
    360_000_000,
    480_000_000,
    600_000_000,
    900_000_000,
    1_200_000_000,
    1_800_000_000,
    2_700_000_000,
    3_600_000_000,
];
const TTFT: &[u32] = DURATION.split_at(24).0;
const SIZES: [u32; 25] = [
    64,
    128,
    256,
    512,
    1_024,
    2_048,
    4_096,
    8_192,
    16_384,
    32_768,
    65_536,
    131_072,
    262_144,
    524_288,
    1_048_576,
    2_097_152,
    4_194_304,
    8_388_608,
    16_777_216,
    33_554_432,
    67_108_864,
    134_217_728,
    268_435_456,
    536_870_912,
    1_073_741_824,
];
const TOKENS: [u32; 19] = [
    1, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072,
    262_144, 524_288, 1_048_576,
];
const PER_TOKEN: [u32; 13] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000,
];
const NORMALIZED: [u32; 13] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000, 10_000_000,
];

const fn kind(family: &'static str, scale: u32, bounds: &'static [u32]) -> Kind {
    Kind {
        family,
        labels: "",
        scale,
        bounds,
    }
}

/// What is measured of each request, as an index into [`REQUEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Duration,
    RequestSize,
    ResponseSize,
    InputTokens,
    OutputTokens,
    CachedTokens,
    FirstToken,
    Normalized,
    PerToken,
    BetweenTokens,
}

/// One histogram of each for every model.
pub(super) const REQUEST: [Kind; 10] = [
    kind("llm_d_epp_request_duration_seconds", SECONDS, &DURATION),
    kind("llm_d_epp_request_size_bytes", 1, &SIZES),
    kind("llm_d_epp_response_size_bytes", 1, TOKENS.split_at(15).0),
    kind("llm_d_epp_request_input_tokens", 1, &TOKENS),
    kind("llm_d_epp_request_output_tokens", 1, TOKENS.split_at(12).0),
    kind("llm_d_epp_request_cached_tokens", 1, &TOKENS),
    Kind {
        family: "llm_d_epp_request_ttft_seconds",
        labels: "streaming=.=true;.;",
        scale: SECONDS,
        bounds: TTFT,
    },
    kind("llm_d_epp_request_ntpot_seconds", SECONDS, &NORMALIZED),
    kind(
        "llm_d_epp_request_streaming_tpot_seconds",
        SECONDS,
        &PER_TOKEN,
    ),
    kind(
        "llm_d_epp_request_streaming_itl_seconds",
        SECONDS,
        PER_TOKEN.split_at(1).1,
    ),
];

/// How long decisions take; the bounds below 100 us are ours.
pub(super) const DECISION: Kind = kind(
    "llm_d_epp_scheduler_e2e_duration_seconds",
    SECONDS,
    &[
        5, 10, 25, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    ],
);

/// How long the filter was at work for a request, from its headers to its decision.
pub(super) const FILTER: Kind = kind("zerohop_filter_seconds", SECONDS, DECISION.bounds);

/// How old the oldest signal of load of the chosen endpoint was.
pub(super) const SIGNAL_AGE: Kind = kind(
    "zerohop_signal_age_seconds",
    SECONDS,
    &[
        20_000, 50_000, 100_000, 200_000, 300_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    ],
);

/// The one plugin that scores here: the whole decision.
pub(super) const PLUGIN: Kind = Kind {
    family: "llm_d_epp_plugin_duration_seconds",
    labels: "extension_point=.=Scorer;.;plugin_name=.=zerohop;.;plugin_type=.=zerohop;.;",
    ..DECISION
};

/// Under which name the reference's prefix index shows itself.
pub(super) const PREFIX_PLUGIN: &str =
    "plugin_name=.=approx-prefix-cache-producer;.;plugin_type=.=approx-prefix-cache-producer;.;";

/// How much of a prompt the index held for the chosen endpoint, in thousandths.
pub(super) const HIT_RATIO: Kind = Kind {
    family: "llm_d_epp_prefix_indexer_hit_ratio",
    labels: PREFIX_PLUGIN,
    scale: 1_000,
    bounds: &[0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000],
};

/// How many bytes of it that were.
pub(super) const HIT_BYTES: Kind = Kind {
    family: "llm_d_epp_prefix_indexer_hit_bytes",
    labels: PREFIX_PLUGIN,
    scale: 1,
    bounds: &[
        0, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536,
    ],
};
