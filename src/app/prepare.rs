//! From a configuration to everything that can be built without a network.
//!
//! Guarantees: rules with their tests, policy, templates, channels, lists and geo databases are all read before
//! anything is said, so that every problem of all of them is told at once. Starts nothing. A reload builds with the
//! same functions: what a start accepts a reload accepts, and the other way round.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use super::current::{InForce, Mappings};
use super::last_good::{CopyError, LastGood};
use super::reload::Seen;
use crate::clock;
use crate::config::{Config, MappingSource, Pack, Places, TopicMapping};
use crate::deliver::channel::Channels;
use crate::deliver::notice_files::{NoticeFiles, unknown_notices};
use crate::deliver::router;
use crate::deliver::template::Templates;
use crate::event::{Millis, mapping};
use crate::features::store::StateKey;
use crate::geo::Databases;
use crate::report::{Level, Problem};
use crate::ruleset::{HashKey, Loaded, Mentions, Policy, Ruleset, Sources, codes, files, load_partly};
use crate::tuning;

/// Everything that runs need not build again.
pub struct Prepared {
    /// The configuration.
    pub config: Config,
    /// What is in force at the start.
    pub in_force: InForce,
    /// The texts of the rules in force.
    pub sources: Arc<Sources>,
    /// Why the rules in force are the last good copy and not those of the configuration.
    pub fell_back: Option<FellBack>,
    /// How the files looked that it was read from.
    pub seen: Seen,
    /// The key of the ids' hashes.
    pub key: HashKey,
    /// The same with its id and its file, where it is the state's own: to be kept before a state is made.
    pub state_key: Option<StateKey>,
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
    /// The texts.
    pub sources: Arc<Sources>,
}

/// A start with the last good copy of the rules.
pub struct FellBack {
    /// What is wrong with those of the configuration.
    pub problems: Vec<Problem>,
    /// When the copy was kept.
    pub kept: Millis,
}

/// What a start does with rules that do not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRules {
    /// Nothing is started.
    Refuse,
    /// It goes on with the last good copy, where there is one.
    FallBack,
}

/// Which key the ids are hashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFrom {
    /// One of its own, forgotten with it: nothing is kept.
    Nowhere,
    /// The one in the folder of the state; drawn where there is no state yet, and kept by whoever makes the state.
    State,
    /// The same for a state that is made anew: drawn too where the one that is there cannot be used.
    Anew,
}

/// Builds it, or tells every problem, warnings among them. `problems` are those of the configuration itself.
pub fn prepare(
    config: Option<Config>,
    mut problems: Vec<Problem>,
    bad_rules: BadRules,
    key_from: KeyFrom,
) -> Result<Prepared, Vec<Problem>> {
    let Some(config) = config else { return Err(problems) };
    let state_key = match key_from {
        KeyFrom::Nowhere => None,
        KeyFrom::State | KeyFrom::Anew => state_key(&config, key_from).unwrap_or_else(|why| {
            problems.push(Problem::nowhere("C006", why).about("state.directory"));
            None
        }),
    };
    let key = state_key.as_ref().map_or_else(|| HashKey::new(random_bytes()), |state_key| state_key.key);
    // Before anything is read: what changes from now on is seen as changed.
    let seen = Seen::now(&config);
    let files = NoticeFiles::read(&config.notices);
    let known = files.names().filter(|_| config.places.is_read("alerts"));
    let mut read = if config.places.is_read("rules") { load_rules(&config, key) } else { Default::default() };
    let mut fell_back = None;
    let mut keep = Keep { places: &config.places, problems: &mut problems };
    if bad_rules == BadRules::FallBack
        && let Some(refused) = refusal(&config, &read, known.as_deref())
    {
        match last_good(&config, key, known.as_deref()) {
            Ok((good, kept)) => {
                let mut placed = Vec::new();
                config.places.add(refused, &mut placed);
                fell_back = Some(FellBack { problems: placed, kept });
                read = good;
            }
            Err(unusable) => keep.found(unusable),
        }
    }
    let (rules, mentions) = read;
    let rules = rules.and_then(|rules| keep.built(rules));
    if let Some(known) = &known {
        keep.found(unknown_notices(&mentions.notices, known));
    }
    let templates = keep.built(Templates::of(files, &config.notices));
    let channels = keep.built(Channels::build(&config.channels));
    let geo = keep.built(load_geo(&config));
    let mappings = keep.built(load_mappings(&config));
    if config.places.are_channels_known() {
        keep.found(routes(&config, &mentions));
    }
    match (rules, templates, channels, geo, mappings) {
        (Some(Rules { ruleset, policy, sources }), Some(templates), Some(channels), Some(geo), Some(mappings))
            if problems.is_empty() =>
        {
            let warnings = ruleset.warnings.clone();
            let mentions = Arc::new(mentions);
            let (templates, geo, mappings) = (Arc::new(templates), Arc::new(geo), Arc::new(mappings));
            let in_force = InForce { ruleset, policy, mentions, templates, geo, mappings };
            Ok(Prepared { config, in_force, sources, fell_back, seen, key, state_key, channels, warnings })
        }
        (rules, ..) => {
            problems.extend(fell_back.into_iter().flat_map(|fell_back| fell_back.problems));
            problems.extend(rules.into_iter().flat_map(|rules| rules.ruleset.warnings.clone()));
            Err(problems)
        }
    }
}

