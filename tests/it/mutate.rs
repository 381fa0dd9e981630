//! `rules mutate`: what survives is told at its place with the value that would show it, and the shipped rules'
//! tests leave nothing over that they do not name.

use std::path::Path;
use std::process::{Command, Output};

fn walletwatch(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(words).env("NO_COLOR", "1").output().expect("it runs")
}

/// What it says about a rules directory with one file, and how it ends.
fn mutate(text: &str, more: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("r.yaml"), text).expect("written");
    let rules = folder.path().to_string_lossy().into_owned();
    let words: Vec<&str> = ["rules", "mutate", "--rules", &rules].into_iter().chain(more.iter().copied()).collect();
    let output = walletwatch(&words);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (String::from_utf8_lossy(&output.stdout).replace(&*rules, "rules"), output.status.code())
}

const HEAD: &str = "version: 1
amounts:
  large: {CNY: 1000}
features:
  failed: {count: login, where: result == \"failure\", by: account, over: 10m}
defs:
  many: failed >= limit
defaults: {state: live, owner: t, severity: low, score: 10, audience: [security], runbook: \"https://example.com\", explain: x}
rules:
  - id: guessing
    title: t
    on: login
    params:
      limit: {value: 5, min: 2, max: 5}
    when: many and (ip is missing or ip != 192.0.2.1)
    dedup: {by: account, for: 1h}
    tests:
      - name: as many as the limit says
        given: {type: login, account: a, result: failure}
        events: [{repeat: \"{limit}\", every: 1s, expect: fire-last}]
      - name: that address is ours
        given: {type: login, account: a, result: failure, ip: 192.0.2.1}
        events: [{repeat: 9, every: 1s, expect: quiet}]
";

#[test]
fn what_survives_is_told_at_its_place_with_what_would_show_it() {
    let (said, code) = mutate(&HEAD.replace("192.0.2.1)", "\"192.0.2.1\")"), &[]);
    insta::assert_snapshot!(said);
    assert_eq!(code, Some(1));
    let (json, code) = mutate(&HEAD.replace("192.0.2.1)", "\"192.0.2.1\")"), &["--format", "json"]);
    insta::assert_snapshot!(json);
    assert_eq!(code, Some(1));
}

#[test]
fn a_mutant_is_kept_with_its_reason_and_not_in_vain() {
    let sound = HEAD.replace("192.0.2.1)", "\"192.0.2.1\")");
    let kept = format!(
        "{sound}    mutants:
      - {{keep: \"dedup for: 1h -> 54m\", reason: nobody minds}}
      - {{keep: \"dedup for: 1h -> 66m\", reason: nobody minds}}
      - {{keep: \"when: without ip != \\\"192.0.2.1\\\"\", reason: nobody minds}}
"
    );
    let (said, code) = mutate(&kept, &[]);
    assert_eq!(code, Some(0), "{said}");
    let vain = kept.replace("1h -> 54m", "1h -> 55m").replace("dedup for: 1h -> 66m", "param limit: 5 -> 6");
    let (said, code) = mutate(&vain, &["--rule", "guessing"]);
    insta::assert_snapshot!(said);
    assert_eq!(code, Some(1));
    let (said, code) =
        mutate(&kept.replace("reason: nobody minds}\n      - {keep: \"when", "why: x}\n      - {keep: \"when"), &[]);
    insta::assert_snapshot!(said);
    assert_eq!(code, Some(1));
}

#[test]
fn the_lines_it_prints_for_what_is_probably_equivalent_can_be_pasted() {
    let text = "version: 1
features:
  dev: {first_seen: login, by: [account, device], over: 90d}
rules:
  - id: new-device
    title: t
    owner: t
    severity: low
    score: 10
    audience: [security]
    runbook: \"https://example.com\"
    explain: x
    on: login
    when: device is missing or dev.age is missing
    tests:
      - name: first without and then with a device
        given: {type: login, account: a, result: success}
        events:
          - {expect: fire}
          - {device: d, expect: fire}
          - {after: 1h, device: d, expect: quiet}
";
    let (said, code) = mutate(text, &[]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(said);
    let lines = said.split("as its last key\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("lines");
    let (said, code) = mutate(&format!("{text}{lines}\n"), &[]);
    assert_eq!(code, Some(0), "{said}");
    // Where nothing says why, somebody has to.
    let (without, _) = lines.split_once("reason: ").expect("a reason");
    let (said, code) = mutate(&format!("{text}{without}reason: }}\n"), &[]);
    assert!(code == Some(1) && said.contains("`reason` is empty"), "{said}");
}

#[test]
fn of_a_rule_whose_tests_fail_nothing_is_said() {
    let (said, code) = mutate(&HEAD.replace("192.0.2.1)", "\"192.0.2.7\")"), &[]);
    insta::assert_snapshot!(said);
    assert_eq!(code, Some(1));
    let nobody = walletwatch(&["rules", "mutate", "--rule", "brute-force-acount"]);
    assert_eq!(nobody.status.code(), Some(64));
}

#[test]
fn the_designs_rules_gain_tests_until_every_mutant_is_noticed() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rules");
    let read = |path: &str| std::fs::read_to_string(data.join(path)).expect("it is there");
    let (design, ours) = (read("takeover.yaml"), read("noticed/takeover.yaml"));
    let rules = |text: &str| text.split("\n  - id: ").map(|part| part.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(rules(&design).len(), 6, "a head and five rules");
    for (design, ours) in rules(&design).iter().zip(rules(&ours)) {
        let more = ours.strip_prefix(design.as_str()).expect("the design's text comes first");
        assert!(more.is_empty() || more.starts_with("\n      - name: "), "only tests follow: {more}");
    }
    let output = walletwatch(&["rules", "mutate", "--rules", &data.join("noticed").to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn the_shipped_rules_leave_no_survivor_that_they_do_not_name() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let output = walletwatch(&["rules", "mutate", "--rules", &rules.to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(" 0 survived, "), "{said}");
}
