//! `rules/README.md` does not lie: its blocks are the files of one rule set that is without a warning, passes its
//! tests and is laid out as `rules fmt` would; with the tests of `tests/data/rules/page/`, which would make the page
//! long, no change of a number or an arm goes unnoticed. It names every key, aggregate, function and command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use walletwatch::event::Field;

/// Two screens, the examples included.
const LINES_MAX: usize = 112;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn walletwatch(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(words).env("NO_COLOR", "1").output().expect("it runs")
}

/// Runs `walletwatch rules …` over the files: exit code and what was said.
fn run(files: &[(String, String)], words: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let rules = folder.path().to_string_lossy().into_owned();
    let words: Vec<&str> = ["rules"].iter().chain(words).chain(&["--rules", &rules]).copied().collect();
    let output = walletwatch(&words);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

fn page() -> String {
    std::fs::read_to_string(path("rules/README.md")).expect("the page")
}

/// The blocks of the page as the files they are.
fn files(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let name = |(nth, block): (usize, &str)| match block.starts_with("# overlay.yaml") {
        true => "overlay.yaml".to_owned(),
        false => format!("block-{nth}.yaml"),
    };
    blocks.enumerate().map(|one| (name(one), one.1.to_owned())).collect()
}

const RULE: &str = "\n  - id: ";

/// A block with the tests of its rules that stand beside the page.
fn tested(block: &str) -> String {
    let mut parts = block.split(RULE);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for rule in parts {
        let id = rule.lines().next().unwrap_or_default();
        let tests = path("tests/data/rules/page").join(format!("{id}.yaml"));
        let tests = std::fs::read_to_string(&tests).unwrap_or_else(|error| panic!("{}: {error}", tests.display()));
        let tests: String = tests.lines().map(|line| format!("\n      {line}")).collect();
        let rule = rule.trim_end();
        let key = if rule.contains("\n    tests:") { "" } else { "\n    tests:" };
        whole.extend([RULE, rule, key, &tests]);
    }
    whole + "\n"
}

#[test]
fn its_blocks_are_a_rule_set_without_a_warning_whose_tests_pass() {
    let page = page();
    assert!(page.lines().count() <= LINES_MAX, "{} lines", page.lines().count());
    let files = files(&page);
    assert!(files.len() >= 3, "{} blocks", files.len());
    for words in [&["check", "--strict"][..], &["test"], &["fmt", "--check"]] {
        let (code, said) = run(&files, words);
        assert_eq!(code, Some(0), "{words:?}: {said}");
    }
}

#[test]
fn no_change_of_its_rules_goes_unnoticed() {
    let rules = files(&page()).into_iter().filter(|(name, _)| name != "overlay.yaml");
    let files: Vec<_> = rules.map(|(name, block)| (name, tested(&block))).collect();
    for words in [&["check", "--strict"][..], &["test"], &["fmt", "--check"]] {
        let (code, said) = run(&files, words);
        assert_eq!(code, Some(0), "{words:?}: {said}");
    }
    let (code, said) = run(&files, &["mutate"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" mutants: ") && said.contains(", 0 survived, 0 kept with a reason"), "{said}");
}

/// Every key of an object in the schema of rule files.
fn keys(schema: &serde_json::Value, into: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                into.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| keys(value, into));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|value| keys(value, into)),
        _ => {}
    }
}

#[test]
fn it_names_every_key_aggregate_function_and_command() {
    let page = page();
    let is_named = |word: &str| page.split(|c: char| !c.is_alphanumeric() && c != '_').any(|one| one == word);
    let schema = walletwatch(&["rules", "schema"]).stdout;
    let mut all = Vec::new();
    keys(&serde_json::from_slice(&schema).expect("a schema"), &mut all);
    // The fields that a test's events may have are the schema's of events, and none of the language.
    let of_events = ["contact", "old", "latitude", "longitude", "geo.latitude", "geo.longitude"];
    let is_field = |key: &str| Field::parse(key).is_some() || of_events.contains(&key);
    let lacking: Vec<&String> = all.iter().filter(|key| !is_field(key) && !is_named(key)).collect();
    assert!(lacking.is_empty(), "the page does not name {lacking:?}");
    for function in [
        "distance_km",
        "speed_kmh",
        "lower",
        "starts_with",
        "ends_with",
        "contains",
        "matches",
        "domain",
        "hour",
        "weekday",
        "day_of_month",
        "abs",
        "min",
        "max",
    ] {
        assert!(is_named(function), "{function}");
    }
    for command in ["check", "test", "mutate", "explain", "explain-code", "fmt", "new", "backtest", "sweep", "diff"] {
        assert!(page.contains(command), "{command}");
        assert_eq!(walletwatch(&["rules", command, "--help"]).status.code(), Some(0), "{command}");
    }
}
