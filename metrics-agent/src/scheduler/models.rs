//! Asks a vLLM which LoRA adapters it can serve and how long its context is, beside the scrapes: the
//! metrics show only adapters at work. A task of its own, so that a slow answer delays no scrape.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;

use super::Shared;
use crate::{
    entropy::{jittered, seeded},
    scrape::{FailureKind, Models, ScrapeTarget},
};

/// Between two questions, with a quarter of jitter.
const REFRESH: Duration = Duration::from_secs(5);
/// After an answer that will hardly change: no such API, or a key is needed.
const UNAVAILABLE: Duration = Duration::from_secs(60);
const PATH: &str = "/v1/models";

type News = Arc<Mutex<Option<Models>>>;

/// The models of one endpoint; asks as long as it lives.
#[derive(Debug)]
pub(super) struct Asking {
    news: News,
    task: JoinHandle<()>,
}

impl Asking {
    /// Starts asking the model server at `address`.
    pub(super) fn follow(address: SocketAddr, shared: Arc<ArcSwap<Shared>>) -> Self {
        let news = News::default();
        let task = tokio::spawn(ask(address, shared, Arc::clone(&news)));
        Self { news, task }
    }

    /// The models, if an answer came since the last call.
    pub(super) fn news(&self) -> Option<Models> {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.take()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(address: SocketAddr, shared: Arc<ArcSwap<Shared>>, news: News) {
    let Ok(page) = ScrapeTarget::new(address, PATH) else {
        return;
    };
    let mut entropy = seeded();
    loop {
        let client = shared.load().client.clone();
        let pause = match client.models(&page).await {
            Ok(models) => {
                *news.lock().unwrap_or_else(PoisonError::into_inner) = Some(models);
                REFRESH
            }
            Err(error) if error.kind() == FailureKind::NoMetrics => UNAVAILABLE,
            Err(_) => REFRESH,
        };
        tokio::time::sleep(jittered(pause, 0.25, &mut entropy)).await;
    }
}
