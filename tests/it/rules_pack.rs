//! A team's rules beside the shipped pack: one set, an overlay over both, and commands that read them as `run` does.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use walletwatch::ruleset::{HashKey, Sources, load};

/// A folder with a directory `own` of rules.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join("own").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
    folder
}

/// Runs a command in a folder: its exit code, and what it says.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.args(arguments).current_dir(folder).output().expect("the binary runs");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8")).concat();
    (output.status.code().expect("an exit code"), said)
}

const OWN: &str = "version: 1
lists:
  payroll: {type: account, owner: finance, max_age: 900d, items: [acc-1]}
rules:
  - id: mine
    title: A rule of our own
    owner: fraud
    severity: low
    score: 10
    audience: [security]
    on: transfer
    when: account in lists.payroll
    explain: ours
    runbook: https://example.org/mine
";

const OVERLAY: &str = "version: 1
rules:
  impossible-travel: {state: shadow, score: 40}
  brute-force-many-sources: {params: {failures: 20}}
  new-payee-large:
    exceptions: [{name: payroll, when: account in lists.payroll, reason: scripted, owner: finance, expires: 2037-03-31}]
";

/// A configuration that is right for `check`; it names the directory.
const CONFIG: &str = "[kafka]\nbrokers = [\"localhost:1\"]\nstart = \"latest\"\n[rules]\ndirectory = \"own\"\n\
                      [state]\ndirectory = \"s\"\n";

