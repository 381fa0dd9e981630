//! From a configuration to everything that can be built without a network.
//!
//! Guarantees: rules with their tests, policy, templates, channels, lists and geo databases are all read before
//! anything is said, so that every problem of all of them is told at once. Starts nothing. A reload builds with the
//! same functions: what a start accepts a reload accepts, and the other way round.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::current::InForce;
use super::reload::Seen;
use crate::clock;
use crate::config::{Config, Pack};
use crate::deliver::channel::Channels;
use crate::deliver::router;
use crate::deliver::template::Templates;
use crate::geo::Databases;
use crate::report::{Problem, did_you_mean};
use crate::ruleset::{HashKey, Loaded, Policy, Ruleset, Sources, files, load};
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
    let rules = keep(load_rules(&config, key), &mut problems);
    let templates = keep(Templates::load(&config.notices), &mut problems);
    let channels = Channels::build(&config.channels).map_err(|found| without_told(found, &problems));
    let channels = keep(channels, &mut problems);
    let geo = keep(load_geo(&config), &mut problems);
    if let (Some(rules), Some(templates)) = (&rules, &templates) {
        problems.extend(unknown_notices(&rules.ruleset, templates));
    }
    if let (Some(rules), Some(channels)) = (&rules, &channels) {
        problems.extend(routes(&config, &rules.policy, channels));
    }
    match (rules, templates, channels, geo) {
        (Some(Rules { ruleset, policy }), Some(templates), Some(channels), Some(geo)) if problems.is_empty() => {
            let warnings = ruleset.warnings.clone();
            let in_force = InForce { ruleset, policy, templates: Arc::new(templates), geo: Arc::new(geo) };
            Ok(Prepared { config, in_force, seen, key, channels, warnings })
        }
        (rules, ..) => {
            problems.extend(rules.into_iter().flat_map(|rules| rules.ruleset.warnings.clone()));
            Err(problems)
        }
    }
}

/// Opens the geo databases.
pub fn load_geo(config: &Config) -> Result<Databases, Vec<Problem>> {
    Databases::open(&config.geo_files).map_err(|errors| errors.iter().map(|error| error.problem()).collect())
}

/// What is wrong with the routes of a policy. The shipped policy and the default one take the channels that are
/// there; somebody's own means its words.
pub fn routes(config: &Config, policy: &Policy, channels: &Channels) -> Vec<Problem> {
    let is_own = config.rules.pack == Pack::None && *policy != Policy::default();
    if is_own { router::check(policy, channels) } else { Vec::new() }
}

fn keep<T>(built: Result<T, Vec<Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    built.map_err(|found| problems.extend(found)).ok()
}

/// What the SMS channel says of the allowed prefixes the configuration says too, and it knows the place.
fn without_told(mut found: Vec<Problem>, problems: &[Problem]) -> Vec<Problem> {
    found.retain(|problem| problems.is_empty() || !matches!(problem.code, "N041" | "N042"));
    found
}

/// Loads the rules and runs their tests.
pub fn load_rules(config: &Config, key: HashKey) -> Result<Rules, Vec<Problem>> {
    let Loaded { ruleset, policy } = load(&sources(config)?, key, Some(clock::now()))?;
    let ruleset = Arc::new(ruleset);
    let mut problems = tuning::failed_tests(&ruleset, key);
    if problems.is_empty() {
        return Ok(Rules { ruleset, policy: Arc::new(policy) });
    }
    problems.extend(ruleset.warnings.clone());
    Err(problems)
}

fn sources(config: &Config) -> Result<Sources, Vec<Problem>> {
    match (&config.rules.pack, &config.rules.directory) {
        (Pack::Builtin, _) => Ok(Sources::builtin()),
        // That it is missing was told.
        (Pack::None, None) => Err(Vec::new()),
        (Pack::None, Some(directory)) => files::read(directory).map_err(|error| {
            let message = format!("cannot read the rules in {}: {error}", directory.display());
            vec![Problem::nowhere("C006", message).help("rules.directory names a folder with *.yaml files")]
        }),
    }
}

/// A notice that a rule names needs its texts.
pub fn unknown_notices(ruleset: &Ruleset, templates: &Templates) -> Vec<Problem> {
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
