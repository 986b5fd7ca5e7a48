//! LoRA adapters: names, which are registered, and the history that `/metrics` shows.

use super::process::unix_seconds;
use crate::engine::LoraId;

/// A registered adapter.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    pub(crate) id: LoraId,
    pub(crate) name: String,
    pub(crate) path: String,
}

/// One series of `vllm:lora_requests_info`; its value is the last time it was true.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoraSeries {
    pub(crate) adapters: String,
    pub(crate) last_true_unix: f64,
}

/// All adapters of a process.
#[derive(Clone, Debug)]
pub(crate) struct LoraRegistry {
    max_loras: u32,
    next_id: u32,
    adapters: Vec<Adapter>,
    /// Names by number, of unloaded adapters too: their requests may still run.
    names: Vec<String>,
    /// Every combination ever seen, oldest first: vLLM never drops one.
    history: Vec<LoraSeries>,
    current: usize,
    last_running: Vec<LoraId>,
}

impl LoraRegistry {
    pub(crate) fn new(max_loras: u32, names: &[String]) -> Self {
        let mut registry = LoraRegistry {
            max_loras,
            next_id: 0,
            adapters: Vec::new(),
            names: Vec::new(),
            history: Vec::new(),
            current: 0,
            last_running: Vec::new(),
        };
        for name in names {
            registry.load(name, &format!("/adapters/{name}"));
        }
        registry
    }

    pub(crate) fn enabled(&self) -> bool {
        self.max_loras > 0
    }

    pub(crate) fn max_loras(&self) -> u32 {
        self.max_loras
    }

    pub(crate) fn adapters(&self) -> &[Adapter] {
        &self.adapters
    }

    pub(crate) fn find(&self, name: &str) -> Option<LoraId> {
        self.adapters
            .iter()
            .find(|adapter| adapter.name == name)
            .map(|adapter| adapter.id)
    }

    /// Registers an adapter. Says whether the name was free.
    pub(crate) fn load(&mut self, name: &str, path: &str) -> bool {
        if self.find(name).is_some() {
            return false;
        }
        let id = LoraId(self.next_id);
        self.next_id += 1;
        self.names.push(name.to_owned());
        self.adapters.push(Adapter {
            id,
            name: name.to_owned(),
            path: path.to_owned(),
        });
        true
    }

    /// Forgets an adapter. Says whether it was there.
    pub(crate) fn unload(&mut self, name: &str) -> bool {
        let before = self.adapters.len();
        self.adapters.retain(|adapter| adapter.name != name);
        self.adapters.len() < before
    }

    /// Notes which adapters run. Called after each step, as vLLM records its statistics.
    pub(crate) fn record(&mut self, running: impl Iterator<Item = LoraId>, now_unix: f64) {
        if !self.enabled() {
            return;
        }
        let mut same = !self.history.is_empty();
        let mut count = 0;
        for (position, id) in running.enumerate() {
            count = position + 1;
            if self.last_running.get(position) != Some(&id) {
                same = false;
                self.last_running.truncate(position);
                self.last_running.push(id);
            }
        }
        if self.last_running.len() != count {
            same = false;
            self.last_running.truncate(count);
        }
        if !same {
            let names: Vec<&str> = self
                .last_running
                .iter()
                .filter_map(|id| self.names.get(id.0 as usize).map(String::as_str))
                .collect();
            let adapters = names.join(",");
            self.current = self
                .history
                .iter()
                .position(|series| series.adapters == adapters)
                .unwrap_or_else(|| {
                    self.history.push(LoraSeries {
                        adapters,
                        last_true_unix: now_unix,
                    });
                    self.history.len() - 1
                });
        }
        if let Some(series) = self.history.get_mut(self.current) {
            series.last_true_unix = now_unix;
        }
    }

    /// Every combination seen, oldest first, and which one is current.
    pub(crate) fn history(&self) -> (&[LoraSeries], usize) {
        (&self.history, self.current)
    }

    /// What a lie about running adapters replaces the current series by.
    pub(crate) fn lie(adapters: String) -> LoraSeries {
        LoraSeries {
            adapters,
            last_true_unix: unix_seconds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LoraId, LoraRegistry};

    #[test]
    fn every_combination_ever_seen_stays_and_the_current_one_has_the_largest_time() {
        let mut registry = LoraRegistry::new(2, &["sql".into(), "chat".into()]);
        let (sql, chat) = (LoraId(0), LoraId(1));
        assert!(
            registry.history().0.is_empty(),
            "absent until the first record"
        );
        registry.record([].into_iter(), 1.0);
        registry.record([sql].into_iter(), 2.0);
        registry.record([sql, chat].into_iter(), 3.0);
        registry.record([chat, sql].into_iter(), 4.0);
        registry.record([sql].into_iter(), 5.0);
        let (history, current) = registry.history();
        let labels: Vec<_> = history
            .iter()
            .map(|s| (s.adapters.as_str(), s.last_true_unix))
            .collect();
        assert_eq!(
            labels,
            [
                ("", 1.0),
                ("sql", 5.0),
                ("sql,chat", 3.0),
                ("chat,sql", 4.0)
            ]
        );
        assert_eq!(history[current].adapters, "sql");
    }

    #[test]
    fn names_are_free_again_after_unloading_but_numbers_are_not() {
        let mut registry = LoraRegistry::new(1, &["a".into()]);
        assert!(!registry.load("a", "x"));
        assert!(registry.unload("a") && !registry.unload("a"));
        assert!(registry.load("a", "x"));
        assert_eq!(registry.find("a"), Some(LoraId(1)));
    }
}
