//! From a configuration to everything that can be built without a network.
//!
//! Guarantees: rules, policy, templates, channels, lists and geo databases are all read before anything is
//! said, so that every problem of all of them is told at once. Starts nothing.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::clock;
use crate::config::{Config, MappingSource, Pack, TopicMapping};
use crate::deliver::channel::Channels;
use crate::deliver::router;
use crate::deliver::template::Templates;
use crate::event::mapping::{self, Mapping};
use crate::geo::Databases;
use crate::report::{Problem, did_you_mean};
use crate::ruleset::{HashKey, Loaded, Policy, Ruleset, Sources, files, load};

/// Everything that runs need not build again.
pub struct Prepared {
    /// The configuration.
    pub config: Config,
    /// The rules.
    pub ruleset: Arc<Ruleset>,
    /// The policy.
    pub policy: Arc<Policy>,
    /// The key of the ids' hashes; it lives as long as the state: in memory.
    pub key: HashKey,
    /// The geo databases.
    pub geo: Databases,
    /// How each topic's records are read, in the order of the topics; `None`: they are our own events.
    pub mappings: Vec<Option<Mapping>>,
    /// The channels.
    pub channels: Channels,
    /// The texts of the notices.
    pub templates: Arc<Templates>,
    /// What is doubtful but runs.
    pub warnings: Vec<Problem>,
}

/// Builds it, or tells every problem, warnings among them. `problems` are those of the configuration itself.
pub fn prepare(config: Option<Config>, mut problems: Vec<Problem>) -> Result<Prepared, Vec<Problem>> {
    let Some(config) = config else { return Err(problems) };
    let key = random_key();
    let loaded = keep(rules(&config, key), &mut problems);
    let templates = keep(Templates::load(&config.notices), &mut problems);
    let channels = Channels::build(&config.channels).map_err(|found| without_told(found, &problems));
    let channels = keep(channels, &mut problems);
    let opened = Databases::open(&config.geo_files);
    let geo = keep(opened.map_err(|e| e.iter().map(|e| e.problem()).collect()), &mut problems);
    let mappings = keep(mappings(&config), &mut problems);
    if let (Some(loaded), Some(templates)) = (&loaded, &templates) {
        problems.extend(unknown_notices(&loaded.ruleset, templates));
    }
    // The shipped policy and the default one take the channels that are there; somebody's own means its words.
    if let (Some(loaded), Some(channels)) = (&loaded, &channels)
        && config.rules.pack == Pack::None
        && loaded.policy != Policy::default()
    {
        problems.extend(router::check(&loaded.policy, channels));
    }
    match (loaded, templates, channels, geo, mappings) {
        (Some(loaded), Some(templates), Some(channels), Some(geo), Some(mappings)) if problems.is_empty() => {
            Ok(Prepared {
                config,
                warnings: loaded.ruleset.warnings.clone(),
                ruleset: Arc::new(loaded.ruleset),
                policy: Arc::new(loaded.policy),
                key,
                geo,
                mappings,
                channels,
                templates: Arc::new(templates),
            })
        }
        (loaded, ..) => {
            problems.extend(loaded.into_iter().flat_map(|loaded| loaded.ruleset.warnings));
            Err(problems)
        }
    }
}

fn keep<T>(built: Result<T, Vec<Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    built.map_err(|found| problems.extend(found)).ok()
}

/// What the SMS channel says of the allowed prefixes the configuration says too, and it knows the place.
fn without_told(mut found: Vec<Problem>, problems: &[Problem]) -> Vec<Problem> {
    found.retain(|problem| problems.is_empty() || !matches!(problem.code, "N041" | "N042"));
    found
}

fn rules(config: &Config, key: HashKey) -> Result<Loaded, Vec<Problem>> {
    let sources = match (&config.rules.pack, &config.rules.directory) {
        (Pack::Builtin, _) => Sources::builtin(),
        // That it is missing was told.
        (Pack::None, None) => return Err(Vec::new()),
        (Pack::None, Some(directory)) => files::read(directory).map_err(|error| {
            let message = format!("cannot read the rules in {}: {error}", directory.display());
            vec![Problem::nowhere("C006", message).help("rules.directory names a folder with *.yaml files")]
        })?,
    };
    load(&sources, key, Some(clock::now()))
}

/// The mappings, in the order of the topics. One whose own tests fail is not used.
fn mappings(config: &Config) -> Result<Vec<Option<Mapping>>, Vec<Problem>> {
    let mut mappings: Vec<Option<Mapping>> = config.kafka.topics.iter().map(|_| None).collect();
    let mut problems = Vec::new();
    for TopicMapping { topic, from } in &config.mappings {
        let loaded = match from {
            MappingSource::Builtin(builtin) => builtin.load(),
            MappingSource::File(path) => match std::fs::read(path) {
                Ok(bytes) => mapping::load_bytes(&path.to_string_lossy(), &bytes),
                Err(error) => {
                    let message = format!("cannot read the mapping {}: {error}", path.display());
                    Err(vec![Problem::nowhere(mapping::codes::FILE, message)])
                }
            },
        };
        match loaded {
            Ok(mapping) => {
                problems.extend(mapping::failed(&mapping));
                if let Some(of_topic) = mappings.get_mut(*topic) {
                    *of_topic = Some(mapping);
                }
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(mappings) } else { Err(problems) }
}

/// A notice that a rule names needs its texts.
fn unknown_notices(ruleset: &Ruleset, templates: &Templates) -> Vec<Problem> {
    let known: Vec<&str> = templates.notices().collect();
    let mut problems = Vec::new();
    for rule in &ruleset.rules {
        let Some(notice) = rule.notice.as_deref().filter(|notice| !known.contains(notice)) else { continue };
        let message = format!("rule `{}` names the notice `{notice}`, which has no texts", rule.id);
        let problem = Problem::error("N023", &rule.at.0, rule.at.1.clone(), message);
        problems.push(match did_you_mean(notice, known.iter().copied()) {
            Some(near) => problem.help(format!("write `{near}`")),
            None => problem.help(format!("there are: {}", known.join(", "))),
        });
    }
    problems
}

/// 16 bytes an outsider cannot guess; each `RandomState` has keys of its own.
fn random_key() -> HashKey {
    let mut bytes = [0; 16];
    for half in bytes.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(()).to_ne_bytes());
    }
    HashKey::new(bytes)
}
