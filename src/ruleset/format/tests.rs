//! The layout of rule files: nothing of what they say changes, and a second time changes nothing.

use std::path::{Path, PathBuf};

use super::*;
use crate::ruleset::{HashKey, Sources, load};

fn formatted(text: &str) -> Result<String, String> {
    let file = Arc::new(SourceFile { path: "x.yaml".to_owned(), text: text.to_owned() });
    let mut problems = Vec::new();
    format(&file, &mut problems).ok_or_else(|| crate::report::render(&problems, false))
}

#[test]
fn a_file_written_in_a_hurry() {
    let text = include_str!("../../../tests/data/rules/unformatted.yaml");
    let once = formatted(text).expect("it can be read");
    insta::assert_snapshot!(once);
    assert_eq!(formatted(&once).as_deref(), Ok(once.as_str()), "a second time changes nothing");
}

#[test]
fn what_cannot_be_read_is_told_and_left_alone() {
    insta::assert_snapshot!(formatted("version: 1\nrules:\n  - id: x\n    when: !a\n").expect_err("a tag"));
    assert_eq!(formatted("# nothing\n").as_deref(), Ok("# nothing\n"));
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
}

/// All rule files of the project, good and bad.
fn corpus() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    yaml_files(&root.join("rules"), &mut found);
    yaml_files(&root.join("tests/data"), &mut found);
    found.into_iter().filter_map(|path| Some((path.clone(), std::fs::read_to_string(&path).ok()?))).collect()
}

/// What of a rule set its files' layout must not change.
fn meaning(text: &str) -> Option<String> {
    let mut sources = Sources::new("");
    sources.add("x.yaml", text, None);
    for list in ["lists/tor_exits.txt", "lists/l.txt"] {
        sources.add(list, "", None);
    }
    let loaded = load(&sources, HashKey::new([0; 16]), None).ok()?;
    let rules = loaded.ruleset.rules.iter().map(|rule| {
        let tests: Vec<String> =
            rule.tests.iter().map(|t| format!("{} {:?} {:?}", t.name, t.set, entries(&t.entries))).collect();
        format!(
            "{} {} {} {:?} {:?} {:?} {:?} {:?} {:?}",
            rule.id, rule.title, rule.score, rule.state, rule.on, rule.dedup, rule.explain, rule.evidence, tests
        )
    });
    let features = loaded.ruleset.features.iter().map(|f| format!("{} {:x}", f.name, f.identity));
    Some(features.chain(rules).collect::<Vec<_>>().join("\n"))
}

fn entries(entries: &[crate::ruleset::TestEntry]) -> Vec<String> {
    let told = |e: &crate::ruleset::TestEntry| {
        format!("{:?} {} {} {} {:?}", e.json, e.after_ms, e.every_ms, e.repeat, e.expect)
    };
    entries.iter().map(told).collect()
}

/// A text as somebody else's editor would have left it: other indents, blanks at the ends of lines.
fn disturbed(text: &str) -> String {
    let line = |line: &str| {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        let rest = line.trim_start_matches(' ');
        let rest = rest.strip_prefix("- ").map_or_else(|| rest.to_owned(), |item| format!("-   {item}"));
        format!("{}{rest}  \r\n", " ".repeat(blanks * 2))
    };
    text.lines().map(line).collect()
}

#[test]
fn no_file_of_ours_changes_its_meaning_and_a_second_time_changes_nothing() {
    let (mut read, mut loaded) = (0, 0);
    for (path, text) in corpus() {
        for text in [disturbed(&text), text] {
            let Ok(once) = formatted(&text) else { continue };
            read += 1;
            assert_eq!(formatted(&once).as_deref(), Ok(once.as_str()), "{}", path.display());
            if let Some(before) = meaning(&text) {
                loaded += 1;
                assert_eq!(meaning(&once), Some(before), "{}", path.display());
            }
            let comments = |text: &str| text.matches('#').count();
            assert_eq!(comments(&once), comments(&text), "{}", path.display());
        }
    }
    assert!(read > 60 && loaded > 10, "{read} read, {loaded} loaded");
}

