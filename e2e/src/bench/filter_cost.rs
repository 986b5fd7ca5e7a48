//! CPU that the filter adds to a request, beside what `ext_proc` adds to the same request.
//!
//! Three Envoys differ in nothing but the filter. Rounds alternate between them, so that whatever
//! else the machine does hits all three; each round's CPU comes from the scheduler's own account of
//! the Envoy process; the figure is the median of the differences between neighbouring rounds.

use std::net::SocketAddr;

use serde_json::json;

use super::{
    body,
    ext_proc::ExtProcPicker,
    figures::Figure,
    upstream::{EVENTS, Upstream},
    wire,
};
use crate::rig::{
    Envoy, EnvoyConfig, FakeAgent, RigError, artifacts, base_config, config::at, eventually, proc,
};

const UPSTREAMS: usize = 4;
const CONNECTIONS: usize = 16;
const VARIANTS: usize = 64;
/// Streams of events at once.
const STREAMS: usize = 32;

/// One size of request and what was measured with it.
struct Case {
    id: &'static str,
    body_bytes: usize,
    requests: usize,
    goal: f64,
}

const CASES: [Case; 3] = [
    Case {
        id: "1k",
        body_bytes: 1_000,
        requests: 2_400,
        goal: 30.0,
    },
    Case {
        id: "20k",
        body_bytes: 20_000,
        requests: 1_600,
        goal: 60.0,
    },
    Case {
        id: "400k",
        body_bytes: 400_000,
        requests: 240,
        goal: 400.0,
    },
];

/// The three Envoys and everything that they talk to.
struct Bench {
    plain: Envoy,
    filter: Envoy,
    ext_proc: Envoy,
    _agent: FakeAgent,
    _picker: ExtProcPicker,
    _upstreams: Vec<Upstream>,
}

/// Microseconds of Envoy's CPU per unit of work in one round of each.
#[derive(Clone, Copy)]
struct Round {
    plain: f64,
    filter: f64,
    ext_proc: f64,
}

/// Runs the whole bench with `rounds` rounds per case.
///
/// # Errors
/// When something does not start or a request fails.
pub async fn run(rounds: usize) -> Result<Vec<Figure>, RigError> {
    let bench = Bench::start().await?;
    let mut figures = Vec::new();
    println!(
        "CPU of the Envoy process per request, medians of {rounds} rounds, us\n\n\
         {:<12} {:>8} {:>10} {:>10} {:>9} {:>9} {:>7}",
        "", "plain", "filter", "ext_proc", "+filter", "+ext_proc", "ratio"
    );
    let mut compared = Vec::new();
    for case in CASES {
        let bodies = (0..VARIANTS).map(|variant| body::chat(case.body_bytes, variant));
        let requests = wire::requests(bodies);
        let measure = async |envoy: &Envoy| {
            let before = proc::cpu_nanos(envoy.process().id())?;
            wire::closed_loop(envoy.address(), CONNECTIONS, case.requests, &requests).await?;
            let nanos = proc::cpu_nanos(envoy.process().id())?.saturating_sub(before);
            Ok(nanos as f64 / 1_000.0 / case.requests as f64)
        };
        let results = bench.rounds(rounds, measure).await?;
        let (filter, ext_proc) = print_line(case.id, &results);
        let id = format!("filter.added_cpu_us.{}", case.id);
        figures.push(Figure::new(id, filter, "us", Some(case.goal)));
        let id = format!("filter.extproc_added_cpu_us.{}", case.id);
        compared.push(Figure::new(id, ext_proc, "us", None));
    }
    figures.push(Figure::new(
        "filter.added_cpu_us.sse_chunk",
        bench.events(rounds).await?,
        "us",
        Some(2.0),
    ));
    figures.extend(compared);
    let wasm = artifacts::filter_wasm()?;
    let bytes = wasm
        .metadata()
        .map_err(RigError::io("look at the filter"))?
        .len();
    let kilobytes = bytes as f64 / 1_024.0;
    figures.push(Figure::new("filter.wasm_kb", kilobytes, "KB", Some(400.0)));
    Ok(figures)
}

