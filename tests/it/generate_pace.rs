//! `generate --speed`: the same bytes, each in its time, and an end that leaves whole records.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::process::wait_until;

fn generate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(["generate", "--profile", "w3", "--seed", "3"]).args(args);
    command
}

fn output(args: &[&str]) -> Output {
    generate(args).output().expect("it runs")
}

#[test]
fn a_paced_stream_has_the_same_bytes_and_takes_its_time() {
    let plain = output(&["--events", "500", "--rate", "1"]);
    let began = Instant::now();
    let paced = output(&["--events", "500", "--rate", "1", "--speed", "250"]);
    let took = began.elapsed();
    assert!(paced.status.success());
    assert!(!plain.stdout.is_empty() && plain.stdout == paced.stdout, "other bytes");
    // 500 s at 250 s a second; the last record comes a little before the end.
    assert!((Duration::from_millis(1500)..Duration::from_secs(20)).contains(&took), "{took:?}");
}

#[test]
fn live_traffic_is_stamped_with_now_and_ctrl_c_leaves_whole_records() {
    let mut child = generate(&["--events", "1000000", "--rate", "50", "--start", "now-2s", "--speed", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut live = 0;
    let deadline = Instant::now() + Duration::from_secs(30);
    while live < 20 {
        assert!(Instant::now() < deadline, "{live} records of 50 a second were live");
        let line = lines.next().expect("a line").expect("text");
        // Damaged ones are among them, and late ones.
        let time = serde_json::from_str::<Value>(&line).ok().and_then(|event| event["time"].as_str()?.parse().ok());
        let Some(time) = time.map(|time: jiff::Timestamp| time.as_millisecond()) else { continue };
        let now = walletwatch::clock::now().0;
        if time > now {
            assert!(time - now < 300_000, "a future that the service would refuse: {} ms", time - now);
        }
        live += usize::from((time - now).abs() < 1500);
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(status.success());
    let rest: Vec<String> = lines.map(|line| line.expect("text")).collect();
    assert!(rest.last().is_none_or(|line| line.starts_with('{')), "{rest:?}");
    let status = wait_until("it is out", Duration::from_secs(10), || child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("its talk"), &mut told).expect("text");
    assert!(told.contains("generate: stopped after ") && told.contains("what it wrote is whole"), "{told}");
}

#[test]
fn somebody_who_starts_now_is_told_what_there_is_to_wait_for() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_walletwatch"))
        .args(["generate", "--events", "10000", "--start", "now", "--speed", "20000"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut told = BufReader::new(child.stderr.take().expect("its talk")).lines().map(|line| line.expect("text"));
    let forecast = told.next().expect("a line");
    assert!(forecast.starts_with("generate: the first event goes out in "), "{forecast}");
    assert!(forecast.contains("21 d of quiet history come first"), "{forecast}");
    let way_out = told.next().expect("a line");
    assert!(way_out.contains("--start now-21d --speed 20000"), "{way_out}");
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(status.success());
    assert!(told.any(|line| line.contains("stopped after 0 of 10000 events")));
    assert_eq!(child.wait().expect("it is out").code(), Some(0));
}

#[test]
fn what_cannot_be_paced_is_refused() {
    for (args, why) in [
        (["--speed", "0", "--events", "1"], "0.001 to"),
        (["--speed", "1", "--start", "2199-01-01T00:00:00Z"], "must not begin after now"),
        (["--start", "now-2w", "--events", "1"], "now-21d"),
        (["--start", "now-99999999999d", "--events", "1"], "now-21d"),
    ] {
        let more: &[&str] = if args.contains(&"--events") { &[] } else { &["--events", "1"] };
        let output = output(&[&args[..], more].concat());
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{args:?}: {said}");
    }
}
