//! The benchmark: which experiments, what is measured, and whether the goals are met.
//!
//! ```text
//!   Options --> sections: matrix, robustness, capacity, sizes, seed
//!                  | plan()                        ^ read
//!                  v                               |
//!              Experiments --runner, threads--> Results --> Figures --> routing.json
//!                                                  |            '-----> verdict
//!                                                  '--> tables, plots --> docs/benchmarks
//! ```
//!
//! Every section first says which experiments it needs, so that all of them run together on all
//! cores and none runs twice; then it reads the results. All figures of other systems' policies are
//! simulated.

pub mod admission;
pub mod bench;
pub mod capacity;
pub mod cli;
pub mod experiment;
pub mod figure;
pub mod matrix;
pub mod measure;
pub mod page;
pub mod pictures;
pub mod plot;
pub mod policies;
pub mod replay;
pub mod robustness;
pub mod runner;
pub mod scores;
pub mod seed;
pub mod sizes;
pub mod slo;
pub mod speed;
pub mod table;

#[cfg(test)]
mod tests;
