//! The histograms, with the bounds of the reference (llm-d router), in microseconds, bytes and tokens.

use super::histogram::Kind;

const SECONDS: u32 = 1_000_000;
const MILLI: u32 = 1_000;

const DURATION: [u32; 35] = {
    const MILLIS: [u32; 35] = [
        5, 25, 50, 100, 200, 400, 600, 800, 1_000, 1_250, 1_500, 2_000, 3_000, 4_000, 5_000, 6_000,
        8_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 120_000, 180_000, 240_000, 300_000,
        360_000, 480_000, 600_000, 900_000, 1_200_000, 1_800_000, 2_700_000, 3_600_000,
    ];
    micros(MILLIS)
};

const fn micros<const N: usize>(mut millis: [u32; N]) -> [u32; N] {
    let mut index = 0;
    while index < N {
        millis[index] *= MILLI;
        index += 1;
    }
    millis
}

/// Powers of two from `first` on.
const fn doubling<const N: usize>(first: u32) -> [u32; N] {
    let mut bounds = [first; N];
    let mut index = 1;
    while index < N {
        bounds[index] = bounds[index - 1] * 2;
        index += 1;
    }
    bounds
}

const SIZES: [u32; 25] = doubling(64);
const TTFT: &[u32] = DURATION.split_at(24).0;
/// 1, then powers of two from 8 on.
const TOKENS: [u32; 19] = {
    let mut bounds = [1; 19];
    let powers: [u32; 18] = doubling(8);
    let mut index = 0;
    while index < powers.len() {
        bounds[index + 1] = powers[index];
        index += 1;
    }
    bounds
};
const PER_TOKEN: [u32; 13] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000,
];
const NORMALIZED: [u32; 13] = micros([
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000,
]);

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

/// How old the oldest signal of load of the chosen endpoint was.
pub(super) const SIGNAL_AGE: Kind = kind(
    "zerohop_signal_age_seconds",
    SECONDS,
    &micros([20, 50, 100, 200, 300, 500, 1_000, 2_000, 5_000]),
);
