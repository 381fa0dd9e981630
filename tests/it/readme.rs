//! The README does not lie: its files are there, its commands and options exist, its configuration passes `check`,
//! its rule is the shipped one, and every exit code has its line. What its sentences say nobody can test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const LINES_MAX: usize = 120;
/// The first page should not take longer to come than to read.
const PICTURE_BYTES_MAX: u64 = 150_000;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn walletwatch(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(words).env("NO_COLOR", "1").output().expect("it runs")
}

/// The blocks of one language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn it_is_short_and_what_it_points_to_is_there() {
    let page = text("README.md");
    assert!(page.lines().count() <= LINES_MAX, "{} lines", page.lines().count());
    let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let pictures = page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let ours: Vec<&str> = links.chain(pictures).filter(|link| !link.starts_with("https://")).collect();
    assert!(ours.len() > 8, "{ours:?}");
    for link in ours {
        assert!(path(link).exists(), "{link} is not there");
        if link.ends_with(".png") {
            let bytes = path(link).metadata().expect("a file").len();
            assert!(bytes <= PICTURE_BYTES_MAX, "{link}: {bytes} bytes");
        }
    }
    let toml: toml::Table = text("Cargo.toml").parse().expect("TOML");
    let rust = toml["package"]["rust-version"].as_str().expect("a version");
    assert!(page.contains(&format!("Rust {rust} or newer")), "Rust {rust}");
}

#[test]
fn its_configuration_passes_the_check() {
    let page = text("README.md");
    let [configuration] = blocks(&page, "toml")[..] else { panic!("one configuration") };
    assert_eq!(configuration.lines().count(), 5, "five lines, it says");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("walletwatch.toml");
    std::fs::write(&file, configuration).expect("it is written");
    let checked = walletwatch(&["check", "--config", &file.to_string_lossy()]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
    assert!(said.contains("rules: 9"), "nine rules ship, it says: {said}");
}

#[test]
fn its_commands_and_their_options_exist() {
    let page = text("README.md");
    let inline = page.split('`').filter(|part| part.starts_with("walletwatch ") || part.starts_with("--"));
    let fenced = blocks(&page, "sh").into_iter().flat_map(str::lines).filter(|line| line.contains("walletwatch "));
    let commands: Vec<&str> = inline.chain(fenced).collect();
    assert!(commands.len() >= 9, "{commands:?}");
    for command in commands {
        // An option alone is one of the demo.
        let command = command.strip_prefix("walletwatch ").unwrap_or(command).split('#').next().unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().collect();
        let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
        let mut named: Vec<&str> = words.iter().take_while(is_name).copied().collect();
        if named.is_empty() {
            named.push("demo");
        }
        named.push("--help");
        let help = walletwatch(&named);
        assert!(help.status.success(), "{named:?} is no command");
        let help = String::from_utf8_lossy(&help.stdout);
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
                "{named:?}: {option}"
            );
        }
    }
}

#[test]
fn its_rule_is_the_shipped_one() {
    let (page, pack) = (text("README.md"), text("rules/money.yaml"));
    let [rule] = blocks(&page, "yaml")[..] else { panic!("one rule") };
    let mut pack = pack.lines();
    for line in rule.lines() {
        assert!(pack.any(|shipped| shipped == line), "not in rules/money.yaml, or not there: {line}");
    }
}

#[test]
fn every_exit_code_has_its_line() {
    let (page, source) = (text("README.md"), text("src/cli/mod.rs"));
    let kinds =
        source.split("pub enum Exit {").nth(1).and_then(|rest| rest.split("\n}").next()).expect("the exit codes");
    let codes: Vec<&str> = kinds.lines().filter_map(|line| line.split_once(" = ")?.1.strip_suffix(',')).collect();
    assert_eq!(codes.len(), 11, "{codes:?}");
    for code in codes {
        assert!(page.contains(&format!("\n| {code} | ")), "exit code {code} has no line");
    }
}
