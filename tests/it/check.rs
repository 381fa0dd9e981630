//! `walletwatch check` over a folder with mistakes of every kind: all of them at once, each at its place.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/check")
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.arg("check").args(arguments).current_dir(folder).env_remove("CREDENTIALS_DIRECTORY");
    command.output().expect("it runs")
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The words from a line and column to another, columns counted in characters.
fn words(folder: &Path, problem: &Value) -> String {
    let number = |value: &Value| usize::try_from(value.as_u64().expect("a number")).expect("small");
    let file = problem["file"].as_str().expect("a file");
    let text = std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines: Vec<&str> = text.lines().collect();
    let (from, to) = (number(&problem["line"]), number(&problem["end"]["line"]));
    let (begin, end) = (number(&problem["column"]) - 1, number(&problem["end"]["column"]) - 1);
    let first = lines[from - 1];
    let end = if from == to { end } else { first.chars().count() };
    first.chars().skip(begin).take(end - begin).collect()
}

#[test]
fn mistakes_of_every_kind_are_told_at_once() {
    let output = check(&folder(), &[]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(told(&output));
}

#[test]
fn lines_and_columns_are_exact_behind_chinese_text_too() {
    let output = check(&folder(), &["--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let mut places = String::new();
    for line in told(&output).lines() {
        let problem: Value = serde_json::from_str(line).expect("JSON");
        let code = problem["code"].as_str().expect("a code");
        match problem["file"].as_str() {
            Some(file) => {
                let (line, column) = (&problem["line"], &problem["column"]);
                places.push_str(&format!("{code} {file}:{line}:{column} {}\n", words(&folder(), &problem)));
            }
            None => places.push_str(&format!("{code} {}\n", problem["message"].as_str().expect("a message"))),
        }
    }
    insta::assert_snapshot!(places);
}

/// A folder with a configuration that is right but for what is put in place of a part of it.
fn folder_with(from: &str, to: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "[kafka]\nbrokers = [\"localhost:1\"]\nstart = \"latest\"\n[rules]\npack = \"none\"\n\
                  directory = \"rules\"\n[state]\ndirectory = \"s\"\n[email]\nhost = \"localhost\"\n\
                  from = \"a@wallet.example\"\n[sms]\nurl = \"https://sms.example/\"\nsecret_file = \"key\"\n\
                  allowed_prefixes = [\"+86\"]\n[webhook.soc]\nurl = \"https://soc.example/\"\nsecret_file = \"key\"\n";
    assert!(config.contains(from), "{from}");
    std::fs::write(folder.path().join("walletwatch.toml"), config.replace(from, to)).expect("written");
    std::fs::write(folder.path().join("key"), format!("whsec_{}", "QUFB".repeat(8))).expect("written");
    std::fs::create_dir(folder.path().join("rules")).expect("a folder");
    std::fs::write(folder.path().join("rules/none.yaml"), "version: 1\nrules: []\n").expect("written");
    let policy = "version: 1\nroutes:\n  - {audience: user, from: high, channels: [email, sms]}\n  \
                  - {audience: security, from: low, channels: [soc]}\n";
    std::fs::write(folder.path().join("rules/policy.yaml"), policy).expect("written");
    folder
}

#[test]
fn one_mistake_is_told_once_and_blames_nothing_else() {
    for (from, to, code) in [
        ("secret_file = \"key\"\nallowed", "secret_file = \"nokey\"\nallowed", "C006"),
        ("url = \"https://sms.example/\"\n", "", "C003"),
        ("url = \"https://sms.example/\"", "url = 5", "C004"),
        ("url = \"https://sms.example/\"", "url = https", "C001"),
        ("[sms]", "[sms", "C001"),
        ("[sms]", "[", "C001"),
        ("[webhook.soc]", "[webhook.soc", "C001"),
        ("[email]", "[email]]", "C001"),
        ("[\"+86\"]", "[\"86\"]", "N042"),
        ("[\"+86\"]", "[86]", "C004"),
        ("[\"+86\"]", "[\"+86\"", "C001"),
        ("[\"+86\"]", "[]", "N041"),
        ("host = \"localhost\"\n", "", "C003"),
        ("host = \"localhost\"", "host = localhost", "C001"),
        ("from = \"a@wallet.example\"", "from = \"a\"", "N050"),
        ("pack = \"none\"", "pack = none", "C001"),
        ("pack = \"none\"", "pack = \"nnoe\"", "C005"),
        ("directory = \"rules\"", "directory = \"rulse\"", "C006"),
        ("directory = \"s\"", "directory = \"s", "C001"),
        ("[state]\ndirectory = \"s\"\n", "", "C003"),
        ("brokers = [\"localhost:1\"]", "brokers = [\"localhost:1\"", "C001"),
        ("start = \"latest\"", "start = \"\"\"latest\"", "C001"),
        ("start = \"latest\"", "start = \"latest\"\nstart = \"latest\"", "C001"),
        ("start = \"latest\"", "start = \"latest\"\nhello world", "C001"),
        ("soc", "sco", "N021"),
    ] {
        let folder = folder_with(from, to);
        let told = told(&check(folder.path(), &[]));
        let codes: Vec<&str> =
            told.lines().filter(|line| line.starts_with("error[")).map(|line| &line[6..10]).collect();
        assert_eq!(codes, [code], "{to}:\n{told}");
    }
    let folder = folder_with("", "");
    assert_eq!(check(folder.path(), &[]).status.code(), Some(0), "{}", told(&check(folder.path(), &[])));
}