/// Rules as they were read, with what they name of others.
type ReadRules = (Option<Result<Rules, Vec<Problem>>>, Mentions);

/// Why rules cannot be used, by themselves or beside what is there; `None` where they can, or where the
/// configuration does not say which they are.
fn refusal(config: &Config, (rules, mentions): &ReadRules, known: Option<&[&str]>) -> Option<Vec<Problem>> {
    let mut problems = match rules.as_ref()? {
        Ok(_) => Vec::new(),
        Err(problems) => problems.clone(),
    };
    problems.extend(known.map(|known| unknown_notices(&mentions.notices, known)).unwrap_or_default());
    if config.places.are_channels_known() {
        problems.extend(routes(config, mentions));
    }
    (!problems.is_empty()).then_some(problems)
}

/// The last good copy of the rules and when it was kept. The problem says why one that is there cannot be used.
fn last_good(config: &Config, key: HashKey, known: Option<&[&str]>) -> Result<(ReadRules, Millis), Vec<Problem>> {
    // The pack alone is compiled in: it is always good.
    if config.rules.directory.is_none() || config.state_directory.as_os_str().is_empty() {
        return Err(Vec::new());
    }
    let unusable = |why: String| {
        let message = format!("the last good copy of the rules cannot be used either: {why}");
        vec![Problem::nowhere(codes::FILE, message)]
    };
    let (sources, kept) = LastGood::in_state(&config.state_directory).read().map_err(|error| match error {
        CopyError::None => Vec::new(),
        error => unusable(error.to_string()),
    })?;
    let read = load_sources(sources, key);
    match refusal(config, &read, known) {
        None => Ok((read, kept)),
        Some(problems) => Err(unusable(problems.first().map(ToString::to_string).unwrap_or_default())),
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
pub fn load_rules(config: &Config, key: HashKey) -> ReadRules {
    let sources = match sources(config) {
        Some(Ok(sources)) => sources,
        Some(Err(problems)) => return (Some(Err(problems)), Mentions::default()),
        None => return (None, Mentions::default()),
    };
    load_sources(sources, key)
}

/// The rules for whoever only looks at a state: those of the configuration, or where they do not load the last good
/// copy; `None` where there is neither.
pub fn rules_to_look(config: &Config, key: HashKey) -> Option<Arc<Ruleset>> {
    let own = load_rules(config, key).0.and_then(Result::ok);
    let last_good = || {
        let (sources, _) = LastGood::in_state(&config.state_directory).read().ok()?;
        load_sources(sources, key).0?.ok()
    };
    own.or_else(last_good).map(|rules| rules.ruleset)
}

fn load_sources(sources: Sources, key: HashKey) -> ReadRules {
    let (loaded, mentions) = load_partly(&sources, key, Some(clock::now()));
    (Some(loaded.and_then(|loaded| tested(loaded, sources, key))), mentions)
}

/// The texts of the rules: the pack, the team's own directory, or both beside each other.
fn sources(config: &Config) -> Option<Result<Sources, Vec<Problem>>> {
    let own = config.rules.directory.as_ref().map(|directory| {
        files::read(directory).map_err(|error| {
            let message = format!("cannot read the rules in {}: {error}", directory.display());
            let problem = Problem::nowhere("C006", message).about("rules.directory");
            vec![problem.help("`rules.directory` names a folder with *.yaml files")]
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
fn tested(loaded: Loaded, sources: Sources, key: HashKey) -> Result<Rules, Vec<Problem>> {
    let Loaded { ruleset, policy, own_values } = loaded;
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
    Ok(Rules { ruleset, policy: Arc::new(policy), sources: Arc::new(sources) })
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
    router::check(&mentions.channels, &config.channels)
}

/// The key of the state's folder; nothing is written. None where the configuration does not say which folder it is:
/// that was told.
fn state_key(config: &Config, key_from: KeyFrom) -> Result<Option<StateKey>, String> {
    let directory = &config.state_directory;
    if directory.as_os_str().is_empty() {
        return Ok(None);
    }
    let found = match key_from {
        KeyFrom::Anew => StateKey::anew(directory, random_bytes()),
        KeyFrom::State | KeyFrom::Nowhere => StateKey::of(directory, random_bytes()),
    };
    found.map(Some).map_err(|error| error.to_string())
}

/// 16 bytes an outsider cannot guess; each `RandomState` has keys of its own.
fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    for half in bytes.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(()).to_ne_bytes());
    }
    bytes
}