impl Bench {
    async fn start() -> Result<Self, RigError> {
        let mut upstreams = Vec::new();
        for _ in 0..UPSTREAMS {
            upstreams.push(Upstream::start().await?);
        }
        let members: Vec<SocketAddr> = upstreams.iter().map(Upstream::address).collect();
        let agent = FakeAgent::start(1).await?;
        let idle: Vec<(SocketAddr, f32)> = members.iter().map(|member| (*member, 0.0)).collect();
        agent.see(&idle);
        let picker = ExtProcPicker::start(members.clone()).await?;
        let with_filter = quiet(base_config(&members, agent.address())?)?;
        let mut plain = with_filter.clone();
        plain.balance_by_fallback()?;
        let mut with_ext_proc = with_filter.clone();
        with_ext_proc.agent(picker.address())?;
        with_ext_proc.set(at::FILTER, ExtProcPicker::filter("zerohop-agent"))?;
        let bench = Self {
            plain: Envoy::start(plain, 1).await?,
            filter: Envoy::start(with_filter, 1).await?,
            ext_proc: Envoy::start(with_ext_proc, 1).await?,
            _agent: agent,
            _picker: picker,
            _upstreams: upstreams,
        };
        bench.warm_up().await?;
        Ok(bench)
    }

    /// Until the filter picks by signals and all connections have been made once.
    async fn warm_up(&self) -> Result<(), RigError> {
        let requests = wire::requests((0..8).map(|variant| body::chat(1_000, variant)));
        for envoy in [&self.plain, &self.filter, &self.ext_proc] {
            wire::closed_loop(envoy.address(), CONNECTIONS, 320, &requests).await?;
        }
        let limit = std::time::Duration::from_secs(5);
        let (address, admin) = (self.filter.address(), self.filter.admin());
        eventually("the filter picks by signals", limit, || async {
            wire::closed_loop(address, 4, 16, &requests).await.ok();
            admin.picked_by_signals().await
        })
        .await
        .map(|_| ())
    }

    async fn rounds(
        &self,
        count: usize,
        measure: impl AsyncFn(&Envoy) -> Result<f64, RigError>,
    ) -> Result<Vec<Round>, RigError> {
        let mut rounds = Vec::with_capacity(count);
        for number in 0..=count {
            let round = Round {
                plain: measure(&self.plain).await?,
                filter: measure(&self.filter).await?,
                ext_proc: measure(&self.ext_proc).await?,
            };
            // The first one only warms up.
            if number > 0 {
                rounds.push(round);
            }
        }
        Ok(rounds)
    }

    /// What the filter adds to one event of a streamed answer.
    async fn events(&self, rounds: usize) -> Result<f64, RigError> {
        let request = b"POST /events HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
            content-length: 30\r\n\r\n{\"model\":\"tiny\",\"stream\":true}";
        let requests = std::sync::Arc::new(vec![request.to_vec(); STREAMS]);
        let measure = async |envoy: &Envoy| {
            let before = proc::cpu_nanos(envoy.process().id())?;
            wire::closed_loop(envoy.address(), STREAMS, STREAMS, &requests).await?;
            let nanos = proc::cpu_nanos(envoy.process().id())?.saturating_sub(before);
            Ok(nanos as f64 / 1_000.0 / (STREAMS * EVENTS) as f64)
        };
        let results = self.rounds(rounds, measure).await?;
        Ok(print_line("SSE chunk", &results).0)
    }
}

/// Nothing that has no part in the comparison.
pub(super) fn quiet(mut config: EnvoyConfig) -> Result<EnvoyConfig, RigError> {
    config.set(&format!("{}/access_log", at::MANAGER), json!([]))?;
    let place = format!("{}/response_headers_to_add", at::VIRTUAL_HOST);
    config.set(&place, json!([]))?;
    Ok(config)
}

/// Prints one line of the table; what the filter and ext_proc add.
fn print_line(name: &str, rounds: &[Round]) -> (f64, f64) {
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let (plain, filter, ext_proc) = (of(|r| r.plain), of(|r| r.filter), of(|r| r.ext_proc));
    let added = of(|r| r.filter - r.plain);
    let ext_proc_added = of(|r| r.ext_proc - r.plain);
    println!(
        "{name:<12} {plain:>8.1} {filter:>10.1} {ext_proc:>10.1} {added:>+9.1} {ext_proc_added:>+9.1} {:>6.1}x",
        ext_proc_added / added.max(0.01)
    );
    (added, ext_proc_added)
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
