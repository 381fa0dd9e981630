//! The configuration: read whole, every problem at once.
//!
//! Guarantees: a [`Config`] is complete and consistent, its secrets read; a key that is unknown, missing or
//! wrong is told with file, line and column, all of them together. `default.toml` is the manual: it holds every
//! key. Touches no network and does not open rules or databases: the stages do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::alert::DeskConfig;
use crate::deliver::config::{ChannelsConfig, NoticesConfig};
use crate::detect::Options;
use crate::ingest::kafka::KafkaConfig;
use crate::report::{Problem, SourceFile};

mod channels;
mod detection;
mod kafka;
mod mappings;
mod secrets;
mod table;

pub use detection::{LogFormat, Pack, RulesConfig};
pub use mappings::{MappingSource, TopicMapping};
pub use secrets::Folders;

use table::{Reader, Section};

/// The manual: every key with its meaning and default.
pub const MANUAL: &str = include_str!("default.toml");

/// Where a configuration is looked for when none is named.
pub const PLACES: [&str; 2] = ["walletwatch.toml", "/etc/walletwatch/walletwatch.toml"];

/// Longest configuration file, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What nobody can guess, as the message says that there is no configuration.
pub const NOT_TO_BE_GUESSED: &str = "kafka.brokers (HOST:PORT of some brokers), kafka.start (\"earliest\", \"latest\" \
     or a time: where the very first start begins), state.directory (a folder for the desk and the state) and, for \
     each channel you want, [email] host, from, username and password_file, [sms] url, secret_file and \
     allowed_prefixes, [webhook.NAME] url and secret_file";

/// Everything that was configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// Kafka.
    pub kafka: KafkaConfig,
    /// How the records of topics are read that do not hold our own events.
    pub mappings: Vec<TopicMapping>,
    /// The rules.
    pub rules: RulesConfig,
    /// The geo databases, in the order in which they are asked.
    pub geo_files: Vec<PathBuf>,
    /// How the engine runs.
    pub engine: Options,
    /// The folder of everything that is kept.
    pub state_directory: PathBuf,
    /// The desk.
    pub desk: DeskConfig,
    /// The channels.
    pub channels: ChannelsConfig,
    /// What users read.
    pub notices: NoticesConfig,
    /// Lines of the log.
    pub log_format: LogFormat,
    /// Which lines: a filter such as `info` or `info,walletwatch::ingest=debug`.
    pub log_filter: String,
}

