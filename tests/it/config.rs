//! Mistakes in the configuration: one file for each, named after it; the whole output is the snapshot.

use std::path::{Path, PathBuf};

use walletwatch::config::{Config, Environment};
use walletwatch::report::render;

fn mistakes() -> Vec<PathBuf> {
    let folder = Path::new("tests/data/config");
    let entries = std::fs::read_dir(folder).expect("the folder of mistakes");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let files = mistakes();
    assert!(files.len() >= 12, "{}", files.len());
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let problems = Config::load(&file, &Environment::default()).expect_err(&name);
        let told = render(&problems, false);
        assert!(!told.contains("canary") || name == "secrets_in_the_file", "{told}");
        insta::assert_snapshot!(name, told);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problems =
        Config::load(Path::new("tests/data/config/nowhere.toml"), &Environment::default()).expect_err("no file");
    assert!(render(&problems, false).contains("cannot read tests/data/config/nowhere.toml"));
}
