//! Envoy's admin interface: readiness, counters and memory.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{error::RigError, raw};

const LIMIT: Duration = Duration::from_secs(5);

/// The reasons of decisions that rest on signals.
const BY_SIGNALS: [&str; 4] = ["least_cost", "best_score", "prefix_hit", "lora_affinity"];

/// The value of a label of one of our metrics: labels stand in the names of Envoy's stats.
#[must_use]
pub fn label_of<'a>(name: &'a str, label: &str) -> Option<&'a str> {
    name.split(";.;").find_map(|part| {
        let (key, value) = part.split_once("=.=")?;
        (key.rsplit('.').next() == Some(label)).then_some(value)
    })
}

/// Reads one Envoy's admin interface.
#[derive(Debug, Clone, Copy)]
pub struct Admin(pub SocketAddr);

impl Admin {
    /// The body of a page.
    ///
    /// # Errors
    /// When it is not answered with 200.
    pub async fn get(&self, path: &str) -> Result<String, RigError> {
        self.ask("GET", path).await
    }

    /// The body of a page that changes something.
    ///
    /// # Errors
    /// When it is not answered with 200.
    pub async fn post(&self, path: &str) -> Result<String, RigError> {
        self.ask("POST", path).await
    }

    /// Whether Envoy serves.
    pub async fn ready(&self) -> bool {
        self.get("/ready").await.is_ok()
    }

    /// All counters and gauges whose name contains `part`.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn stats(&self, part: &str) -> Result<BTreeMap<String, u64>, RigError> {
        let page = self.get("/stats").await?;
        Ok(page
            .lines()
            .filter_map(|line| line.rsplit_once(": "))
            .filter(|(name, _)| name.contains(part))
            .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)))
            .collect())
    }

    /// One counter or gauge; 0 while it was never touched.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn stat(&self, name: &str) -> Result<u64, RigError> {
        Ok(self.stats(name).await?.get(name).copied().unwrap_or(0))
    }

    /// Whether the filter has decided anything by an agent's signals yet.
    pub async fn picked_by_signals(&self) -> bool {
        let picks = self.stats("zerohop_picks_total").await.unwrap_or_default();
        let mut picks = picks.iter().filter(|(_, count)| **count > 0);
        picks.any(|(name, _)| label_of(name, "reason").is_some_and(|why| BY_SIGNALS.contains(&why)))
    }

    async fn ask(&self, method: &str, path: &str) -> Result<String, RigError> {
        let doing = format!("{method} {}{path}", self.0);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let answer = raw::exchange(self.0, request.as_bytes(), LIMIT).await?;
        if answer.status == 200 {
            Ok(String::from_utf8_lossy(&answer.body).into_owned())
        } else {
            Err(RigError::http(doing, &format!("status {}", answer.status)))
        }
    }
}
