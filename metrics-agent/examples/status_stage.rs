//! A stage for the tests of the status page: the agent's own hub and admin server, and actors instead of
//! pods and gateways.
//!
//! ```text
//!   status_stage PODS [hostile]     prints the address, serves until it is killed
//! ```
//!
//! `hostile` gives every name that a stranger can choose markup in it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use metrics_agent::{
    admin::{self, Admin},
    clock::Clock,
    config::{Adapter, PoolAdapters},
    discovery::ConfigState,
    hub::Hub,
    index::{
        Attempt, Index, Member, Membership, Observation, PoolMembers, Tallies, TargetId, generation,
    },
    shutdown,
    status::Memory,
    telemetry::Telemetry,
};
use picker::{EndpointId, Entropy, Health, InFlight, Millis, Signal, Signals, SplitMix64};
use pool_state::{
    convert::{Report, Sheds},
    policy::{ModelRule, Policy, PolicyParts, Target},
};
use tokio::net::TcpListener;

const POOL: &str = "chat";
const MARKUP: &str = "<img/src=x/onerror=document.title='owned'>";

type Failure = Box<dyn std::error::Error>;

struct Stage {
    hub: Arc<Hub>,
    pods: u64,
    suffix: &'static str,
    entropy: SplitMix64,
    loads: Vec<f32>,
}

impl Stage {
    fn name(&self, pod: u64) -> String {
        format!("llama-70b-{pod:03}{}", self.suffix)
    }

    fn members(&self) -> PoolMembers {
        let member = |pod: u64| Member {
            target: TargetId(pod),
            address: address(pod),
            name: Some(full_name(&self.name(pod)).into()),
            weight: 1.0,
            price: 1.0,
            labels: Arc::default(),
        };
        PoolMembers {
            name: Arc::from(format!("{POOL}{}", self.suffix)),
            members: (0..self.pods).map(member).collect(),
            unresolved: 0,
        }
    }

    fn set_up(&self) -> Result<(), Failure> {
        let pool = self.members();
        let name = pool.name.to_string();
        self.hub.set_membership(&Membership { pools: vec![pool] });
        let rule = |model: &str, targets: &[(&str, u32)]| ModelRule {
            model: Some(format!("{model}{}", self.suffix)),
            source: "InferenceModelRewrite/canary".to_owned(),
            priority: Some(1),
            targets: targets
                .iter()
                .map(|(target, weight)| {
                    Target::new(&format!("{target}{}", self.suffix), Some(*weight))
                })
                .collect(),
        };
        let policy = Policy::new(PolicyParts {
            pool: name.clone(),
            rules: vec![
                rule("chat", &[("llama-70b", 90), ("llama-70b-next", 10)]),
                rule("sql", &[("sql-v1", 1)]),
            ],
            objectives: [("batch".to_owned(), -1), ("interactive".to_owned(), 2)].into(),
            models: [("llama-70b".to_owned(), None)].into(),
            fail_open: true,
        })?;
        self.hub.set_policies([policy].iter());
        self.hub.adapters.declare(&[PoolAdapters {
            pool: Arc::from(name.as_str()),
            present: vec![Adapter {
                name: Arc::from(format!("sql-v2{}", self.suffix)),
                source: Arc::from("adapters/sql-v2"),
            }],
            absent: vec![Arc::from("sql-v1")],
            ready_share: 1.0,
        }]);
        for pod in 0..self.pods {
            let mut models = vec![(Arc::from("llama-70b"), None)];
            if pod % 4 != 3 {
                models.push((Arc::from(format!("sql-v2{}", self.suffix)), None));
            }
            self.hub.set_models(TargetId(pod), &models);
        }
        let pool: Arc<str> = Arc::from(format!("{POOL}{}", self.suffix));
        for (stream, gateway) in [(1, "istio-ingress-5d9c"), (2, "istio-ingress-9x2f")] {
            let gateway = Arc::from(format!("{gateway}{}", self.suffix));
            self.hub
                .gateway_came(&gateway, stream, vec![Arc::clone(&pool)]);
        }
        Ok(())
    }

