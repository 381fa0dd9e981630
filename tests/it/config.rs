//! Mistakes in the configuration: one file for each, named after it; the whole output is the snapshot.

use std::path::{Path, PathBuf};

use walletwatch::config::{Config, Environment};
use walletwatch::report::render;

fn mistakes() -> Vec<PathBuf> {
    let folder = Path::new("tests/data/config");
    let entries = std::fs::read_dir(folder).expect("the folder of mistakes");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let files = mistakes();
    assert!(files.len() >= 12, "{}", files.len());
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let problems = Config::load(&file, &Environment::default()).expect_err(&name);
        let told = render(&problems, false);
        assert!(!told.contains("canary") && !told.contains("Y2FuYXJ5"), "{told}");
        insta::assert_snapshot!(name, told);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problems =
        Config::load(Path::new("tests/data/config/nowhere.toml"), &Environment::default()).expect_err("no file");
    assert!(render(&problems, false).contains("cannot read tests/data/config/nowhere.toml"));
}

/// A command of ours in a folder, with variables.
fn walletwatch(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(args).current_dir(folder).envs(variables.iter().copied());
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_environment_alone_configures_and_what_is_shown_runs_as_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [
        ("WALLETWATCH_KAFKA__BROKERS", "localhost:9092,localhost:9093"),
        ("WALLETWATCH_KAFKA__START", "latest"),
        ("WALLETWATCH_KAFKA__TLS", "false"),
        ("WALLETWATCH_STATE__DIRECTORY", "state"),
        ("WALLETWATCH_SERVICE_HOST", "10.0.0.1"),
    ];
    let (status, checked, _) = walletwatch(folder.path(), &["check"], &variables);
    assert_eq!(status, Some(0), "{checked}");
    assert!(checked.starts_with("the environment: fine"), "{checked}");
    let (status, shown, _) = walletwatch(folder.path(), &["config", "show"], &variables);
    assert_eq!(status, Some(0));
    assert!(shown.contains("tls = false  # $WALLETWATCH_KAFKA__TLS\n"), "{shown}");
    std::fs::write(folder.path().join("walletwatch.toml"), &shown).expect("written");
    let (status, again, _) = walletwatch(folder.path(), &["config", "show", "--format", "json"], &[]);
    assert_eq!(status, Some(0));
    let lines: Vec<serde_json::Value> = again.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let brokers = lines.iter().find(|line| line["key"] == "kafka.brokers").expect("the brokers");
    assert_eq!((&brokers["origin"], &brokers["file"]), (&"file".into(), &"walletwatch.toml".into()));
    assert_eq!(brokers["value"], serde_json::json!(["localhost:9092", "localhost:9093"]));
}

#[test]
fn a_variable_that_means_nothing_stops_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [("WALLETWATCH_KAFKA__BROKRES", "a:9092"), ("WALLETWATCH_EMAIL__PASSWORD", "canary")];
    for (command, exit) in [(&["check"][..], 1), (&["run"], 78), (&["config", "show"], 1)] {
        let (status, told, talk) = walletwatch(folder.path(), command, &variables);
        let all = told + &talk;
        assert_eq!(status, Some(exit), "{command:?}: {all}");
        assert!(all.contains("write `WALLETWATCH_KAFKA__BROKERS`"), "{all}");
        assert!(all.contains("WALLETWATCH_EMAIL__PASSWORD_FILE") && !all.contains("canary"), "{all}");
    }
}

