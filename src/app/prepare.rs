//! From a configuration to everything that can be built without a network.
//!
//! Guarantees: rules, policy, templates, channels, lists and geo databases are all read before anything is
//! said, so that every problem of all of them is told at once. Starts nothing.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use crate::clock;
use crate::config::{Config, Pack, Places};
use crate::deliver::channel::Channels;
use crate::deliver::notice_files::{NoticeFiles, unknown_notices};
use crate::deliver::router;
use crate::deliver::template::Templates;
use crate::geo::Databases;
use crate::report::Problem;
use crate::ruleset::{HashKey, Loaded, Mentions, Policy, Ruleset, Sources, files, load_partly};

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
    let mut keep = Keep { places: &config.places, problems: &mut problems };
    let (loaded, mentions) = if config.places.is_read("rules") { rules(&config, key) } else { Default::default() };
    let loaded = loaded.and_then(|loaded| keep.built(loaded));
    let files = NoticeFiles::read(&config.notices);
    if let Some(known) = files.names().filter(|_| config.places.is_read("alerts")) {
        keep.found(unknown_notices(&mentions.notices, &known));
    }
    let templates = keep.built(Templates::of(files, &config.notices));
    let channels = keep.built(Channels::build(&config.channels));
    let geo = keep.built(open_geo(&config));
    // The shipped policy takes the channels that are there; somebody's own means its words.
    if config.rules.pack == Pack::None && config.places.are_channels_known() {
        keep.found(router::check(&mentions.channels, &config.channels));
    }
    match (loaded, templates, channels, geo) {
        (Some(loaded), Some(templates), Some(channels), Some(geo)) if problems.is_empty() => Ok(Prepared {
            config,
            warnings: loaded.ruleset.warnings.clone(),
            ruleset: Arc::new(loaded.ruleset),
            policy: Arc::new(loaded.policy),
            key,
            geo,
            channels,
            templates: Arc::new(templates),
        }),
        (loaded, ..) => {
            problems.extend(loaded.into_iter().flat_map(|loaded| loaded.ruleset.warnings));
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

/// The rules, and what they name of others; neither where the configuration does not say which they are.
fn rules(config: &Config, key: HashKey) -> (Option<Result<Loaded, Vec<Problem>>>, Mentions) {
    let sources = match (&config.rules.pack, &config.rules.directory) {
        (Pack::Builtin, _) => Sources::builtin(),
        // That it is missing was told.
        (Pack::None, None) => return (None, Mentions::default()),
        (Pack::None, Some(directory)) => match files::read(directory) {
            Ok(sources) => sources,
            Err(error) => {
                let message = format!("cannot read the rules in {}: {error}", directory.display());
                let problem = Problem::nowhere("C006", message).about("rules.directory");
                let problem = problem.help("`rules.directory` names a folder with *.yaml files");
                return (Some(Err(vec![problem])), Mentions::default());
            }
        },
    };
    let (loaded, mentions) = load_partly(&sources, key, Some(clock::now()));
    (Some(loaded), mentions)
}

/// The geo databases, each problem about the key that names the file.
fn open_geo(config: &Config) -> Result<Databases, Vec<Problem>> {
    Databases::open(&config.geo_files).map_err(|errors| {
        let key = |path: &Path| {
            let number = config.geo_files.iter().position(|file| file == path);
            number.map_or_else(|| "geo.files".to_owned(), |number| format!("geo.files[{number}]"))
        };
        errors.iter().map(|error| error.problem().about(key(error.path()))).collect()
    })
}

/// 16 bytes an outsider cannot guess; each `RandomState` has keys of its own.
fn random_key() -> HashKey {
    let mut bytes = [0; 16];
    for half in bytes.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(()).to_ne_bytes());
    }
    HashKey::new(bytes)
}
