//! Mappings from the outside: the shipped ones on their vendors' documented records, what is told about mistakes,
//! and the commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use walletwatch::event::mapping::{self, Mapped, Origin};
use walletwatch::event::{Limits, Millis, TIME_MS_MAX, encode};
use walletwatch::report::render;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of a folder with this ending, sorted.
fn files(path: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(path)).expect("the folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == ending));
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

fn walletwatch(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(args).current_dir(folder("")).env("NO_COLOR", "1").output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

// === What ships ===

/// Each sample stands beside what it becomes: every field that rules use is there, and nothing else is made up.
#[test]
fn the_vendors_records_become_our_events() {
    for builtin in mapping::builtin() {
        let mapping = builtin.load().unwrap_or_else(|problems| panic!("{}", render(&problems, false)));
        let samples = files(&format!("tests/data/mappings/{}", builtin.name), "json");
        assert!(samples.len() >= 4, "{} samples of {}", samples.len(), builtin.name);
        let mut told = String::new();
        for (sample, offset) in samples.iter().zip(1..) {
            let bytes = std::fs::read(sample).expect("a sample");
            let stamp = Some(Millis(1_795_316_646_000));
            let origin = Origin { topic: "events", partition: 0, offset, stamp, key: Some(b"key-1") };
            let mapped = mapping.decode(Some(&bytes), &origin, Millis(TIME_MS_MAX), &Limits::default());
            let became = match mapped {
                Ok(Mapped::Event(decoded)) => {
                    let mut json = Vec::new();
                    encode(&decoded.event, &mut json).expect("JSON");
                    text(&json).replace("\",\"", "\",\n  \"").replace(",\"geo\":", ",\n  \"geo\":")
                }
                Ok(Mapped::Ignored(reason)) => format!("ignored: {reason}"),
                Err(rejection) => format!("rejected: {rejection}"),
            };
            told.push_str(&format!("{}\n  {became}\n\n", name(sample)));
        }
        insta::assert_snapshot!(format!("samples_of_{}", builtin.name), told);
    }
}

#[test]
fn what_ships_is_right_passes_its_tests_and_each_of_its_entries_is_tested() {
    for builtin in mapping::builtin() {
        let mapping = builtin.load().unwrap_or_else(|problems| panic!("{}", render(&problems, false)));
        assert_eq!(mapping.name(), builtin.name);
        assert_eq!(render(&mapping::failed(&mapping), false), "");
        assert_eq!(render(&mapping::untested(&mapping), false), "");
    }
    let shipped: Vec<String> = files("rules/mappings", "yaml").iter().map(|file| name(file)).collect();
    let compiled_in: Vec<&str> = mapping::builtin().iter().map(|builtin| builtin.name).collect();
    assert_eq!(shipped, compiled_in);
}

// === Mistakes ===

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let mistakes = files("tests/data/mappings/mistakes", "yaml");
    assert!(mistakes.len() >= 12, "{}", mistakes.len());
    for file in mistakes {
        let bytes = std::fs::read(&file).expect("a file");
        let shown = format!("mappings/{}.yaml", name(&file));
        let told = match mapping::load_bytes(&shown, &bytes) {
            Err(problems) => render(&problems, false),
            Ok(mapping) => {
                let problems = [mapping::failed(&mapping), mapping::untested(&mapping)].concat();
                assert!(!problems.is_empty(), "{shown} has no mistake");
                render(&problems, false)
            }
        };
        insta::assert_snapshot!(format!("mistake_{}", name(&file)), told);
    }
}

#[test]
fn a_file_that_is_not_utf8_is_told_where_it_begins() {
    let problems = mapping::load_bytes("mappings/x.yaml", b"version: 1\nname: \xff\n").expect_err("not UTF-8");
    assert!(render(&problems, false).contains("mappings/x.yaml:2:7"));
}

// === The commands ===

#[test]
fn check_says_yes_no_or_that_there_is_no_file() {
    let good = walletwatch(&["mapping", "check", "rules/mappings/keycloak.yaml", "okta"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    insta::assert_snapshot!(text(&good.stdout));
    let bad = walletwatch(&["mapping", "check", "tests/data/mappings/mistakes/field-unknown.yaml", "keycloak"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stdout).contains("tests/data/mappings/mistakes/field-unknown.yaml:5:3"), "{}", text(&bad.stdout));
    let json =
        walletwatch(&["mapping", "check", "tests/data/mappings/mistakes/field-unknown.yaml", "--format", "json"]);
    assert_eq!(json.status.code(), Some(1));
    let first: serde_json::Value =
        serde_json::from_str(text(&json.stdout).lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["code"], &first["line"], &first["column"]), (&"M007".into(), &5.into(), &3.into()));
    assert_eq!(walletwatch(&["mapping", "check", "nowhere.yaml"]).status.code(), Some(66));
    let misspelt = walletwatch(&["mapping", "check", "keycloack"]);
    assert_eq!(misspelt.status.code(), Some(66));
    assert!(text(&misspelt.stderr).contains("did you mean `keycloak`"), "{}", text(&misspelt.stderr));
    let folder = tempfile::tempdir().expect("a folder");
    let one = folder.path().join("one.yaml");
    let lines = "version: 1\nname: one\nrecords:\n  - ignore: all\ntests:\n  - {name: t, given: {}, expect: ignored}\n";
    std::fs::write(&one, lines).expect("a mapping");
    let one = one.to_string_lossy();
    assert!(text(&walletwatch(&["mapping", "check", &one]).stdout).ends_with(": 1 entry, 1 test\n"));
    assert_eq!(text(&walletwatch(&["mapping", "test", &one]).stdout), "1 test: 1 passed, 0 failed\n");
    assert_eq!(walletwatch(&["mapping", "check"]).status.code(), Some(64));
}

#[test]
fn test_tells_what_was_expected_and_what_came() {
    let good = walletwatch(&["mapping", "test", "keycloak", "auth0"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stdout));
    let bad = walletwatch(&["mapping", "test", "tests/data/mappings/mistakes/tests-that-fail.yaml"]);
    assert_eq!(bad.status.code(), Some(1));
    insta::assert_snapshot!(text(&bad.stdout));
    let json =
        walletwatch(&["mapping", "test", "tests/data/mappings/mistakes/tests-that-fail.yaml", "--format", "json"]);
    insta::assert_snapshot!(text(&json.stdout));
    assert_eq!(walletwatch(&["mapping", "test", "nowhere.yaml"]).status.code(), Some(66));
}

#[test]
fn show_gives_what_ships_and_names_it() {
    let shown = walletwatch(&["mapping", "show", "okta"]);
    assert_eq!(shown.stdout, std::fs::read(folder("rules/mappings/okta.yaml")).expect("it ships"));
    let unknown = walletwatch(&["mapping", "show", "octa"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown.stderr).contains("did you mean `okta`?"), "{}", text(&unknown.stderr));
}

// === The page ===

/// One fenced block of a page: its words after the fence, and its text.
fn blocks(page: &str) -> Vec<(Vec<&str>, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(words) = line.strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((words.split(' ').collect(), text.join("\n")));
    }
    blocks
}

/// Each file of the page is written, each command run, and what follows a command is what it says.
#[test]
fn the_page_does_not_lie() {
    let page = std::fs::read_to_string(folder("rules/mappings/README.md")).expect("the page");
    let place = tempfile::tempdir().expect("a folder");
    let bin = Path::new(env!("CARGO_BIN_EXE_walletwatch")).parent().expect("a folder").to_path_buf();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut said: Option<String> = None;
    let (mut files, mut commands, mut answers) = (0, 0, 0);
    for (words, block) in blocks(&page) {
        match words.as_slice() {
            ["yaml" | "json" | "toml", name] => {
                std::fs::write(place.path().join(name), block + "\n").expect("written");
                files += 1;
            }
            ["sh"] => {
                let mut command = Command::new("sh");
                let ran =
                    command.args(["-ec", &block]).current_dir(place.path()).env("PATH", &path).env("NO_COLOR", "1");
                let output = ran.output().expect("a shell");
                assert!(output.status.success(), "{block}\n{}{}", text(&output.stdout), text(&output.stderr));
                said = Some(text(&output.stdout));
                commands += 1;
            }
            ["text"] => {
                let said = said.take().expect("a command before its answer");
                assert_eq!(said.trim_end(), block, "what the page says is on the right");
                answers += 1;
            }
            other => panic!("a block that nobody runs: {other:?}"),
        }
    }
    assert_eq!((files, commands, answers), (3, 4, 3));
}
