//! Backtests from a file: events per second of CPU, for each rule set, reading and decoding included.
//!
//! The command itself runs, as people run it: the shipped pack against itself, and the three velocity rules.
//! Arguments: events (1 000 000), rounds (3). `-- 10000000 1` is the large run. Fails below 200 000.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What one rule set must do on one core, events a second.
const EVENTS_A_SECOND_MIN: f64 = 200_000.0;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let (events, rounds) = (numbers.next().unwrap_or(1_000_000), numbers.next().unwrap_or(3));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let w3 = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules/w3").display().to_string();
    let mut slowest = f64::INFINITY;
    for (profile, rules) in [("wallet", "builtin"), ("w3", w3.as_str())] {
        let (count, file) = (events.to_string(), path(profile));
        run(&["generate", "--events", &count, "--profile", profile, "--out", &file, "--no-progress"]);
        for _ in 0..rounds {
            let (began, cpu) = (Instant::now(), children_cpu_s());
            run(&["rules", "backtest", "--old", rules, "--new", rules, "--events", &file, "--no-progress"]);
            let (wall_s, cpu_s) = (began.elapsed().as_secs_f64(), children_cpu_s() - cpu);
            // Two rule sets went over the file.
            let a_core = 2.0 * events as f64 / cpu_s;
            let a_set = events as f64 / wall_s;
            slowest = slowest.min(a_core);
            println!("{profile}: {a_core:.0} events per rule set and CPU second, {a_set:.0} per second of wall time");
        }
        std::fs::remove_file(&file).expect("our own file");
    }
    println!("must {EVENTS_A_SECOND_MIN:.0}");
    assert!(slowest >= EVENTS_A_SECOND_MIN, "{slowest:.0} events per rule set and core are too few");
}

fn run(args: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(args).output().expect("the program runs");
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// CPU time of the processes that have ended, s: fields 16 and 17 of `/proc/self/stat`, in hundredths.
fn children_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux counts CPU time");
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