#[test]
fn the_path_of_a_webhook_is_a_secret_wherever_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = "https://hooks.slack.example/services/T000/canary-path";
    std::fs::write(folder.path().join("key"), format!("whsec_{}\n", "QUFB".repeat(8))).expect("a key");
    std::fs::write(folder.path().join("chat"), format!("{chat}\n")).expect("an address");
    let config = "[kafka]\nbrokers = [\"localhost:1\"]\nstart = \"latest\"\n[state]\ndirectory = \"s\"\n\
                  [webhook.soc]\nsecret_file = \"key\"\n";
    for (address, shown) in [
        (format!("url = \"{chat}\"\n"), "url = \"https://hooks.slack.example/…\""),
        ("url_file = \"chat\"\n".to_owned(), "url_file = \"chat\""),
    ] {
        std::fs::write(folder.path().join("walletwatch.toml"), format!("{config}{address}")).expect("written");
        for command in [&["check"][..], &["config", "show"], &["config", "show", "--format", "json"]] {
            let (status, told, talk) = walletwatch(folder.path(), command, &[]);
            assert_eq!(status, Some(0), "{command:?} {address}: {told}{talk}");
            assert!(!told.contains("canary") && !talk.contains("canary"), "{command:?} {address}:\n{told}{talk}");
        }
        let (_, told, _) = walletwatch(folder.path(), &["config", "show"], &[]);
        assert!(told.contains(shown), "{told}");
    }
    let variables = [("WALLETWATCH_WEBHOOK__SOC__URL", chat)];
    std::fs::write(folder.path().join("walletwatch.toml"), config).expect("written");
    let (status, told, talk) = walletwatch(folder.path(), &["config", "show"], &variables);
    assert_eq!(status, Some(0), "{talk}");
    assert!(told.contains("https://hooks.slack.example/…") && !told.contains("canary"), "{told}");
    // What is refused says which key it is about.
    std::fs::write(folder.path().join("chat"), chat.replace("https", "http")).expect("an address");
    std::fs::write(folder.path().join("walletwatch.toml"), format!("{config}url_file = \"chat\"\n")).expect("written");
    let (status, told, talk) = walletwatch(folder.path(), &["check"], &[]);
    assert_eq!(status, Some(1), "{told}{talk}");
    assert!(told.contains("`webhook.soc.url_file` is refused: it is not https"), "{told}{talk}");
    assert!(told.contains("walletwatch.toml:8:12"), "{told}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let right = "[kafka]\nbrokers = [\"localhost:1\"]\nstart = \"latest\"\n[state]\ndirectory = \"s\"\n";
    let url = "https://user:canary-user@sms.example/?token=canary-query";
    let chat = "https://hooks.slack.example/services/T000/canary-path";
    std::fs::write(folder.path().join("not-https"), chat.replace("https", "http")).expect("an address");
    std::fs::write(folder.path().join("chat"), chat).expect("an address");
    std::fs::write(folder.path().join("key"), format!("whsec_{}", "QUFB".repeat(8))).expect("a key");
    for wrong in [
        "[email]\npassword=\"canary\"\n".to_owned(),
        "[email]\npassword = canary\n".to_owned(),
        "[email]\npassword canary\n".to_owned(),
        "[email]\npassword = \"\"\"\ncanary\n".to_owned(),
        "[email]\nauth = { api_key = \"canary\" }\n".to_owned(),
        "password = \"canary\"\n[email]\nhost = 5\n".to_owned(),
        format!("[sms]\nurl = \"{url}\"\nsecret_file = \"key\"\nallowed_prefixes = [\"+86\"]\n"),
        format!("[sms]\nurl = {url}\n"),
        format!("[sms]\nsecret_file = \"{url}\"\n"),
        // Of a chat's webhook the path is the secret.
        format!("[webhook.soc]\nurl = \"{chat}\"\nsecret_file = \"key\"\nallowed_networks = [\"x\"]\n"),
        format!("[webhook.soc]\nurl = \"{}\"\nsecret_file = \"key\"\n", chat.replace("https", "http")),
        format!("[webhook.soc]\nurl = \"{}\"\nsecret_file = \"key\"\n", chat.replace("https://", "")),
        format!("[webhook.soc]\nurl_file = \"{chat}\"\nsecret_file = \"key\"\n"),
        format!("[webhook.soc]\nur = \"{chat}\"\n"),
        "[webhook.soc]\nurl_file = \"not-https\"\nsecret_file = \"key\"\n".to_owned(),
        format!("[webhook.soc]\nurl = \"{chat}\"\nurl_file = \"chat\"\nsecret_file = \"key\"\n"),
    ] {
        std::fs::write(folder.path().join("walletwatch.toml"), format!("{right}{wrong}")).expect("written");
        for command in [&["check"][..], &["check", "--format", "json"], &["run"], &["config", "show"]] {
            let (_, told, talk) = walletwatch(folder.path(), command, &[]);
            assert!(!told.contains("canary") && !talk.contains("canary"), "{command:?} {wrong}:\n{told}{talk}");
        }
        let (status, ..) = walletwatch(folder.path(), &["check"], &[]);
        assert_eq!(status, Some(1), "{wrong}");
    }
    std::fs::write(folder.path().join("walletwatch.toml"), right).expect("written");
    for name in ["SMS__URL", "KAFKA__BROKERS", "LOG__FORMAT", "KAFKA__START"] {
        let variables = [(format!("WALLETWATCH_{name}"), url.to_owned())];
        let variables = [(variables[0].0.as_str(), variables[0].1.as_str())];
        for command in [&["check"][..], &["check", "--format", "json"], &["run"], &["config", "show"]] {
            let (_, told, talk) = walletwatch(folder.path(), command, &variables);
            assert!(!told.contains("canary") && !talk.contains("canary"), "{command:?} {name}:\n{told}{talk}");
        }
    }
}