#[test]
fn the_shipped_rules_are_formatted() {
    for (path, text) in corpus().into_iter().filter(|(path, _)| path.parent().is_some_and(|p| p.ends_with("rules"))) {
        if path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        assert!(formatted(&text).as_deref() == Ok(text.as_str()), "`rules fmt` changes {}", path.display());
        let mended = formatted(&disturbed(&text)).unwrap_or_else(|told| panic!("{}: {told}", path.display()));
        let differs = mended.lines().zip(text.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{}", path.display());
    }
}

#[test]
fn texts_and_lone_dashes_of_other_hands_are_laid_out() {
    let cases = [
        // Empty lines at the end of a text that keeps them go with it, and its lines stay as deep as it says.
        (
            "rules:\n- tests:\n  -   {name: a}\n  description: >+\n     keep\n\n     this\n\n\n  id:   x\n",
            "rules:\n  - id: x\n    description: >+\n      keep\n\n      this\n\n\n    tests:\n      - {name: a}\n",
        ),
        (
            "rules:\n- id: x\n  explain: |2\n      deep\n\n\n    less\n  title: t\n",
            "rules:\n  - id: x\n    title: t\n    explain: |2\n        deep\n\n\n      less\n",
        ),
        (
            "rules:\n      - id: x\n        explain: |1-\n           deep\n         less\n",
            "rules:\n  - id: x\n    explain: |1-\n       deep\n     less\n",
        ),
        (
            "rules:\n  - id: x\n    explain: |+ # all of it\n     one\n\n\n",
            "rules:\n  - id: x\n    explain: |+ # all of it\n      one\n\n\n",
        ),
        (
            "rules:\n -\n  title: t\n  id: x\n # second\n -\n  id: y\n  # of tests\n  tests:\n  -\n   {name: a,\n     set: {}}\n",
            "rules:\n  - id: x\n    title: t\n  # second\n  - id: y\n    # of tests\n    tests:\n      - {name: a, set: {}}\n",
        ),
    ];
    for (text, wanted) in cases {
        let file = Arc::new(SourceFile { path: "x.yaml".to_owned(), text: text.to_owned() });
        let mut problems = Vec::new();
        let once = format(&file, &mut problems).expect("it can be read");
        let told = crate::report::render(&problems, false);
        assert_eq!((once.as_str(), told.as_str()), (wanted, ""), "{text}");
        assert_eq!(formatted(&once).as_deref(), Ok(once.as_str()), "a second time changes nothing");
    }
}

#[test]
fn what_stays_in_another_layout_is_told() {
    let list_in_list = "version: 1\nrules:\n  - id: x\n    tests:\n      - - {name: a}\n        - {name: b}\n";
    let commented_dash = "version: 1\nrules:\n  -\n    # first\n    id: x\n";
    let text_in_list = "version: 1\nrules:\n  - id: x\n    references:\n      - |\n        a text\n";
    let told: Vec<String> = [list_in_list, commented_dash, text_in_list, "{version: 1,\n  rules: []}\n"]
        .into_iter()
        .map(|text| {
            let file = Arc::new(SourceFile { path: "x.yaml".to_owned(), text: text.to_owned() });
            let mut problems = Vec::new();
            format(&file, &mut problems).expect("it can be read");
            assert!(problems.iter().all(|problem| problem.level == crate::report::Level::Warning));
            crate::report::render(&problems, false)
        })
        .collect();
    insta::assert_snapshot!(told.join("----\n"));
    for (path, text) in corpus().into_iter().filter(|(path, _)| path.parent().is_some_and(|p| p.ends_with("rules"))) {
        let file = Arc::new(SourceFile { path: path.display().to_string(), text });
        let mut problems = Vec::new();
        let is_read = format(&file, &mut problems).is_some();
        assert!(!is_read || problems.is_empty(), "{}", crate::report::render(&problems, false));
    }
}
