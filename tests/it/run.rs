//! The service itself, started as a user would, on a real broker.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::service::{read_topic, records_in, summary_of, terminate};

/// One wallet of its own: topics, a configuration, a state folder.
struct Wallet {
    folder: tempfile::TempDir,
    /// The topics of events.
    topics: [String; 3],
    alerts: String,
    dead: String,
}

impl Wallet {
    fn new(name: &str) -> Self {
        let topics = [("logins", 3), ("accounts", 6), ("transactions", 7)]
            .map(|(topic, partitions)| broker().topic(&format!("{name}.{topic}"), partitions));
        let of = |topic: &str| format!("{}.{topic}", topics[0]);
        let (alerts, contacts, dead) = (of("alerts"), of("contacts"), of("dead"));
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[kafka]\nbrokers = [\"{}\"]\ntls = false\ntopics = {topics:?}\ngroup = \"{}\"\nstart = \"earliest\"\n\
             alerts_topic = \"{alerts}\"\ncontacts_topic = \"{contacts}\"\ndead_letter_topic = \"{dead}\"\n\
             commit_interval_ms = 200\n[state]\ndirectory = \"state\"\n[rules]\npack = \"none\"\ndirectory = \"{}\"\n",
            broker().bootstrap,
            topics[0],
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run/rules").display(),
        );
        std::fs::write(folder.path().join("walletwatch.toml"), config).expect("a configuration");
        Wallet { folder, topics, alerts, dead }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
        command.arg(args[0]).args(["--config", "walletwatch.toml"]).args(&args[1..]);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to its end; the exit code must be 0. Returns the summary.
    fn run(&self, args: &[&str]) -> Value {
        let output = self.command(args).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        summary_of(&output.stderr)
    }

    /// Writes `accounts` times nine failed logins and one transfer, and `broken` records that are no event.
    fn write(&self, accounts: usize, broken: usize) -> Written {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
        let begin = 1_767_225_600_000_i64;
        let mut written = Written::default();
        let mut send = |topic: &str, stamp: i64, key: &str, value: &str| {
            while producer.send(BaseRecord::to(topic).timestamp(stamp).key(key).payload(value)).is_err() {
                producer.poll(Duration::from_millis(10));
            }
            written.records += 1;
        };
        for account in 0..accounts {
            let key = format!("acc-{account}");
            for n in 0..9 {
                let stamp = begin + (account * 100 + n * 10) as i64;
                let ip = format!("203.0.{}.{}", account / 250 % 250, account % 250);
                let event = format!(
                    r#"{{"id":"l-{account}-{n}","type":"login","time":{stamp},"account":"{key}","result":"failure","reason":"wrong_password","ip":"{ip}"}}"#
                );
                send(&self.topics[0], stamp, &key, &event);
            }
            let stamp = begin + (account * 100 + 95) as i64;
            let event = format!(
                r#"{{"id":"t-{account}","type":"transfer","time":{stamp},"account":"{key}","amount":"5.00","currency":"CNY","status":"completed","payee":"p"}}"#
            );
            send(&self.topics[2], stamp, &key, &event);
            if account % 20 == 19 {
                // In steps, so that somebody who reads at the same time sees a part of it.
                producer.flush(Duration::from_secs(60)).expect("written");
            }
        }
        for n in 0..broken {
            send(&self.topics[1], begin + n as i64, "acc-broken", "{\"id\":");
        }
        producer.flush(Duration::from_secs(60)).expect("written");
        written.alerts = accounts as u64;
        written.rejected = broken as u64;
        written
    }
}

#[derive(Default)]
struct Written {
    records: u64,
    rejected: u64,
    alerts: u64,
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn count(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[test]
fn a_run_until_the_end_takes_all_tells_all_and_goes_on_from_there() {
    let wallet = Wallet::new("until-end");
    let written = wallet.write(300, 25);
    let first = wallet.run(&["run", "--until-end"]);
    assert_eq!(count(&first, "records"), written.records);
    assert_eq!(count(&first, "rejected"), written.rejected);
    assert_eq!(count(&first, "accepted"), written.records - written.rejected);
    assert_eq!(count(&first, "alerts"), written.alerts);
    assert_eq!(count(&first, "desk_alerts"), written.alerts, "notification has read what detection wrote");
    assert_eq!(count(&first, "acknowledged"), written.alerts + written.rejected);
    assert_eq!(first["rejected_by_reason"], format!("{{\"not_json\":{}}}", written.rejected));

    let alerts = read_topic(&wallet.alerts);
    assert_eq!(alerts.len() as u64, written.alerts);
    for (key, value, _) in &alerts {
        let alert: Value = serde_json::from_str(value).expect("JSON");
        assert_eq!((alert["kind"].as_str(), alert["account"].as_str()), (Some("alert"), Some(key.as_str())));
    }
    let dead = read_topic(&wallet.dead);
    assert_eq!(dead.len() as u64, written.rejected);
    assert!(dead.iter().all(|(key, value, reason)| (key.as_str(), value.as_str(), reason.as_str())
        == ("acc-broken", "{\"id\":", "not_json")));

    let second = wallet.run(&["run", "--until-end"]);
    assert_eq!(count(&second, "records"), 0, "everything was committed");
    assert_eq!(count(&second, "desk_known"), 0, "the desk goes on where it was");
    let more = wallet.write(0, 3);
    let third = wallet.run(&["run", "--role", "detect", "--until-end"]);
    assert_eq!((count(&third, "records"), count(&third, "rejected")), (more.records, 3));
}

#[test]
fn a_sigterm_in_the_middle_loses_and_repeats_nothing() {
    let wallet = Wallet::new("sigterm");
    let early = wallet.write(0, 100);
    let mut child = wallet.command(&["run", "--role", "detect"]).spawn().expect("it starts");
    wait_until("the first dead letter is written", Duration::from_secs(60), || {
        (records_in(&wallet.dead)? > 0).then_some(())
    });
    let (first, late) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| wallet.write(1000, 100));
        wait_until("the first alert is written", Duration::from_secs(60), || {
            (records_in(&wallet.alerts)? > 0).then_some(())
        });
        let first = terminate(&mut child);
        (first, writer.join().expect("the writer"))
    });
    let written =
        Written { records: early.records + late.records, rejected: early.rejected + late.rejected, alerts: 0 };
    assert!(count(&first, "records") < written.records, "the stop came in the middle");
    assert!(count(&first, "alerts") > 0);
    let second = wallet.run(&["run", "--role", "detect", "--until-end"]);
    for name in ["records", "rejected"] {
        let both = count(&first, name) + count(&second, name);
        let all = if name == "records" { written.records } else { written.rejected };
        assert_eq!(both, all, "{name}: {} + {}", count(&first, name), count(&second, name));
    }
    assert_eq!(read_topic(&wallet.dead).len() as u64, written.rejected);
}

