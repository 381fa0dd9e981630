//! Rule files from the outside: what is told about mistakes, and what the shipped pack is.

use std::path::Path;

use walletwatch::event::Millis;
use walletwatch::report::{self, Problem};
use walletwatch::ruleset::{self, HashKey, Loaded, Sources};

fn data(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn load(files: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let mut sources = Sources::new("rules");
    for (path, text) in files {
        sources.add(*path, text.as_bytes(), None);
    }
    ruleset::load(&sources, HashKey::new([7; 16]), Some(Millis(1_798_761_600_000)))
}

#[test]
fn diagnostics_look_as_designed() {
    let mut problems = load(&[("bad.yaml", &data("errors/bad.yaml"))]).expect_err("22 problems");
    // The example was written for a version that knows `stats`; this one says at its place that it does not.
    problems.retain(|problem| problem.code != ruleset::codes::NOT_YET);
    let example = data("errors/errors.txt");
    let (_, expected) = example.split_once("\n\n").expect("a line of introduction");
    assert_eq!(report::render(&problems, false), expected);
}
