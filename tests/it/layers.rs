//! The architecture's arrows: which stage may use which. A `use crate::…` (or a path `crate::…`) that goes
//! against the flow fails here, with file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// Each stage and what it may use besides itself and [`ANYBODY_MAY_USE`].
const MAY_USE: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("clock", &["event"]),
    ("report", &[]),
    ("secret", &[]),
    ("yaml", &[]),
    ("disk", &[]),
    ("failpoint", &[]),
    ("mutant", &[]),
    ("telemetry", &["event"]),
    ("geo", &["event"]),
    ("ingest", &["event", "clock"]),
    ("ruleset", &["event"]),
    ("sim", &["event"]),
    ("features", &["event", "ruleset"]),
    ("detect", &["event", "geo", "ruleset", "features"]),
    ("tuning", &["event", "geo", "ruleset", "features", "detect"]),
    ("alert", &["event", "ruleset", "detect"]),
    ("deliver", &["event", "ruleset", "detect", "alert", "clock"]),
    ("config", &["event", "geo", "ingest", "ruleset", "features", "detect", "alert", "deliver"]),
];

/// What every stage may use.
const ANYBODY_MAY_USE: &[&str] = &["disk", "failpoint", "mutant", "report", "secret", "telemetry", "yaml"];

/// What joins the stages and may use all of them.
const JOINS: &[&str] = &["app", "cli", "lib", "main", "shutdown"];

/// Stages whose outcome may depend on nothing but their arguments.
const PURE: &[&str] = &["yaml", "event", "ruleset", "features", "detect", "tuning", "sim"];

/// What a pure stage never says.
const IMPURE: &[&str] = &["std::fs", "std::net::Tcp", "std::time::SystemTime", "Instant::now", "tokio::", "async fn"];

/// Files and folders of pure stages whose name says that they read files.
const NAMED_FOR_IO: &[&str] = &["ruleset/files.rs", "ruleset/reload.rs", "features/store/"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The files under `src` with their path from there, and their text up to the tests.
fn tree() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).expect("a source file");
        let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
        (name, body)
    };
    found.into_iter().map(read).filter(|(name, _)| !name.ends_with("tests.rs") && !name.contains("/tests/")).collect()
}

fn stage(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// The stages named after `crate::` on a line of code.
fn used(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split([',', '}']).map(str::trim).collect::<Vec<_>>(),
            None => vec![rest],
        })
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn stages_use_only_what_lies_before_them() {
    let mut wrong = Vec::new();
    for (file, text) in tree() {
        let stage = stage(&file).to_owned();
        if JOINS.contains(&stage.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == stage) else {
            wrong.push(format!("src/{file}: the stage `{stage}` has no row in this test"));
            continue;
        };
        for (at, line) in text.lines().enumerate() {
            for name in used(line) {
                let known = MAY_USE.iter().any(|(n, _)| *n == name) || JOINS.contains(&name);
                let may = name == stage || allowed.contains(&name) || ANYBODY_MAY_USE.contains(&name);
                if known && !may {
                    wrong.push(format!("src/{file}:{}: `{stage}` may not use `{name}`", at + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_stages_do_no_io_and_read_no_clock() {
    let mut wrong = Vec::new();
    for (file, text) in tree() {
        if !PURE.contains(&stage(&file)) || NAMED_FOR_IO.iter().any(|io| file.starts_with(io)) {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in IMPURE.iter().filter(|word| code.contains(*word)) {
                wrong.push(format!("src/{file}:{}: `{word}` in a pure stage", at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    let silent: Vec<String> =
        tree().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(file, _)| file).collect();
    assert!(silent.is_empty(), "no //! at the top of {silent:?}");
}

#[test]
fn the_reader_of_arrows_sees_them() {
    assert_eq!(used("use crate::event::{Event, Value};"), ["event"]);
    assert_eq!(used("use crate::{app, deliver::email};"), ["app", "deliver"]);
    assert_eq!(used("    let x = crate::alert::desk::Desk::open();"), ["alert"]);
    assert!(used("// crate::alert is a stage").is_empty());
}
