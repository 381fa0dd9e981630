//! Any text as a rule file; after a NUL as a policy, after one more as a list.
//!
//! Holds: nothing panics, the end comes soon, the same text has the same end twice, and every problem is where it
//! says it is.

#![no_main]

#[path = "../../src/event/mod.rs"]
mod event;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/ruleset/mod.rs"]
mod ruleset;
mod spans;
#[path = "../../src/yaml/mod.rs"]
mod yaml;

use std::time::{Duration, Instant};

use event::Millis;
use libfuzzer_sys::fuzz_target;
use ruleset::{HashKey, Sources, load_partly};

/// Far more than any text of the size that is tried takes, on a busy machine and with a sanitizer.
const PATIENCE: Duration = Duration::from_secs(10);
const TODAY: Millis = Millis(1_798_761_600_000);

fuzz_target!(|bytes: &[u8]| {
    let mut sources = Sources::new("rules");
    let names = ["x.yaml", "policy.yaml", "lists/l.txt"];
    for (name, text) in names.into_iter().zip(bytes.splitn(3, |byte| *byte == 0)) {
        sources.add(name, text, Some(Millis(0)));
    }
    let began = Instant::now();
    let load = || load_partly(&sources, HashKey::new([7; 16]), Some(TODAY));
    let (loaded, mentions) = load();
    assert!(began.elapsed() < PATIENCE, "{:?} for {} bytes", began.elapsed(), bytes.len());
    let problems = match &loaded {
        Ok(loaded) => &loaded.ruleset.warnings,
        Err(problems) => problems,
    };
    assert!(loaded.is_ok() || problems.iter().any(|problem| problem.level == report::Level::Error));
    spans::check(problems);
    let (again, named) = load();
    assert_eq!(mentions, named);
    match (&loaded, &again) {
        (Ok(one), Ok(other)) => assert_eq!(one.ruleset.warnings, other.ruleset.warnings),
        (Err(one), Err(other)) => assert_eq!(one, other),
        _ => panic!("it loads once and not again"),
    }
});
