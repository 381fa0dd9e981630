//! The configuration: a file with the environment over it, read whole, every problem at once.
//!
//! Guarantees: a [`Config`] is complete and consistent, its secrets read; a key that is unknown, missing or
//! wrong is told with file, line and column, all of them together. `default.toml` is the manual: it holds every
//! key. Touches no network and does not open rules or databases: the stages do.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::alert::DeskConfig;
use crate::deliver::config::{ChannelsConfig, NoticesConfig};
use crate::detect::Options;
use crate::features::store::StateConfig;
use crate::ingest::kafka::KafkaConfig;
use crate::report::{Problem, SourceFile};
use crate::telemetry::http::HttpConfig;

mod channels;
mod detection;
mod environment;
mod http;
mod kafka;
mod manual;
mod mappings;
mod mask;
mod places;
mod recover;
mod secrets;
pub mod show;
mod state;
mod table;

pub use detection::{LogFormat, Pack, RulesConfig};
pub use environment::Environment;
pub use mappings::{MappingSource, TopicMapping};
pub use places::Places;
pub use secrets::Folders;
pub use show::Shown;

use environment::Overlay;
use recover::recover;
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
    /// How the state is kept.
    pub state: StateConfig,
    /// The desk.
    pub desk: DeskConfig,
    /// The channels.
    pub channels: ChannelsConfig,
    /// What users read.
    pub notices: NoticesConfig,
    /// Metrics and health.
    pub http: HttpConfig,
    /// Lines of the log.
    pub log_format: LogFormat,
    /// Which lines: a filter such as `info` or `info,walletwatch::ingest=debug`.
    pub log_filter: String,
    /// Where the keys stand, for problems with their values that the stages find.
    pub places: Places,
}

impl Config {
    /// Reads a file with the environment over it.
    pub fn load(path: &Path, environment: &Environment) -> Result<Config, Vec<Problem>> {
        match Self::load_partly(Some(path), environment) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(problems),
        }
    }

    /// Reads a file as far as it can be read, so that whoever checks can go on to what it names. Usable only
    /// where there is no problem: what is wrong or missing reads as absent. Without a file the environment says
    /// everything.
    pub fn load_partly(path: Option<&Path>, environment: &Environment) -> (Option<Config>, Vec<Problem>) {
        match open(path, environment) {
            Ok(Read { config, problems, .. }) => (Some(config), problems),
            Err(problems) => (None, problems),
        }
    }

    /// What is in force and where it comes from.
    pub fn show(path: Option<&Path>, environment: &Environment) -> Result<Vec<Shown>, Vec<Problem>> {
        match open(path, environment)? {
            Read { shown, problems, .. } if problems.is_empty() => Ok(shown),
            Read { problems, .. } => Err(problems),
        }
    }

    /// Reads a text that stands in a file of this name.
    pub fn parse(name: &str, text: String, folders: &Folders) -> Result<Config, Vec<Problem>> {
        match read(name, text, folders, &Environment::default()) {
            Read { config, problems, .. } if problems.is_empty() => Ok(config),
            Read { problems, .. } => Err(problems),
        }
    }
}

/// What was read.
struct Read {
    /// As far as it could be read.
    config: Config,
    /// Everything that is wrong.
    problems: Vec<Problem>,
    /// Every key that was asked for.
    #[cfg_attr(not(test), expect(dead_code, reason = "held against the manual by a test"))]
    known: Vec<String>,
    /// What is in force and where it comes from.
    shown: Vec<Shown>,
}

fn open(path: Option<&Path>, environment: &Environment) -> Result<Read, Vec<Problem>> {
    let folder = path.and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
    let folders = Folders { config: folder, credentials: environment.credentials.clone() };
    let Some(path) = path else { return Ok(read("(no file)", String::new(), &folders, environment)) };
    let cannot = |why| vec![Problem::nowhere("C008", format!("cannot read {}: {why}", path.display()))];
    let text = text_of(path).map_err(cannot);
    Ok(read(&path.to_string_lossy(), text?, &folders, environment))
}

