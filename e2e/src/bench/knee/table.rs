//! The sweep as a table, for people.

use super::{
    Balancer,
    summary::{Step, Sweep},
};

pub(super) fn head() {
    println!(
        "\np90 time per output token in ms, p90 latency in s, throughput in output tokens/s\n"
    );
    print!("{:<5}", "load");
    for balancer in Balancer::ALL {
        print!("| {:^24} ", balancer.name());
    }
    println!("| cores: client+pods, Envoys+agents; client late (p99)");
}

pub(super) fn step(load: f64, step: &Step) {
    print!("{load:<5}");
    let mut late: f64 = 0.0;
    let mut refused = String::new();
    for balancer in Balancer::ALL {
        match step.summary(balancer) {
            Some(summary) => {
                late = late.max(summary.late_p99_ms);
                if summary.refused > 0.0 {
                    let share = 100.0 * summary.refused;
                    refused = format!("; {} refused {share:.1} %", balancer.name());
                }
                print!(
                    "| {:>7.1} {:>7.2} {:>8.0} ",
                    summary.ntpot_p90_ms, summary.latency_p90_s, summary.tokens_per_second
                );
            }
            None => print!("| {:^24} ", "-"),
        }
    }
    println!(
        "| {:.2}, {:.2}; {late:.1} ms{refused}",
        step.cores.client_and_pods, step.cores.envoys_and_agents
    );
}

pub(super) fn verdict(sweep: &Sweep) {
    match sweep.knee() {
        Some(knee) => println!(
            "\nRound robin's knee is at {} of capacity. There the cost model has {:.2} x its p90 time \
             per output token\nand {:.3} x its throughput.",
            knee.load, knee.ntpot_ratio, knee.throughput_ratio
        ),
        None => println!("\nRound robin's knee was not reached."),
    }
}