fn in_folder(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(args).current_dir(folder).output().expect("it runs")
}

#[test]
fn without_a_configuration_it_names_what_it_cannot_guess() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = in_folder(folder.path(), &["run"]);
    assert_eq!(output.status.code(), Some(78));
    for key in ["kafka.brokers", "kafka.start", "state.directory", "[email] host", "[sms] url"] {
        assert!(said(&output).contains(key), "{key} in {}", said(&output));
    }
}

#[test]
fn nothing_starts_half() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("rules")).expect("a folder");
    std::fs::write(folder.path().join("rules/bad.yaml"), "version: 1\nrulse: []\n").expect("a rule file");
    let config = "[kafka]\nbrokers = [\"localhost:1\"]\ngruop = \"x\"\n[rules]\npack = \"none\"\ndirectory = \"rules\"\n\
                  [geo]\nfiles = [\"no.mmdb\"]\n[state]\ndirectory = \"state\"\n[alerts]\nnotices_directory = \"nowhere\"\n";
    let file: PathBuf = folder.path().join("walletwatch.toml");
    std::fs::write(&file, config).expect("a configuration");
    let check = in_folder(folder.path(), &["check"]);
    let run = in_folder(folder.path(), &["run", "--until-end"]);
    assert_eq!((check.status.code(), run.status.code()), (Some(1), Some(78)), "{}", said(&run));
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    insta::assert_snapshot!(told);
    assert!(said(&run).starts_with(&told), "run tells the same:\n{}", said(&run));
    assert!(!folder.path().join("state").exists());
}

#[test]
fn a_broker_that_is_not_there_is_unavailable() {
    let wallet = Wallet::new("unavailable");
    let file = wallet.folder.path().join("walletwatch.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    let config =
        config.replace(&broker().bootstrap, "127.0.0.1:1").replace("[state]", "request_timeout_ms = 1000\n[state]");
    std::fs::write(&file, config).expect("a configuration");
    let output = wallet.command(&["run", "--until-end"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("127.0.0.1:1"), "{}", said(&output));
}

#[test]
fn check_without_a_configuration_says_no() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = in_folder(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("kafka.brokers"), "{}", said(&output));
}

#[test]
fn a_prefix_that_is_none_is_told_once_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), format!("whsec_{}", "QUFB".repeat(8))).expect("a key");
    let told = |prefixes: &str| {
        let config = format!(
            "[kafka]\nbrokers = [\"localhost:1\"]\nstart = \"latest\"\n[state]\ndirectory = \"s\"\n[sms]\n\
             url = \"https://sms.example/\"\nsecret_file = \"key\"\nallowed_prefixes = {prefixes}\n"
        );
        std::fs::write(folder.path().join("walletwatch.toml"), config).expect("a configuration");
        String::from_utf8_lossy(&in_folder(folder.path(), &["check"]).stdout).into_owned()
    };
    for prefixes in ["[\"86\"]", "[]"] {
        let told = told(prefixes);
        assert_eq!(told.matches("error[").count(), 1, "{told}");
        assert!(told.contains(" --> walletwatch.toml:"), "{told}");
    }
    assert!(told("[\"+86\"]").contains("fine"));
}