fn text_of(path: &Path) -> Result<String, String> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(format!("it is larger than {FILE_BYTES_MAX} bytes")),
        _ => {}
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Reads a text with the environment over it: what could be read, and everything that is wrong.
fn read(name: &str, text: String, folders: &Folders, environment: &Environment) -> Read {
    let recovered = recover(&text);
    // Problems show the file without its secrets; every place in it is the same.
    let mask::Masked { text: shown, mut covered } = mask::file(&text);
    let file = Arc::new(SourceFile { path: name.replace('\\', "/"), text: shown });
    let reader = Reader::new(Arc::clone(&file), recovered.unread);
    for (at, message) in &recovered.errors {
        let problem = reader.error("C001", at, format!("not TOML: {message}"));
        reader.tell(with_fix(problem, &file, at, message));
    }
    let overlay = Overlay::new(environment, file.text.len());
    covered.add(&overlay.covered);
    let (mut root, _) = DeTable::parse_recoverable(&recovered.text);
    overlay.lay_over(root.get_mut());
    let mut config = sections(&Section::root(&reader, root.get_ref()), folders);
    config.places = reader.places().moved(|span| overlay.placed(span)).without(covered.clone());
    let known = reader.known_keys();
    let shown = show::effective(root.get_ref(), &file, &overlay, &config);
    let problems = overlay.place(reader.into_problems()).into_iter().map(|problem| covered.clean(problem)).collect();
    Read { config, problems, known, shown }
}

/// An error of TOML with what to write instead, where that is plain.
fn with_fix(problem: Problem, file: &SourceFile, at: &Range<usize>, message: &str) -> Problem {
    let words = file.text.get(at.clone()).unwrap_or_default();
    if message.starts_with("unclosed table") {
        return problem.fix(at.start..at.start, "]");
    }
    let line = file.text.get(..at.start).and_then(|before| before.lines().next_back()).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    match example_of(key).filter(|_| message.starts_with("string values must be quoted")) {
        Some(example) if example.starts_with('"') && !words.contains('"') => {
            problem.fix(at.clone(), format!("\"{words}\""))
        }
        Some(example) => problem.help(format!("write it like `{key} = {example}`")),
        None => problem.help("what else its section needs is judged once this is mended"),
    }
}

/// What the manual gives a key.
fn example_of(key: &str) -> Option<&'static str> {
    let values = MANUAL.lines().filter_map(|line| line.trim_start_matches("# ").split_once(" = "));
    values.into_iter().find(|(known, _)| *known == key).map(|(_, value)| value)
}

