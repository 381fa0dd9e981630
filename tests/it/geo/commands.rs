//! `geo lookup` and `geo verify` as a user runs them: whole outputs.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::lookup::bytes_of;
use super::world::FILES;
use super::writer::Value;

/// A folder with the small world's files and some that are not good.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file");
    for (name, make) in FILES {
        put(name, &make());
    }
    let city = FILES[0].1();
    put("truncated.mmdb", &city[..city.len() / 2]);
    let mut flipped = city.clone();
    // In the data section: the control byte of the first record, a map, becomes an unknown type.
    let tree = find(&city, b"\x44city") - 1;
    flipped[tree] = 0;
    put("flipped.mmdb", &flipped);
    put("cities.csv", b"network,geoname_id\n192.0.2.0/24,1796236\n");
    put("packed.mmdb.gz", b"\x1f\x8b\x08\x00");
    put("empty.mmdb", b"");
    let ipinfo = Value::Map(vec![("asn", "AS15169".into()), ("country", "US".into())]);
    put("ipinfo.mmdb", &bytes_of(ipinfo));
    folder
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).expect("the needle")
}

/// A command line and everything it gave.
fn run(folder: &Path, line: &str) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let mut told = format!("$ walletwatch {line}\n{}", text(&out.stdout));
    if !out.stderr.is_empty() {
        told.push_str(&format!("--- stderr\n{}", text(&out.stderr)));
    }
    told.push_str(&format!("--- exit {}\n\n", out.status.code().expect("a code")));
    told
}

fn run_all(lines: &[&str]) -> String {
    let folder = folder();
    lines.iter().map(|line| run(folder.path(), line)).collect()
}

const ALL: &str = "--geo world-city.mmdb world-asn.mmdb world-anonymous.mmdb";

#[test]
fn lookup_tells_what_is_known_and_from_which_file() {
    insta::assert_snapshot!(run_all(&[
        &format!("geo lookup 203.0.113.9 2001:db8:1::1 192.0.2.1 ::ffff:198.51.100.65 {ALL}"),
        "geo lookup 192.0.2.65 --geo world-city.mmdb --geo world-asn.mmdb",
        "geo lookup --geo world-flat.mmdb 203.0.113.9",
        &format!("geo lookup 203.0.113.9 10.0.0.1 {ALL} --format json"),
    ]));
}

#[test]
fn lookup_says_no_when_nothing_is_known() {
    insta::assert_snapshot!(run_all(&[
        &format!("geo lookup 10.0.0.1 ::1 {ALL}"),
        "geo lookup 10.0.0.1 --geo world-city.mmdb --format json",
    ]));
}

#[test]
fn lookup_tells_every_file_that_cannot_be_used() {
    insta::assert_snapshot!(run_all(&[
        "geo lookup 203.0.113.9 --geo world-city.mmdb truncated.mmdb ipinfo.mmdb",
        "geo lookup 203.0.113.9 --geo ipinfo.mmdb",
        "geo lookup 203.0.113.9 --geo nowhere.mmdb world-city.mmdb",
    ]));
}

#[test]
fn lookup_needs_addresses_and_files() {
    insta::assert_snapshot!(run_all(&[
        "geo lookup 203.0.113.9",
        "geo lookup --geo world-city.mmdb",
        "geo lookup 203.0.113 --geo world-city.mmdb",
    ]));
}

#[test]
fn verify_describes_good_files() {
    insta::assert_snapshot!(run_all(&[
        "geo verify world-city.mmdb world-asn.mmdb world-anonymous.mmdb world-flat.mmdb",
        "geo verify world-city.mmdb --format json",
    ]));
}

#[test]
fn verify_tells_what_is_wrong() {
    insta::assert_snapshot!(run_all(&[
        "geo verify truncated.mmdb",
        "geo verify flipped.mmdb",
        "geo verify cities.csv",
        "geo verify packed.mmdb.gz",
        "geo verify empty.mmdb",
        "geo verify ipinfo.mmdb",
        "geo verify nowhere.mmdb",
        "geo verify world-asn.mmdb ipinfo.mmdb flipped.mmdb --format json",
    ]));
}

#[test]
fn help_has_an_example() {
    insta::assert_snapshot!(run_all(&["geo lookup --help", "geo verify --help"]));
}
