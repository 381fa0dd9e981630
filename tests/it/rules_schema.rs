//! The JSON Schema of rule files says what the loader says about keys and words.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use walletwatch::report::SourceFile;
use walletwatch::ruleset::{self, HashKey, RULE_FILES, Sources};
use walletwatch::yaml::{self, Kind, Node, Style};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The rule files below some folders, with their texts.
fn rule_files() -> Vec<(String, String)> {
    let folders =
        ["rules", "tests/data/rules", "tests/data/rules/meaning", "tests/data/rules/w3", "tests/data/rules/mistakes"];
    let mut files = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(repository().join(folder)).expect("the folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_other = name.starts_with("policy") || name.starts_with("overlay");
            if name.ends_with(".yaml") && !is_other {
                // What is not UTF-8 is no rule file.
                files.extend(std::fs::read_to_string(&path).map(|text| (name, text)));
            }
        }
    }
    files.sort_unstable();
    files
}

/// A file as editors see it: scalars by the core schema of YAML 1.2.
fn as_json(text: &str) -> Option<Value> {
    let file = Arc::new(SourceFile { path: "x.yaml".to_owned(), text: text.to_owned() });
    yaml::parse(&file, &RULE_FILES, &mut Vec::new()).as_ref().map(value)
}

fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Map(map) => {
            map.entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect::<Map<_, _>>().into()
        }
        Kind::Seq(items) => items.iter().map(value).collect(),
        Kind::Broken => Value::Null,
        Kind::Scalar(_) if node.is_null() => Value::Null,
        Kind::Scalar(scalar) if scalar.style == Style::Plain => match scalar.text.as_str() {
            "true" | "True" | "TRUE" => true.into(),
            "false" | "False" | "FALSE" => false.into(),
            text => {
                let int = text.parse::<i64>().map(Value::from).ok();
                let float =
                    text.parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
                int.or(float.map(Value::from)).unwrap_or_else(|| text.into())
            }
        },
        Kind::Scalar(scalar) => scalar.text.as_str().into(),
    }
}

/// The codes that a file alone is told, warnings too; whether it loads.
fn codes(name: &str, text: &str) -> (Vec<&'static str>, bool) {
    let mut sources = Sources::new("rules");
    sources.add(name, text, None);
    // Lists of the shipped rules lie beside them.
    sources.add("lists/tor_exits.txt", "", None);
    match ruleset::load(&sources, HashKey::new([7; 16]), None) {
        Ok(loaded) => (loaded.ruleset.warnings.iter().map(|problem| problem.code).collect(), true),
        Err(problems) => (problems.iter().map(|problem| problem.code).collect(), false),
    }
}

fn schema() -> jsonschema::Validator {
    jsonschema::validator_for(&ruleset::schema::rule_files()).expect("a schema")
}

#[test]
fn every_file_that_loads_is_valid() {
    let schema = schema();
    let mut loaded = 0;
    for (name, text) in rule_files() {
        if !codes(&name, &text).1 {
            continue;
        }
        loaded += 1;
        let json = as_json(&text).expect("a tree");
        let told: Vec<String> =
            schema.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(told.is_empty(), "{name}: {told:#?}");
    }
    assert!(loaded > 15, "{loaded} files load");
}

#[test]
fn every_file_with_an_unknown_key_is_invalid() {
    let schema = schema();
    let mut unknown = 0;
    for (name, text) in rule_files() {
        if !codes(&name, &text).0.contains(&ruleset::codes::UNKNOWN_KEY) {
            continue;
        }
        let Some(json) = as_json(&text) else { continue };
        unknown += 1;
        assert!(!schema.is_valid(&json), "{name}");
    }
    assert!(unknown > 3, "{unknown} files with unknown keys");
}

#[test]
fn each_key_of_the_shipped_rules_misspelt_is_invalid() {
    let schema = schema();
    let text = include_str!("../../rules/logins.yaml");
    let json = as_json(text).expect("a tree");
    let mut paths = Vec::new();
    closed_keys(&json, &mut Vec::new(), &mut paths);
    assert!(paths.len() > 200, "{} keys", paths.len());
    for path in paths {
        let mut misspelt = json.clone();
        let (key, parents) = path.split_last().expect("a key");
        let object = parents.iter().fold(&mut misspelt, |at, step| match at {
            Value::Array(items) => &mut items[step.parse::<usize>().expect("a place")],
            at => &mut at[step.as_str()],
        });
        let object = object.as_object_mut().expect("a mapping");
        let value = object.remove(key).expect("the key");
        object.insert(format!("{key}x"), value);
        assert!(!schema.is_valid(&misspelt), "{path:?}");
    }
}

/// The ways to every key of a mapping whose keys are fixed.
fn closed_keys(at: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    const FREE: &[&str] = &["features", "defs", "lists", "params", "amounts", "set", "contact"];
    match at {
        Value::Object(object) => {
            let is_free = path.last().is_some_and(|last| FREE.contains(&last.as_str()));
            for (key, value) in object {
                path.push(key.clone());
                if !is_free {
                    found.push(path.clone());
                }
                closed_keys(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                path.push(n.to_string());
                closed_keys(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}