    /// One round of scrapes and reports at a moment.
    fn act(&mut self, round: u64, now: Millis) {
        let mut loads = Vec::new();
        for pod in 0..self.pods {
            let drift = self.entropy.unit() as f32 - 0.5;
            let Some(load) = self.loads.get_mut(pod as usize) else {
                continue;
            };
            *load = (*load + 0.12 * drift + 0.004 * (0.6 - *load)).clamp(0.02, 1.6);
            let (load, failed) = (*load, pod % 97 == 4);
            let at = if failed { now.minus(4_200) } else { now };
            let running = (load * 48.0).round();
            let count = (round * (pod % 7 + 4)) as f64;
            self.hub.observe(
                TargetId(pod),
                Observation {
                    at: now,
                    attempt: if failed {
                        Attempt::Failed
                    } else {
                        Attempt::Scraped
                    },
                    signals: Signals {
                        waiting: Some(Signal::new(((load - 0.7).max(0.0) * 9.0).round(), at)),
                        running: Some(Signal::new(running, at)),
                        kv_usage: Some(Signal::new((load * 0.7).min(1.0), at)),
                        ..Signals::default()
                    },
                    health: if failed {
                        Health::Suspect
                    } else {
                        Health::Ready
                    },
                    reason: if failed {
                        format!("2 failures in a row: connection refused{}", self.suffix).into()
                    } else {
                        "scraped".into()
                    },
                    life: 1,
                    tallies: Tallies {
                        finished: Some(count),
                        prompt_tokens: Some(count * 1_000.0),
                        cached_tokens: Some(count * (100.0 + 11.0 * (pod % 60) as f64)),
                    },
                },
            );
            let id = EndpointId {
                address: address(pod),
                generation: generation(address(pod), Some(&full_name(&self.name(pod))), 1),
            };
            let requests = (running / 2.0) as u32;
            let load = InFlight {
                requests,
                tokens: u64::from(requests) * 900,
                ..InFlight::default()
            };
            loads.push((id, load));
        }
        for (stream, gateway) in [(1, "istio-ingress-5d9c"), (2, "istio-ingress-9x2f")] {
            let gateway: Arc<str> = Arc::from(format!("{gateway}{}", self.suffix));
            let report = Report {
                pool: format!("{POOL}{}", self.suffix),
                loads: loads.clone(),
            };
            // One of them refuses a request every ten seconds, the other every five.
            let sheds = Sheds {
                pool: report.pool.clone(),
                total: round * stream / 10,
            };
            self.hub.sheds(&gateway, stream, &sheds);
            self.hub.report(&gateway, stream, report);
        }
    }
}

/// As discovery in Kubernetes names a pod.
fn full_name(name: &str) -> String {
    format!("{name}/3f2b1c4e-9a6d-4c57-8b1e-0d2f5a7c9e31")
}

fn address(pod: u64) -> std::net::SocketAddr {
    ([10, 1, (pod / 250) as u8, (pod % 250) as u8], 8000).into()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let pods: u64 = arguments.next().unwrap_or_default().parse()?;
    let hostile = arguments.any(|argument| argument == "hostile");
    let clock = Clock::start();
    let hub = Hub::new(clock, Index::new(1, 1, 0), Arc::new(Telemetry::new()));
    let suffix = if hostile { MARKUP } else { "" };
    let hub = Arc::new(hub.named(format!("zerohop-agent-0{suffix}")));
    let mut entropy = SplitMix64::new(7);
    let mut stage = Stage {
        hub: Arc::clone(&hub),
        pods,
        suffix,
        loads: (0..pods)
            .map(|_| 0.2 + 0.7 * entropy.unit() as f32)
            .collect(),
        entropy,
    };
    stage.set_up()?;
    // Ten minutes that were.
    let mut memory = Memory::default();
    for second in (1..600).rev() {
        let at = hub.clock.now().minus(second * 1_000);
        stage.act(600 - second, at);
        memory.observe(&hub.index().view(at), at);
    }
    let publisher = Arc::clone(&hub);
    tokio::spawn(async move { publisher.publish_changes().await });
    let (_trigger, shutdown) = shutdown::channel();
    let config = Arc::new(ArcSwap::from_pointee(ConfigState::default()));
    let admin = Arc::new(Admin::new(hub, config, shutdown.clone()));
    admin.watcher().remember(memory);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    tokio::spawn(admin::serve(listener, admin, shutdown));
    let mut second = 600;
    loop {
        stage.act(second, clock.now());
        second += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
