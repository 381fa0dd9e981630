//! What all lives share: a configuration, rules, metrics; made once, for it costs more than a life.

use std::sync::Arc;
use std::time::Instant;

use crate::app::Stages;
use crate::app::current::Current;
use crate::app::prepare::{BadRules, KeyFrom, prepare};
use crate::config::{Config, Folders};
use crate::features::store::StateKey;
use crate::shutdown::Shutdown;
use crate::telemetry::{Health, Metrics};

use super::stream::TOPICS;

const KEY: [u8; 16] = [6; 16];

/// A service that was prepared and never runs: lives of it are simulated.
#[derive(Clone)]
pub struct World {
    pub stages: Stages,
    pub key: StateKey,
}

impl World {
    /// With rules whose alerts depend on the order of events alone, or with one too that depends on which partitions
    /// were at their end when a batch was taken.
    pub fn new(with_absence: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("rules")).expect("a folder");
        let rule = |name: &str, text: &str| std::fs::write(folder.path().join("rules").join(name), text);
        rule("rules.yaml", include_str!("rules.yaml")).expect("written");
        if with_absence {
            rule("absent.yaml", include_str!("absent.yaml")).expect("written");
        }
        StateKey::of(folder.path(), KEY).and_then(|mut key| key.keep()).expect("a key");
        let topics: Vec<String> = TOPICS.iter().map(|(topic, _)| format!("{topic:?}")).collect();
        let text = format!(
            "[kafka]\nbrokers = [\"localhost:9092\"]\nstart = \"earliest\"\ntopics = [{}]\n[state]\ndirectory = \".\"\n[rules]\n\
             pack = \"none\"\ndirectory = \"rules\"\n",
            topics.join(", ")
        );
        let folders = Folders { config: folder.path().to_owned(), credentials: None };
        let config =
            Config::parse("simulation.toml", text, &folders).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let prepared = prepare(Some(config), Vec::new(), BadRules::Refuse, KeyFrom::State);
        let prepared = prepared.unwrap_or_else(|problems| panic!("{problems:#?}"));
        let key = prepared.state_key.clone().expect("the key that was kept");
        let stages = Stages {
            current: Arc::new(Current::new(prepared.in_force.clone())),
            prepared: Arc::new(prepared),
            metrics: Metrics::new().expect("metrics"),
            health: Health::new(Instant::now()),
            shutdown: Shutdown::default(),
            witness: None,
            detected: Arc::default(),
        };
        World { stages, key }
    }
}