#[test]
fn a_directory_beside_the_pack_is_one_set_with_it() {
    let folder = folder(&[("own.yaml", OWN), ("overlay.yaml", OVERLAY)]);
    let (code, told) = run(folder.path(), &["rules", "check", "--rules", "own", "--pack", "builtin"]);
    assert_eq!(code, 0, "{told}");
    let shipped = load(&Sources::builtin(), HashKey::new([0; 16]), None).expect("the pack loads").ruleset.rules.len();
    assert!(told.starts_with(&format!("{} rules (", shipped + 1)), "{told}");
    let (code, told) = run(folder.path(), &["rules", "check", "--rules", "own"]);
    assert_eq!(code, 1, "by itself its overlay has nothing to lie over");
    assert!(told.contains("error[R031]: there is no rule `impossible-travel`"), "{told}");
    assert!(told.contains("--> own/overlay.yaml:3:3") && told.contains("--pack builtin"), "{told}");

    // As `run` would read it: the configuration at hand names the directory, and the pack is on by default.
    std::fs::write(folder.path().join("walletwatch.toml"), CONFIG).expect("written");
    let (code, told) = run(folder.path(), &["check"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("rules: 9"), "{told}");
    assert_eq!(run(folder.path(), &["rules", "check", "--rules", "own"]).0, 0);
    assert_eq!(run(folder.path(), &["rules", "check", "--rules", "own", "--pack", "none"]).0, 1);
    let alone = CONFIG.replace("[rules]\n", "[rules]\npack = \"none\"\n");
    std::fs::write(folder.path().join("walletwatch.toml"), alone).expect("written");
    assert_eq!(run(folder.path(), &["rules", "check", "--rules", "own"]).0, 1);
    assert_eq!(run(folder.path(), &["check"]).0, 1);
}

#[test]
fn a_name_of_the_pack_taken_again_is_told_with_both_places() {
    let own =
        OWN.replace("id: mine", "id: anonymiser").replace("payroll:", "tor_exits:").replace(".payroll", ".tor_exits");
    let folder = folder(&[("own.yaml", &own)]);
    let (code, told) = run(folder.path(), &["rules", "check", "--rules", "own", "--pack", "builtin"]);
    assert_eq!(code, 1);
    for words in [
        "there is a list `tor_exits` already",
        "--> own/own.yaml:3:3",
        "there are two rules with the id `anonymiser`",
        "--> own/own.yaml:5:9",
        "the first one stands at <builtin>/",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn a_list_of_the_teams_own_stands_in_place_of_the_packs() {
    let folder = folder(&[("lists/tor_exits.txt", "192.0.2.1\nnot an address\n")]);
    let (code, told) = run(folder.path(), &["rules", "check", "--rules", "own", "--pack", "builtin"]);
    assert_eq!(code, 1);
    assert!(told.contains("own/lists/tor_exits.txt:2:1"), "{told}");
    std::fs::write(folder.path().join("own/lists/tor_exits.txt"), "192.0.2.1\n").expect("written");
    let (code, told) = run(folder.path(), &["rules", "check", "--rules", "own", "--pack", "builtin"]);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn tests_run_on_the_files_own_values_and_once_more_with_the_overlays() {
    let text = include_str!("../data/rules/overlaid.yaml");
    let overlay = "version: 1\nrules:\n  guessing: {params: {most: 20}}\n";
    let folder = folder(&[("overlaid.yaml", text), ("overlay.yaml", overlay)]);
    let (code, told) = run(folder.path(), &["rules", "test", "--rules", "own"]);
    assert_eq!(code, 0, "a warning, never a refusal: {told}");
    assert!(told.contains("failed with the overlay: guessing: eight"), "{told}");
    assert!(
        told.ends_with("2 tests: 2 passed, 0 failed; with the overlay 1 more fail, which refuses nothing\n"),
        "{told}"
    );
    let (_, told) = run(folder.path(), &["rules", "test", "--rules", "own", "--format", "json"]);
    let outcomes: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let outcomes: Vec<&str> = outcomes.iter().filter_map(|line| line["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["passed", "passed", "failed_with_overlay"]);
}

#[test]
fn a_copy_of_the_pack_is_the_pack_and_is_compared_three_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join("own").join(name);
    let (code, told) = run(folder.path(), &["rules", "eject", "own"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("the pack of walletwatch") && told.contains("b3:"), "{told}");
    assert!(at("runbooks/impossible-travel.md").is_file() && at("lists/tor_exits.txt").is_file());
    assert_eq!(run(folder.path(), &["rules", "check", "--rules", "own", "--strict"]).0, 0);
    assert_eq!(run(folder.path(), &["rules", "test", "--rules", "own"]).0, 0);
    let (code, told) = run(folder.path(), &["rules", "eject", "own"]);
    assert_eq!(code, 64, "it is not empty: {told}");
    assert_eq!(run(folder.path(), &["rules", "diff", "--rules", "own"]).0, 0, "nothing differs");
    assert_eq!(run(folder.path(), &["rules", "diff", "--old", "own", "--new", "builtin"]).0, 0);

    // The team changes one; the pack, as far as the originals say, has changed another, and both a third.
    let change = |file: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(at(file)).expect("the file");
        assert!(text.contains(from), "{from} in {file}");
        std::fs::write(at(file), text.replacen(from, to, 1)).expect("written");
    };
    change("guessing.yaml", "failures: {value: 10,", "failures: {value: 12,");
    change("guessing.yaml", "version: 1\n", "version: 1 # ours\n\n");
    change(".pack/money.yaml", "score: 50", "score: 45");
    change("money.yaml", "score: 50", "score: 45");
    change(".pack/guessing.yaml", "score: 60", "score: 55");
    change("logins.yaml", "title: Many", "title: Too many");
    let (code, told) = run(folder.path(), &["rules", "diff", "--rules", "own"]);
    assert_eq!(code, 1, "the pack has changed: {told}");
    assert!(told.contains("brute-force-many-sources"), "{told}");
    insta::assert_snapshot!("three_ways", told.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    let (_, json) = run(folder.path(), &["rules", "diff", "--rules", "own", "--format", "json"]);
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mine = rows.iter().find(|row| row["name"] == "brute-force-account").expect("a row");
    assert_eq!((mine["change"].as_str(), &mine["yours"]), (Some("you_changed"), &serde_json::json!(["title"])));
    // Looked at and taken over.
    assert_eq!(run(folder.path(), &["rules", "eject", "--record", "own"]).0, 0);
    assert_eq!(run(folder.path(), &["rules", "diff", "--rules", "own"]).0, 0, "what is yours alone needs no look");
    assert_eq!(run(folder.path(), &["rules", "diff", "--old", "own", "--new", "builtin"]).0, 1);
    assert_eq!(run(folder.path(), &["rules", "diff", "--rules", "nowhere"]).0, 66);
}

#[test]
fn a_rule_that_changed_under_its_old_revision_is_told() {
    let text = include_str!("../data/rules/overlaid.yaml");
    let folder = folder(&[("r.yaml", text)]);
    let base = folder.path().join("base");
    std::fs::create_dir(&base).expect("a folder");
    std::fs::write(base.join("r.yaml"), text).expect("written");
    let check = |changed: &str| {
        std::fs::write(folder.path().join("own/r.yaml"), changed).expect("written");
        run(folder.path(), &["rules", "check", "--rules", "own", "--base", "base"])
    };
    assert_eq!(check(text).0, 0);
    assert_eq!(check(&text.replace("title: Many", "title: Too many")).0, 0);
    let wider = text.replace("over: 10m", "over: 20m");
    let (code, told) = check(&wider);
    assert_eq!(code, 1);
    insta::assert_snapshot!("not_raised", told);
    assert_eq!(check(&wider.replace("revision: 3", "revision: 4")).0, 0);
    std::fs::write(base.join("r.yaml"), "version: 1\nrulse: []\n").expect("written");
    let (code, told) = check(text);
    assert_eq!(code, 1);
    assert!(told.contains("the base in base does not load"), "{told}");
}

#[test]
fn replay_reads_rules_with_the_pack_as_the_other_commands_do() {
    let folder = folder(&[("own.yaml", OWN)]);
    let payroll = r#"{"id":"t1","type":"transfer","time":"2026-03-01T10:00:00Z","account":"acc-1","amount":"5","currency":"CNY","payee":"p"}"#;
    std::fs::write(folder.path().join("events"), format!("{payroll}\n")).expect("written");
    let replay = |more: &[&str]| {
        let words = [&["replay", "events", "--no-progress", "--summary", "-"], more].concat();
        let (code, told) = run(folder.path(), &words);
        assert_eq!(code, 0, "{more:?}: {told}");
        let told: Value = serde_json::from_str(&told).expect("JSON");
        told["rules"].as_str().expect("a digest").to_owned()
    };
    let pack = replay(&[]);
    let own = replay(&["--rules", "own"]);
    let both = replay(&["--rules", "own", "--pack", "builtin"]);
    assert!(pack != own && own != both && both != pack);
    assert_eq!(replay(&["--rules", "builtin"]), pack);
    // The configuration at hand names the directory, and leaves the pack beside it.
    std::fs::write(folder.path().join("walletwatch.toml"), CONFIG).expect("written");
    assert_eq!(replay(&["--rules", "own"]), both);
    assert_eq!(replay(&["--rules", "own", "--pack", "none"]), own);
    let (code, told) = run(folder.path(), &["replay", "events", "--pack", "builtin"]);
    assert!(code == 64 && told.contains("--rules"), "{code} {told}");
}
