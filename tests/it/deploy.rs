//! What is shipped to run it with, held against what exists: alert rules and dashboard against the metrics, in a real
//! Prometheus; the unit against systemd's own judgement; image and compose file against the files they name.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use walletwatch::report::SourceFile;
use walletwatch::ruleset::RULE_FILES;
use walletwatch::yaml::{self, Kind, Node};

mod dashboard;
mod expression;
mod files;
mod prometheus;
mod unit;

/// A path of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file of the repository.
fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A YAML file of the repository; every scalar is a text.
fn yaml(name: &str) -> Value {
    let file = Arc::new(SourceFile { path: name.to_owned(), text: text(name) });
    let mut problems = Vec::new();
    let node = yaml::parse(&file, &RULE_FILES, &mut problems);
    assert!(problems.is_empty(), "{problems:#?}");
    value(&node.unwrap_or_else(|| panic!("{name}: nothing in it")))
}

fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(_) if node.is_null() => Value::Null,
        Kind::Scalar(scalar) => Value::String(scalar.text.clone()),
        Kind::Seq(items) => items.iter().map(value).collect(),
        Kind::Map(map) => Value::Object(map.entries.iter().map(|e| (e.key.clone(), value(&e.value))).collect()),
        Kind::Broken => panic!("a broken node without a problem"),
    }
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("a text")).collect()
}

/// Runs a tool of the system that these tests need.
fn tool(package: &str, command: &mut Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; install the package `{package}`"))
}

/// All it said.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