impl Config {
    /// Reads a file. `credentials` is `$CREDENTIALS_DIRECTORY`.
    pub fn load(path: &Path, credentials: Option<PathBuf>) -> Result<Config, Vec<Problem>> {
        match Self::load_partly(path, credentials) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(problems),
        }
    }

    /// Reads a file as far as it can be read, so that whoever checks can go on to what it names. Usable only
    /// where there is no problem: what is wrong or missing reads as absent.
    pub fn load_partly(path: &Path, credentials: Option<PathBuf>) -> (Option<Config>, Vec<Problem>) {
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        match text_of(path) {
            Ok(text) => {
                let (config, problems, _) =
                    read(&path.to_string_lossy(), text, &Folders { config: folder, credentials });
                (config, problems)
            }
            Err(why) => (None, vec![Problem::nowhere("C008", format!("cannot read {}: {why}", path.display()))]),
        }
    }

    /// Reads a text that stands in a file of this name.
    pub fn parse(name: &str, text: String, folders: &Folders) -> Result<Config, Vec<Problem>> {
        match read(name, text, folders) {
            (Some(config), problems, _) if problems.is_empty() => Ok(config),
            (_, problems, _) => Err(problems),
        }
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(format!("it is larger than {FILE_BYTES_MAX} bytes")),
        _ => {}
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
/// Reads a text: what could be read, everything that is wrong, and every key that was asked for.
fn read(name: &str, text: String, folders: &Folders) -> (Option<Config>, Vec<Problem>, Vec<String>) {
    let file = Arc::new(SourceFile { path: name.replace('\\', "/"), text });
    let reader = Reader::new(Arc::clone(&file));
    let (root, errors) = DeTable::parse_recoverable(&file.text);
    let config = sections(&Section::root(&reader, root.get_ref()), folders);
    let known = reader.known_keys();
    let mut problems = reader.into_problems();
    if let Some(error) = errors.iter().min_by_key(|error| error.span().map_or(0, |span| span.start)) {
        // One broken line makes nonsense of what follows: what stands before it can be judged, and no more.
        let at = error.span().unwrap_or(0..0);
        problems.retain(|problem| {
            problem.code != "C003" && problem.at.as_ref().is_some_and(|(_, place)| place.end <= at.start)
        });
        let message = format!("not TOML: {}", error.message().trim());
        problems.push(Problem::error("C001", &file, at, message).help("what follows is judged once this is mended"));
    }
    (errors.is_empty().then_some(config), problems, known)
}

/// Reads every section, so that every problem is found.
fn sections(root: &Section<'_, '_>, folders: &Folders) -> Config {
    let (kafka, mappings) = kafka::read(root.section("kafka"), folders);
    let rules = detection::rules(root.section("rules"), folders);
    let (geo_files, geo_trust_events) = detection::geo(root.section("geo"), folders);
    let engine = Options { geo_trust_events, ..detection::limits(root.section("limits")) };
    let state = root.section("state");
    let state_directory = state.required_text(
        "directory",
        "a folder for the desk and the state, which only this service may read",
        "\"/var/lib/walletwatch\"",
    );
    state.done();
    let state_directory = state_directory.map(|directory| folders.path(&directory.value));
    let desk_path = state_directory.as_ref().map(|directory| directory.join("desk.db"));
    let (desk, notices) = channels::alerts(root.section("alerts"), desk_path.unwrap_or_default(), folders);
    let channels = channels::channels(root, folders);
    let (log_filter, log_format) = detection::log(root.section("log"));
    root.tell_unknown();
    Config {
        kafka,
        mappings,
        rules,
        geo_files,
        engine,
        state_directory: state_directory.unwrap_or_default(),
        desk,
        channels,
        notices,
        log_format,
        log_filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual with every example switched on.
    fn everything() -> String {
        let is_key = |line: &str| {
            let word = line.split(' ').next().unwrap_or_default();
            line.starts_with('[')
                || (line.contains(" = ")
                    && !word.is_empty()
                    && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let lines = MANUAL.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_key(rest) => rest,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The same, without what this machine or the rest of the file does not allow.
    fn usable() -> String {
        everything()
            .replace("token_file = \"/run/secrets/kafka-token\"\n", "")
            .replace("pack = \"builtin\"\n", "pack = \"none\"\n")
    }

    /// A folder with every file the manual's examples name.
    fn folder() -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().expect("a folder");
        for line in everything().lines().filter(|line| line.contains("_file = ")) {
            let name = line.split('"').nth(1).expect("a name");
            if !name.starts_with('/') {
                std::fs::write(folder.path().join(name), "canary\n").expect("written");
            }
        }
        let folders = Folders { config: folder.path().to_path_buf(), credentials: None };
        (folder, folders)
    }

    fn minimal() -> String {
        "[kafka]\nbrokers = [\"localhost:9092\"]\n[state]\ndirectory = \"/s\"\n".to_owned()
    }

    #[test]
    fn the_manual_holds_every_key_and_no_other() {
        let (_folder, folders) = folder();
        let text = usable();
        let (_, problems, known) = read("default.toml", text, &folders);
        assert_eq!(crate::report::render(&problems, false), "");
        let mut section = String::new();
        let mut written = Vec::new();
        for line in everything().lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
                written.push(format!("{section}.{key}"));
            }
        }
        let mut known: Vec<String> = known.into_iter().filter(|key| key.contains('.')).collect();
        known.sort();
        known.dedup();
        written.sort();
        assert_eq!(known, written);
    }

    #[test]
    fn the_manual_tells_the_true_defaults() {
        let folders = Folders::default();
        let required = MANUAL
            .replace("[kafka]\n", "[kafka]\nbrokers = [\"localhost:9092\"]\n")
            .replace("[state]\n", "[state]\ndirectory = \"/s\"\n");
        let manual = Config::parse("default.toml", required, &folders).expect("the manual");
        let minimal = Config::parse("minimal.toml", minimal(), &folders).expect("a minimal file");
        assert_eq!(format!("{manual:#?}"), format!("{minimal:#?}"));
    }

    #[test]
    fn no_secret_is_shown() {
        let (_folder, folders) = folder();
        let text = usable();
        let config = Config::parse("default.toml", text, &folders).expect("everything");
        assert!(!format!("{config:?}").contains("canary"));
        let password = config.channels.email.and_then(|email| email.credentials).expect("credentials").1;
        assert_eq!(password.reveal(), "canary", "without the line break");
    }

    #[test]
    fn a_credential_of_the_service_manager_stands_before_a_file_beside_the_configuration() {
        let (_folder, mut folders) = folder();
        let credentials = tempfile::tempdir().expect("a folder");
        std::fs::write(credentials.path().join("smtp-password"), "from systemd").expect("written");
        folders.credentials = Some(credentials.path().to_path_buf());
        let text = usable();
        let config = Config::parse("default.toml", text, &folders).expect("everything");
        let password = config.channels.email.and_then(|email| email.credentials).expect("credentials").1;
        assert_eq!(password.reveal(), "from systemd");
    }
}
