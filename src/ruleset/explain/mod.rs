//! What each code means: why it is told, a wrong example and the mended one.
//!
//! Guarantees: every code of rule files and of the tools that work with them has an entry; its wrong example is told
//! that code and its mended one loads without it, which a test runs. Does not load anything itself.

use super::codes;

/// The entries, a file for each family of codes.
const FAMILIES: &[&str] = &[
    include_str!("yaml.md"),
    include_str!("expression.md"),
    include_str!("type.md"),
    include_str!("rule.md"),
    include_str!("warning.md"),
    include_str!("tool.md"),
];

/// What is known about a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The code, such as `T003`.
    pub code: &'static str,
    /// Its meaning in one line.
    pub meaning: &'static str,
    /// Why it is told.
    pub why: String,
    /// A wrong example and the mended one; none where they would be too long to be read.
    pub examples: Option<(Example, Example)>,
}

/// A piece of a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// What it is a piece of.
    pub of: Piece,
    /// Its text, with a line end.
    pub text: String,
}

/// What an example is a piece of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The condition of a rule on logins.
    Condition,
    /// The condition of a rule on transfers.
    TransferCondition,
    /// Keys of a rule.
    Rule,
    /// A rule file.
    File,
    /// The policy.
    Policy,
}

/// What stands around an example, so that it is a whole rule file.
const FRAME_SECTIONS: &str = "features:
  fails: {count: login, where: result == \"failure\", by: account, over: 10m}
  last_ok: {last: login, where: result == \"success\", by: account, over: 90d}
defs:
  guessing: fails > 3
lists:
  vip: {type: account, owner: team, max_age: 400d, items: [a1]}
  office: {type: ip, owner: team, max_age: 400d, items: [198.51.100.0/24]}
amounts:
  large: {CNY: 5000, USD: 700}
";
/// The keys of the rule around an example.
const FRAME_RULE: &[(&str, &str)] = &[
    ("id", "example"),
    ("title", "an example"),
    ("owner", "team"),
    ("severity", "low"),
    ("score", "10"),
    ("on", "login"),
    ("audience", "[security]"),
    ("when", "fails > 3"),
    ("explain", "words"),
    ("runbook", "https://example.org/runbook"),
];

impl Piece {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "when" => Piece::Condition,
            "when-transfer" => Piece::TransferCondition,
            "rule" => Piece::Rule,
            "file" => Piece::File,
            "policy" => Piece::Policy,
            _ => return None,
        })
    }
}

impl Example {
    /// The name and the text of the whole file that it is a piece of.
    pub fn whole(&self) -> (&'static str, String) {
        match self.of {
            Piece::File => ("example.yaml", with_version(&self.text)),
            Piece::Policy => ("policy.yaml", with_version(&self.text)),
            Piece::Rule => ("example.yaml", framed(&self.text)),
            Piece::Condition => ("example.yaml", framed(&condition(&self.text))),
            Piece::TransferCondition => ("example.yaml", framed(&format!("on: transfer\n{}", condition(&self.text)))),
        }
    }
}

fn condition(text: &str) -> String {
    format!("when: |\n  {text}")
}

fn with_version(text: &str) -> String {
    if text.starts_with("version:") { text.to_owned() } else { format!("version: 1\n{text}") }
}

/// A rule file with one rule that has these keys, and what else a rule needs.
fn framed(keys: &str) -> String {
    let own = |key: &str| keys.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    let needed = FRAME_RULE.iter().filter(|(key, _)| !own(key)).map(|(key, value)| format!("{key}: {value}\n"));
    let rule: String = needed.chain([keys.to_owned()]).collect();
    let indented: String = rule.lines().map(|line| format!("    {line}\n")).collect();
    format!("version: 1\n{FRAME_SECTIONS}rules:\n  -\n{indented}")
}

/// What is known about a code; `None` where there is no such code.
pub fn entry(code: &str) -> Option<Entry> {
    entries().find(|entry| entry.code == code)
}

/// Every entry: YAML, expressions, types, rules, warnings, tools, each in order.
pub fn entries() -> impl Iterator<Item = Entry> {
    FAMILIES.iter().flat_map(|family| family.split("\n## ")).filter_map(read)
}

/// Reads one entry: its code, why, and two fenced examples.
fn read(text: &str) -> Option<Entry> {
    let (code, rest) = text.trim_start_matches("## ").split_once('\n')?;
    let (code, meaning) = codes::explained().find(|(known, _)| *known == code.trim())?;
    let mut parts = rest.split("```");
    let why = parts.next()?.split_whitespace().collect::<Vec<_>>().join(" ");
    // Between a fence that opens and the one that closes; the rest is between two examples.
    let mut examples = parts.step_by(2).filter_map(|block| {
        let (word, text) = block.split_once('\n')?;
        Some(Example { of: Piece::parse(word)?, text: text.to_owned() })
    });
    let examples = examples.next().and_then(|wrong| Some((wrong, examples.next()?)));
    Some(Entry { code, meaning, why, examples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_once_and_nothing_else_is() {
        let mut explained: Vec<&str> = entries().map(|entry| entry.code).collect();
        explained.sort_unstable();
        let mut known: Vec<&str> = codes::explained().map(|(code, _)| code).collect();
        known.sort_unstable();
        assert_eq!(explained, known);
        assert_eq!(FAMILIES.iter().map(|family| family.matches("## ").count()).sum::<usize>(), known.len());
        for entry in entries() {
            assert!(entry.why.len() > 30 && entry.why.ends_with('.'), "{entry:?}");
        }
    }

    #[test]
    fn only_what_is_too_long_or_takes_two_files_has_no_example() {
        let is_of_tool = |entry: &Entry| codes::tools::ALL.iter().any(|(code, _)| *code == entry.code);
        let of_files = entries().filter(|entry| !is_of_tool(entry));
        let without: Vec<&str> = of_files.filter(|entry| entry.examples.is_none()).map(|entry| entry.code).collect();
        assert_eq!(
            without,
            ["Y009", "Y010", "E008", "E009", "T019", "R001", "R018", "R030", "R031", "R032", "R033", "W120"]
        );
    }
}
