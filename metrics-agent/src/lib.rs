//! Discovers endpoints, scrapes their metrics and pushes pool state to gateways.

pub mod scrape;
