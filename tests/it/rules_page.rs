//! `rules/README.md` does not lie: its blocks are the files of one rule set that is without a warning, passes its
//! tests and is laid out as `rules fmt` would.

use std::path::Path;
use std::process::{Command, Output};

/// Two screens and the examples' own tests.
const LINES_MAX: usize = 200;

fn walletwatch(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(words).env("NO_COLOR", "1").output().expect("it runs")
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/README.md")).expect("the page")
}

/// The blocks of the page as the files they are.
fn files(page: &str) -> Vec<(String, &str)> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let name = |(nth, block): (usize, &str)| match block.starts_with("# overlay.yaml") {
        true => "overlay.yaml".to_owned(),
        false => format!("block-{nth}.yaml"),
    };
    blocks.enumerate().map(|one| (name(one), one.1)).collect()
}

#[test]
fn its_blocks_are_a_rule_set_without_a_warning_whose_tests_pass() {
    let page = page();
    assert!(page.lines().count() <= LINES_MAX, "{} lines", page.lines().count());
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(&page);
    assert!(files.len() >= 4, "{} blocks", files.len());
    for (name, block) in &files {
        std::fs::write(folder.path().join(name), block).expect("written");
    }
    let rules = folder.path().to_string_lossy().into_owned();
    for words in [&["check", "--strict"][..], &["test"], &["fmt", "--check"]] {
        let words: Vec<&str> = ["rules"].iter().chain(words).chain(&["--rules", &rules]).copied().collect();
        let output = walletwatch(&words);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn it_names_every_command_and_aggregate_that_there_is() {
    let page = page();
    for word in ["count", "sum", "rate", "distinct", "spread", "last", "first_seen", "stats", "share", "baseline"] {
        assert!(page.contains(word), "{word}");
    }
    for command in ["check", "test", "mutate", "explain", "fmt", "new", "backtest", "sweep", "diff"] {
        assert!(page.contains(command), "{command}");
        assert_eq!(walletwatch(&["rules", command, "--help"]).status.code(), Some(0), "{command}");
    }
}
