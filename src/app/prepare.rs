//! From a configuration to everything that can be built without a network.
//!
//! Guarantees: rules with their tests, policy, templates, channels, lists and geo databases are all read before
//! anything is said, so that every problem of all of them is told at once. Starts nothing. A reload builds with the
//! same functions: what a start accepts a reload accepts, and the other way round.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use super::current::{InForce, Mappings};
use super::reload::Seen;
use crate::clock;
use crate::config::{Config, MappingSource, Pack, Places, TopicMapping};
use crate::deliver::channel::Channels;
use crate::deliver::notice_files::{NoticeFiles, unknown_notices};
use crate::deliver::router;
use crate::deliver::template::Templates;
use crate::event::mapping;
use crate::geo::Databases;
use crate::report::{Level, Problem};
use crate::ruleset::{HashKey, Loaded, Mentions, Policy, Ruleset, Sources, files, load_partly};
use crate::tuning;

/// Everything that runs need not build again.
pub struct Prepared {
    /// The configuration.
    pub config: Config,
    /// What is in force at the start.
    pub in_force: InForce,
    /// How the files looked that it was read from.
    pub seen: Seen,
    /// The key of the ids' hashes; it lives as long as the state: in memory.
    pub key: HashKey,
    /// The channels.
    pub channels: Channels,
    /// What is doubtful but runs.
    pub warnings: Vec<Problem>,
}

/// A rule set with its policy, checked and tested.
pub struct Rules {
    /// The rules.
    pub ruleset: Arc<Ruleset>,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// Builds it, or tells every problem, warnings among them. `problems` are those of the configuration itself.
pub fn prepare(config: Option<Config>, mut problems: Vec<Problem>) -> Result<Prepared, Vec<Problem>> {
    let Some(config) = config else { return Err(problems) };
    let key = random_key();
    // Before anything is read: what changes from now on is seen as changed.
    let seen = Seen::now(&config);
    let mut keep = Keep { places: &config.places, problems: &mut problems };
    let (rules, mentions) = if config.places.is_read("rules") { load_rules(&config, key) } else { Default::default() };
    let rules = rules.and_then(|rules| keep.built(rules));
    let files = NoticeFiles::read(&config.notices);
    if let Some(known) = files.names().filter(|_| config.places.is_read("alerts")) {
        keep.found(unknown_notices(&mentions.notices, &known));
    }
    let templates = keep.built(Templates::of(files, &config.notices));
    let channels = keep.built(Channels::build(&config.channels));
    let geo = keep.built(load_geo(&config));
    let mappings = keep.built(load_mappings(&config));
    if config.places.are_channels_known() {
        keep.found(routes(&config, &mentions));
    }
    match (rules, templates, channels, geo, mappings) {
        (Some(Rules { ruleset, policy }), Some(templates), Some(channels), Some(geo), Some(mappings))
            if problems.is_empty() =>
        {
            let warnings = ruleset.warnings.clone();
            let mentions = Arc::new(mentions);
            let (templates, geo, mappings) = (Arc::new(templates), Arc::new(geo), Arc::new(mappings));
            let in_force = InForce { ruleset, policy, mentions, templates, geo, mappings };
            Ok(Prepared { config, in_force, seen, key, channels, warnings })
        }
        (rules, ..) => {
            problems.extend(rules.into_iter().flat_map(|rules| rules.ruleset.warnings.clone()));
            Err(problems)
        }
    }
}

/// Keeps what the stages build and what they find, each problem at its place in the configuration.
struct Keep<'k> {
    places: &'k Places,
    problems: &'k mut Vec<Problem>,
}

impl Keep<'_> {
    fn built<T>(&mut self, built: Result<T, Vec<Problem>>) -> Option<T> {
        built.map_err(|found| self.found(found)).ok()
    }

    fn found(&mut self, found: Vec<Problem>) {
        self.places.add(found, self.problems);
    }
}

/// Loads the rules and runs their tests, and says what they name of others; `None` where the configuration does
/// not say which they are.
pub fn load_rules(config: &Config, key: HashKey) -> (Option<Result<Rules, Vec<Problem>>>, Mentions) {
    let sources = match sources(config) {
        Some(Ok(sources)) => sources,
        Some(Err(problem)) => return (Some(Err(vec![problem])), Mentions::default()),
        None => return (None, Mentions::default()),
    };
    let (loaded, mentions) = load_partly(&sources, key, Some(clock::now()));
    (Some(loaded.and_then(|loaded| tested(loaded, key))), mentions)
}

/// The texts of the rules: the pack, the team's own directory, or both beside each other.
fn sources(config: &Config) -> Option<Result<Sources, Problem>> {
    let own = config.rules.directory.as_ref().map(|directory| {
        files::read(directory).map_err(|error| {
            let message = format!("cannot read the rules in {}: {error}", directory.display());
            let problem = Problem::nowhere("C006", message).about("rules.directory");
            problem.help("`rules.directory` names a folder with *.yaml files")
        })
    });
    match (config.rules.pack, own) {
        (Pack::Builtin, Some(own)) => Some(own.map(Sources::with_builtin)),
        (Pack::Builtin, None) => Some(Ok(Sources::builtin())),
        // Where it is missing, that was told.
        (Pack::None, own) => own,
    }
}

/// The mappings, in the order of the topics. One whose own tests fail is not used.
pub fn load_mappings(config: &Config) -> Result<Mappings, Vec<Problem>> {
    let mut mappings: Mappings = config.kafka.topics.iter().map(|_| None).collect();
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

/// A rule set whose tests pass, with its files' own values. What fails with those of an overlay is a warning of it.
fn tested(Loaded { ruleset, policy, own_values }: Loaded, key: HashKey) -> Result<Rules, Vec<Problem>> {
    let mut ruleset = Arc::new(ruleset);
    let mut problems = match own_values {
        Some(own) => tuning::failed_tests_overlaid(&ruleset, &Arc::new(own), key),
        None => tuning::failed_tests(&ruleset, key),
    };
    if problems.iter().any(|problem| problem.level == Level::Error) {
        problems.extend(ruleset.warnings.clone());
        return Err(problems);
    }
    // The engines that ran the tests are gone.
    if let Some(ruleset) = Arc::get_mut(&mut ruleset) {
        ruleset.warnings.extend(problems);
    }
    Ok(Rules { ruleset, policy: Arc::new(policy) })
}

/// Opens the geo databases, each problem about the key that names the file.
pub fn load_geo(config: &Config) -> Result<Databases, Vec<Problem>> {
    Databases::open(&config.geo_files).map_err(|errors| {
        let key = |path: &Path| {
            let number = config.geo_files.iter().position(|file| file == path);
            number.map_or_else(|| "geo.files".to_owned(), |number| format!("geo.files[{number}]"))
        };
        errors.iter().map(|error| error.problem().about(key(error.path()))).collect()
    })
}

/// What is wrong with the routes of a policy. The shipped policy takes the channels that are there; somebody's own
/// means its words.
pub fn routes(config: &Config, mentions: &Mentions) -> Vec<Problem> {
    let may_be_own = config.rules.directory.is_some();
    if may_be_own { router::check(&mentions.channels, &config.channels) } else { Vec::new() }
}

/// 16 bytes an outsider cannot guess; each `RandomState` has keys of its own.
fn random_key() -> HashKey {
    let mut bytes = [0; 16];
    for half in bytes.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(()).to_ne_bytes());
    }
    HashKey::new(bytes)
}