#[test]
fn a_desk_that_somebody_else_holds_or_that_is_none_is_told_with_its_path() {
    let wallet = Wallet::new("desk-held");
    let state = wallet.folder.path().join("state");
    std::fs::create_dir(&state).expect("a folder");
    let lock = std::fs::File::create(state.join("desk.db.lock")).expect("a lock");
    lock.lock().expect("held");
    let held = wallet.command(&["run", "--until-end"]).output().expect("it runs");
    assert_eq!(held.status.code(), Some(75), "{}", said(&held));
    let holder = if cfg!(target_os = "linux") { format!("(process {})", std::process::id()) } else { String::new() };
    assert!(said(&held).contains("state/desk.db is in use by ") && said(&held).contains(&holder), "{}", said(&held));
    drop(lock);
    let other = rusqlite::Connection::open(state.join("desk.db")).expect("another program");
    other.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE").expect("it locks the file");
    let locked = wallet.command(&["run", "--until-end"]).output().expect("it runs");
    assert_eq!(locked.status.code(), Some(75), "{}", said(&locked));
    assert!(said(&locked).contains(&format!("{holder}: waited 5000 ms")), "{}", said(&locked));
    drop(other);
    std::fs::write(state.join("desk.db"), "no database at all ".repeat(100)).expect("written");
    let garbage = wallet.command(&["run", "--until-end"]).output().expect("it runs");
    assert_eq!(garbage.status.code(), Some(74), "{}", said(&garbage));
    let wanted = "state/desk.db: file is not a database";
    assert!(said(&garbage).contains(wanted), "{}", said(&garbage));
}

#[test]
fn channels_that_only_the_policy_knows_are_named_at_the_start_and_the_end_of_a_topic_is_no_trouble() {
    let wallet = Wallet::new("no-channel");
    let output = wallet.command(&["run", "--until-end"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let log = said(&output);
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    let [warning] = warnings.as_slice() else { panic!("{warnings:#?}") };
    assert!(warning.contains("email,sms") && warning.contains("not configured"), "{warning}");
}

#[test]
fn a_start_that_cannot_read_makes_nothing_and_names_everything_that_is_missing() {
    let wallet = Wallet::new("not-readable");
    let file = wallet.folder.path().join("walletwatch.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    let there = wallet.topics.clone();
    let [gone, lost] = ["gone", "lost"].map(|name| format!("{}.{name}", there[0]));
    let with = |topics: &[&str], start: &str| {
        let topics = format!("topics = {topics:?}\n");
        let config = config.replace(&format!("topics = {there:?}\n"), &topics);
        std::fs::write(&file, config.replace("start = \"earliest\"\n", start)).expect("a configuration");
        let output = wallet.command(&["run", "--until-end"]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        assert!(!said(&output).contains("started"), "{}", said(&output));
        assert!(!said(&output).contains("created a topic"), "{}", said(&output));
        assert!(!wallet.folder.path().join("state").exists(), "a desk was made");
        assert_eq!(topics_like(&there[0]), [there[0].clone()], "a topic was made");
        said(&output)
    };
    let missing = format!("topics `{gone}`, `{lost}` do not exist");
    let told = with(&[&gone, &there[0], &lost], "start = \"earliest\"\n");
    assert!(told.contains(&missing) && !told.contains("kafka.start"), "{told}");
    let told = with(&[&there[0], &there[1]], "");
    assert!(told.contains(&format!("no offsets for topics `{}`, `{}`", there[0], there[1])), "{told}");
    assert!(!told.contains("not exist"), "{told}");
    let told = with(&[&gone, &there[0], &lost], "");
    assert!(told.contains(&missing), "{told}");
    assert!(told.contains(&format!("no offsets for topics `{gone}`, `{}`, `{lost}`", there[0])), "{told}");
}

/// The topics of the broker whose names begin so.
fn topics_like(prefix: &str) -> Vec<String> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a client");
    let metadata = client.fetch_metadata(None, Duration::from_secs(30)).expect("the topics");
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn a_state_directory_that_is_a_file_is_told_by_check_and_named_by_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    std::fs::write(&state, "a file").expect("written");
    for deeper in ["", "/in/it"] {
        let config = format!(
            "[kafka]\nbrokers = [\"localhost:1\"]\nstart = \"latest\"\n[state]\ndirectory = \"state{deeper}\"\n"
        );
        std::fs::write(folder.path().join("walletwatch.toml"), config).expect("written");
        let check = in_folder(folder.path(), &["check"]);
        let told = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(1), "{told}");
        assert!(told.contains("walletwatch.toml:5:13") && told.contains("state is not a folder"), "{told}");
        let run = in_folder(folder.path(), &["run", "--until-end"]);
        assert_eq!(run.status.code(), Some(78), "{}", said(&run));
    }
    assert_eq!(std::fs::read_to_string(&state).expect("untouched"), "a file");
}
