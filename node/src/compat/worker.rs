//! Workers that register themselves, and what is asked of a server.

use std::{collections::BTreeMap, time::Duration};

use pacmesh_protocol::machine::Instant;
use serde::{Deserialize, Serialize};

/// How long a worker is remembered that says nothing (`[worker] time_to_live`).
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
/// Most workers that are remembered.
const REMEMBERED: usize = 256;

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its URL.
    pub address: String,
    /// Its name; a second one by the same name takes its place.
    pub identifier: String,
}

/// Workers that registered themselves lately.
#[derive(Debug, Default)]
pub struct Registry {
    workers: BTreeMap<String, (Worker, Instant)>,
}

impl Registry {
    /// Takes a worker, or its next sign of life. One too many is told so.
    pub fn register(&mut self, worker: Worker, now: Instant) -> Result<(), String> {
        self.workers
            .retain(|_, (_, seen)| now.since(*seen) < TIME_TO_LIVE);
        if self.workers.len() >= REMEMBERED && !self.workers.contains_key(&worker.identifier) {
            return Err(format!("there are {REMEMBERED} workers already"));
        }
        self.workers.insert(worker.identifier.clone(), (worker, now));
        Ok(())
    }

    /// Those that said something lately, by name.
    pub fn alive(&self, now: Instant) -> Vec<Worker> {
        let alive = self
            .workers
            .values()
            .filter(|(_, seen)| now.since(*seen) < TIME_TO_LIVE);
        alive.map(|(worker, _)| worker.clone()).collect()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.workers.clear();
    }
}

/// `service/add` and `service/request`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AddRequest {
    /// Names.
    pub packages: Vec<String>,
    /// Stored for each of them.
    #[serde(default)]
    pub patches: Option<Vec<serde_json::Value>>,
    /// Who asks.
    #[serde(default)]
    pub packager: Option<String>,
}

/// `service/update`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UpdateRequest {
    /// Look into the AUR.
    #[serde(default = "yes")]
    pub aur: bool,
    /// Look at local sources.
    #[serde(default = "yes")]
    pub local: bool,
    /// Publish what was uploaded.
    #[serde(default = "yes")]
    pub manual: bool,
}

const fn yes() -> bool {
    true
}

/// `service/rebuild` and `service/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PackagesRequest {
    /// Names.
    pub packages: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::at(Duration::from_secs(seconds))
    }

    fn worker(identifier: &str, address: &str) -> Worker {
        Worker {
            address: address.to_owned(),
            identifier: identifier.to_owned(),
        }
    }

    #[test]
    fn a_worker_is_there_until_it_was_silent_for_its_time() {
        let mut registry = Registry::default();
        registry.register(worker("w2", "http://b"), at(0)).unwrap();
        registry.register(worker("w1", "http://a"), at(30)).unwrap();
        registry.register(worker("w2", "http://c"), at(31)).unwrap();
        assert_eq!(
            registry.alive(at(40)),
            [worker("w1", "http://a"), worker("w2", "http://c")]
        );
        assert_eq!(registry.alive(at(90)), [worker("w2", "http://c")]);
        assert!(registry.alive(at(91)).is_empty());
        registry.clear();
        assert!(registry.alive(at(40)).is_empty());
    }

    #[test]
    fn inv5_there_are_never_more_workers_than_are_remembered() {
        let mut registry = Registry::default();
        for n in 0..REMEMBERED {
            registry
                .register(worker(&n.to_string(), "http://a"), at(0))
                .unwrap();
        }
        assert!(registry.register(worker("more", "http://a"), at(1)).is_err());
        assert!(registry.register(worker("0", "http://a"), at(1)).is_ok());
        assert!(registry.register(worker("more", "http://a"), at(60)).is_ok());
    }

    #[test]
    fn an_update_asks_for_everything_unless_it_says_otherwise() {
        let all: UpdateRequest = serde_json::from_str("{}").unwrap();
        assert!(all.aur && all.local && all.manual);
        assert!(serde_json::from_str::<UpdateRequest>(r#"{"manual": 1}"#).is_err());
    }
}
