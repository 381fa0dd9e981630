//! The service on a topic of another system's records, beside one of our own: on a real broker.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::kit::kafka::broker;
use crate::kit::service::{read_topic, summary_of};

/// When the records were written: 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000;

struct Topics {
    own: String,
    keycloak: String,
    dead: String,
    alerts: String,
}

/// A folder with a configuration: our own topic, and Keycloak's with the mapping that ships.
fn wallet(name: &str) -> (tempfile::TempDir, Topics) {
    let own = broker().topic(&format!("{name}.logins"), 2);
    let keycloak = broker().topic(&format!("{name}.keycloak"), 3);
    let topics = Topics { dead: format!("{own}.dead"), alerts: format!("{own}.alerts"), own, keycloak };
    let folder = tempfile::tempdir().expect("a folder");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run/rules");
    let config = format!(
        "[kafka]\nbrokers = [\"{}\"]\ntls = false\ntopics = [\"{}\", \"{}\"]\ngroup = \"{1}\"\nstart = \"earliest\"\n\
         alerts_topic = \"{}\"\ncontacts_topic = \"{1}.contacts\"\ndead_letter_topic = \"{}\"\n[kafka.mappings]\n\
         \"{2}\" = \"keycloak\"\n[state]\ndirectory = \"state\"\n[rules]\npack = \"none\"\ndirectory = \"{}\"\n",
        broker().bootstrap,
        topics.own,
        topics.keycloak,
        topics.alerts,
        topics.dead,
        rules.display(),
    );
    std::fs::write(folder.path().join("walletwatch.toml"), config).expect("a configuration");
    (folder, topics)
}

fn write(records: &[(&str, String, String)]) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
    for (n, (topic, key, value)) in (0..).zip(records) {
        let record = BaseRecord::to(topic).timestamp(BEGIN + n).key(key).payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("room in the producer");
    }
    producer.flush(Duration::from_secs(60)).expect("written");
}

fn failed_login(account: &str, n: i64) -> Value {
    json!({
        "id": format!("kc-{account}-{n}"), "time": BEGIN + n, "type": "LOGIN_ERROR", "realmId": "wallet",
        "userId": account, "ipAddress": "203.0.113.9", "error": "invalid_user_credentials",
        "details": {"username": "mei"}
    })
}

#[test]
fn keycloaks_records_are_events_and_what_they_are_not_is_counted_or_kept() {
    let (folder, topics) = wallet("mapped");
    let keycloak = topics.keycloak.as_str();
    let mut records = Vec::new();
    // One account's passwords are guessed; the key is the realm.
    for n in 0..120 {
        records.push((keycloak, "wallet".to_owned(), failed_login("u-1", n).to_string()));
    }
    // Nobody's account: whatever the key is, it is not another account's.
    for n in 0..300 {
        let record = json!({"id": format!("kc-none-{n}"), "time": BEGIN + n, "type": "LOGIN_ERROR", "userId": null, "error": "user_not_found"});
        records.push((keycloak, "b3c7".to_owned(), record.to_string()));
    }
    for n in 0..7 {
        let record =
            json!({"id": format!("kc-token-{n}"), "time": BEGIN + n, "type": "CODE_TO_TOKEN", "userId": "u-1"});
        records.push((keycloak, "wallet".to_owned(), record.to_string()));
    }
    let refused = r#"{"id":"kc-bad", "time":1767225600000, "type":"LOGIN", "userId":"u-1", "ipAddress":"a host"}"#;
    records.push((keycloak, "wallet".to_owned(), refused.to_owned()));
    let unknown = r#"{"id":"kc-new","time":1767225600000,"type":"NEW_IN_99"}"#;
    records.push((keycloak, "wallet".to_owned(), unknown.to_owned()));
    for n in 0..150 {
        let account = format!("acc-{n}");
        let record = json!({"id": format!("own-{n}"), "time": BEGIN + n, "type": "logout", "account": account});
        records.push((topics.own.as_str(), account, record.to_string()));
    }
    write(&records);

    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(["run", "--role", "detect", "--until-end"]).current_dir(folder.path());
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = summary_of(&output.stderr);
    let count = |name: &str| summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"));
    assert_eq!(count("records"), records.len() as u64);
    assert_eq!((count("accepted"), count("ignored"), count("rejected")), (120 + 300 + 150, 7, 2));
    assert_eq!(count("accepted") + count("duplicates") + count("rejected") + count("ignored"), count("records"));
    assert_eq!(summary["ignored_by_reason"], r#"{"token":7}"#);

    // The rules saw the guessing, under the account that Keycloak says.
    let alerts = read_topic(&topics.alerts);
    assert!(!alerts.is_empty() && alerts.iter().all(|(key, ..)| key == "u-1"), "{alerts:?}");
    // A dead letter holds the record's own bytes.
    let mut dead = read_topic(&topics.dead);
    dead.sort();
    let dead: Vec<(&str, &str)> = dead.iter().map(|(_, value, reason)| (reason.as_str(), value.as_str())).collect();
    assert_eq!(dead, [("bad_value", refused), ("unknown_type", unknown)]);

    // Only the topic whose keys are not the accounts is named, once.
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named: Vec<Value> = lines.filter(|line| !line["key_not_account"].is_null()).collect();
    let [line] = named.as_slice() else { panic!("{named:#?}") };
    assert_eq!((line["level"].as_str(), line["topic"].as_str()), (Some("WARN"), Some(keycloak)));
    assert_eq!(line["records"], line["key_not_account"], "events without account do not count");
}

#[test]
fn a_mapping_with_a_mistake_or_a_failing_test_starts_nothing() {
    let (folder, topics) = wallet("mapped-wrong");
    let file = folder.path().join("walletwatch.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration").replace("= \"keycloak\"", "= \"own.yaml\"");
    std::fs::write(&file, config).expect("a configuration");
    let begins = |mapping: &str| {
        std::fs::write(folder.path().join("own.yaml"), mapping).expect("a mapping");
        let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
        let output = command.args(["run", "--until-end"]).current_dir(folder.path()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = begins("version: 1\nname: own\nrecords:\n  - type: logn\n");
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("own.yaml:4:11") && told.contains("write `login`"), "{told}");
    let (code, told) = begins(
        "version: 1\nname: own\nrecords:\n  - ignore: all\ntests:\n  - name: one\n    given: {}\n    expect: rejected\n",
    );
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("own.yaml:6:5") && told.contains("test `one` fails"), "{told}");
    assert!(!folder.path().join("state").exists(), "{}", topics.own);
}
