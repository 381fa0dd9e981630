//! A running service asked by its socket, and what a command says where none runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// A folder with a configuration, and the topic of its events.
fn wallet() -> (tempfile::TempDir, String) {
    let topic = broker().topic("asked", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run/rules");
    let config = format!(
        "[kafka]\nbrokers = [\"{}\"]\ntls = false\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\nstart = \"earliest\"\n\
         alerts_topic = \"{topic}.alerts\"\ncontacts_topic = \"{topic}.contacts\"\ndead_letter_topic = \"{topic}.dead\"\n\
         [state]\ndirectory = \"state\"\n[rules]\npack = \"none\"\ndirectory = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        broker().bootstrap,
        rules.display(),
    );
    std::fs::write(folder.path().join("walletwatch.toml"), config).expect("a configuration");
    (folder, topic)
}

fn status(folder: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.arg("status").args(more).current_dir(folder).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_running_service_says_how_far_it_is_and_none_is_told_apart() {
    let (folder, topic) = wallet();
    let (code, _, said) = status(folder.path(), &[]);
    assert!(code == Some(69) && said.contains("no service is running on "), "{said}");
    let service = Running::start(folder.path(), &[]);
    service.is_ready();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
    for n in 0..5 {
        let event = format!(r#"{{"id":"e-{n}","type":"logout","time":1767225600000,"account":"acc-1"}}"#);
        let record = BaseRecord::to(&topic).partition(1).key("acc-1").payload(&event);
        producer.send(record).map_err(|(error, _)| error).expect("taken");
    }
    producer.flush(Duration::from_secs(60)).expect("written");
    let told = wait_until("it says that it has taken five", Duration::from_secs(30), || {
        let (code, printed, said) = status(folder.path(), &["--format", "json"]);
        assert_eq!(code, Some(0), "{said}");
        let told: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
        let topics = told["topics"].as_array()?;
        let events = topics.iter().find(|of| of["topic"] == topic.as_str())?;
        let next = &events["partitions"][1]["next"];
        (next == 5 && events["lag_records"] == 0).then(|| told.clone())
    });
    assert_eq!((told["role"].as_str(), told["version"].as_str()), (Some("both"), Some(env!("CARGO_PKG_VERSION"))));
    assert!(told["since"].as_str() < told["asked"].as_str(), "{told}");
    let (_, human, _) = status(folder.path(), &[]);
    assert!(human.contains("role both, since ") && human.contains(&topic), "{human}");
    let socket = folder.path().join("state/control.sock");
    assert_eq!(std::fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o600);
    // A second one on the same folder is refused, and takes nothing away from the first.
    let second = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(["run", "--role", "detect"])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(75) && said.contains("in use by another process"), "{said}");
    assert_eq!(status(folder.path(), &[]).0, Some(0));
    service.terminate();
    assert!(!socket.exists());
    assert_eq!(status(folder.path(), &[]).0, Some(69));
}

fn show(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.args(["state", "show"]).args(args).current_dir(folder).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_entity_is_shown_by_the_running_service_and_from_the_files_where_none_runs() {
    let (folder, topic) = wallet();
    let (code, _, said) = show(folder.path(), &["acount:acc-1"]);
    assert!(code == Some(64) && said.contains("one of account, login_name, ip, "), "{said}");
    let (code, _, said) = show(folder.path(), &["account:acc-1"]);
    assert!(code == Some(66) && said.contains("there is no state in "), "{said}");
    let service = Running::start(folder.path(), &[]);
    service.is_ready();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
    for n in 0..3 {
        let event = format!(
            r#"{{"id":"f-{n}","type":"login","result":"failure","reason":"wrong_password","time":{},"account":"acc-1"}}"#,
            1_767_225_600_000_i64 + n * 1000
        );
        let record = BaseRecord::to(&topic).partition(0).key("acc-1").payload(&event);
        producer.send(record).map_err(|(error, _)| error).expect("taken");
    }
    producer.flush(Duration::from_secs(60)).expect("written");
    let running = wait_until("it has counted three", Duration::from_secs(30), || {
        let (code, printed, said) = show(folder.path(), &["account:acc-1", "--format", "json"]);
        assert!(matches!(code, Some(0 | 1)), "{said}");
        let told: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
        assert_eq!(told["known"].as_bool(), Some(code == Some(0)), "{told}");
        (told["state"]["features"][0]["values"][0]["value"] == 3).then_some(told)
    });
    assert_eq!((&running["entity"], &running["checkpoint"]), (&"account:acc-1".into(), &Value::Null));
    assert_eq!(running["state"]["features"][0]["name"], "acct_fail_10m");
    let (code, told, _) = show(folder.path(), &["account:nobody"]);
    assert_eq!((code, told.as_str()), (Some(1), "account:nobody: nothing is known of it in the running service\n"));
    assert_eq!(show(folder.path(), &[]).0, Some(75), "the whole of it belongs to the service");
    service.terminate();
    let (code, printed, said) = show(folder.path(), &["account:acc-1", "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let stored: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
    assert_eq!(stored["state"], running["state"]);
    assert!(stored["checkpoint"].as_u64() > Some(0), "{stored}");
}
