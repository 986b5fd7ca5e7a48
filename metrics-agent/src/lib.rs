//! Discovers endpoints, scrapes their metrics and pushes pool state to gateways.
//!
//! ```text
//!   discovery (file, DNS) --> scheduler --> scrape (HTTP, dialects)
//!          |  members            | outcomes
//!          v                     v
//!        Hub: index (pure) --publications--> publish (gRPC) --> gateways
//!                |    |                         ^ loads            |
//!                |    |                         +------------------+
//!                |    +--> eds (gRPC) --> Envoy's clusters
//!                +--> admin (HTTP)
//! ```

pub mod adapters;
pub mod admin;
pub mod api_key;
pub mod args;
pub mod clock;
pub mod config;
pub mod discovery;
pub mod eds;
pub mod entropy;
pub mod explain;
pub mod fetch;
pub mod hub;
pub mod index;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod page;
pub mod publish;
pub mod resources;
pub mod run;
pub mod scheduler;
pub mod scrape;
pub mod shadow;
pub mod shutdown;
pub mod status;
pub mod telemetry;
pub mod top;