/// Reads every section, so that every problem is found.
fn sections(root: &Section<'_, '_>, folders: &Folders) -> Config {
    let (kafka, mappings) = kafka::read(root.section("kafka"), folders);
    let rules = detection::rules(root.section("rules"), folders);
    let (geo_files, geo_trust_events) = detection::geo(root.section("geo"), folders);
    let engine = Options { geo_trust_events, ..detection::limits(root.section("limits")) };
    let (state_directory, state) = state::read(root.section("state"), folders);
    let desk_path = state_directory.as_ref().map(|directory| directory.join("desk.db"));
    let (desk, notices) = channels::alerts(root.section("alerts"), desk_path.unwrap_or_default(), folders);
    let channels = channels::channels(root, folders);
    let http = http::read(root.section("http"));
    let (log_filter, log_format) = detection::log(root.section("log"));
    root.tell_unknown();
    Config {
        kafka,
        mappings,
        rules,
        geo_files,
        engine,
        state_directory: state_directory.unwrap_or_default(),
        state,
        desk,
        channels,
        notices,
        http,
        log_format,
        log_filter,
        places: Places::default(),
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
            .replace("url_file = \"sms-url\"\n", "")
            .replace("url_file = \"soc-url\"\n", "")
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
        let Read { problems, known, .. } = read("default.toml", text, &folders, &Environment::default());
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
    fn every_key_can_be_said_by_the_environment_and_means_the_same() {
        let (_folder, folders) = folder();
        let in_file = Config::parse("default.toml", usable(), &folders).expect("everything");
        let left_out = |key: &manual::Key| {
            matches!((key.section, key.key), ("kafka", "token_file") | ("rules", "pack") | (_, "url_file"))
        };
        let mut variables = environment::tests::examples(|key| !left_out(key));
        variables.push(("WALLETWATCH_RULES__PACK".into(), "none".into()));
        let said = read("(no file)", String::new(), &folders, &Environment::of(variables));
        assert_eq!(crate::report::render(&said.problems, false), "");
        assert_eq!(format!("{:#?}", said.config), format!("{in_file:#?}"));
        assert!(said.shown.iter().any(|one| matches!(one.value, Some((_, show::Origin::Environment { .. })))));
    }

    #[test]
    fn a_variable_stands_before_the_file_and_the_file_before_the_default() {
        let text = format!("{}[log]\nfilter = \"debug\"\nformat = \"json\"\n", minimal());
        let environment = Environment::of([("WALLETWATCH_LOG__FILTER".into(), "trace".into())]);
        let said = read("w.toml", text, &Folders::default(), &environment);
        let config = said.config;
        assert_eq!((config.log_filter.as_str(), config.log_format), ("trace", LogFormat::Json));
        assert_eq!(config.kafka.brokers, ["localhost:9092"]);
    }

    #[test]
    fn mistakes_in_the_environment_name_the_variable_and_never_tell_a_secret() {
        use std::os::unix::ffi::OsStringExt as _;
        let text = format!("{}[log]\nfilter = 7\n", minimal());
        let mut environment: Vec<(std::ffi::OsString, std::ffi::OsString)> = [
            ("WALLETWATCH_KAFKA__BROKRES", "kafka:9092"),
            ("WALLETWATCH_EMAIL__PASSWORD", "canary"),
            ("WALLETWATCH_WEBHOOK__SOC__SECRET", "canary"),
            ("WALLETWATCH_SECRET", "canary"),
            ("WALLETWATCH_kafka__tls", "false"),
            ("WALLETWATCH_KAFKA__TLS", "maybe"),
            ("WALLETWATCH_KAFKA__COMMIT_INTERVAL_MS", "soon"),
            ("WALLETWATCH_KAFKA__TOPICS", "wallet.logins, wallet.logins"),
            ("WALLETWATCH_KAFKA__GROUP", ""),
            ("WALLETWATCH_RULES__PACK", "builtni"),
            ("WALLETWATCH_SMS__URL", "https://sms.example/"),
            ("WALLETWATCH_LOG__FILTER", "info"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        environment.push(("WALLETWATCH_STATE__DIRECTORY".into(), std::ffi::OsString::from_vec(vec![0xff, 0xfe])));
        let said = read("w.toml", text, &Folders::default(), &Environment::of(environment));
        let told = crate::report::render(&said.problems, false);
        assert!(!told.contains("canary"), "{told}");
        insta::assert_snapshot!(told);
        insta::assert_snapshot!(crate::report::to_json(&said.problems));
    }

    #[test]
    fn what_is_shown_means_the_same_when_it_is_fed_back() {
        let (_folder, folders) = folder();
        let environment = Environment::of([
            ("WALLETWATCH_KAFKA__BROKERS".into(), "a:9093, b:9093".into()),
            ("WALLETWATCH_EMAIL__REPLY_TO".into(), "a \"quoted\\ 名字 <x@y.example>".into()),
        ]);
        for text in [
            usable(),
            format!("{}[email]\nhost = \"h\"\nfrom = \"a@b.example\"\n[log]\nformat = \"json\"\n", minimal()),
        ] {
            let said = read("w.toml", text, &folders, &environment);
            let shown = show::toml(&said.shown);
            assert!(!shown.contains("canary"), "{shown}");
            let again = read("shown.toml", shown.clone(), &folders, &Environment::default());
            assert_eq!(crate::report::render(&again.problems, false), "", "{shown}");
            assert_eq!(format!("{:#?}", said.config), format!("{:#?}", again.config));
            let values = |shown: Vec<Shown>| -> Vec<_> {
                shown.into_iter().map(|one| (one.section, one.key, one.value.map(|(value, _)| value))).collect()
            };
            assert_eq!(values(said.shown), values(again.shown));
        }
    }

    #[test]
    fn each_value_is_shown_with_where_it_comes_from() {
        let (_folder, folders) = folder();
        let text = "[kafka]\nbrokers = [\"localhost:9092\"]\nstart = \"latest\"\n\n[state]\ndirectory = \"/s\"\n\n[email]\nhost = \"smtp.example\"\nfrom = \"a@b.example\"\nsecurity = \"tls\"\n";
        let environment = Environment::of(
            [
                ("WALLETWATCH_KAFKA__BROKERS", "a:9093,b:9093"),
                ("WALLETWATCH_WEBHOOK__SOC__URL", "https://soar.example/"),
                ("WALLETWATCH_WEBHOOK__SOC__SECRET_FILE", "soc-key"),
            ]
            .map(|(name, value)| (name.into(), value.into())),
        );
        let said = read("w.toml", text.to_owned(), &folders, &environment);
        insta::assert_snapshot!(show::toml(&said.shown));
        let lines = show::json_lines(&said.shown);
        let some = lines.lines().filter(|line| {
            ["brokers", "\"kafka.start\"", "\"email.port", "ca_file"].iter().any(|key| line.contains(key))
        });
        insta::assert_snapshot!(some.collect::<Vec<_>>().join("\n"));
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
