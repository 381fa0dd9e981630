//! `rules backtest`, `sweep` and `score` from the outside: what they tell, against a recount of what `replay` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn run(folder: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(args).current_dir(folder.path()).output().expect("the binary runs")
}

fn told(folder: &TempDir, args: &[&str]) -> String {
    let done = run(folder, args);
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

fn read(folder: &TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn lines(folder: &TempDir, name: &str) -> Vec<Value> {
    read(folder, name).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// Two rules; `failures` and the score of the second are what differs between old and new.
fn rules(failures: u32, score: u32) -> String {
    format!(
        r#"version: 1
features:
  failed: {{count: login, where: result == "failure", by: account, over: 10m}}
defaults: {{revision: 1, state: live, owner: team-ato, severity: high, audience: [security, user], runbook: "https://example.com/r"}}
rules:
  - id: guessing
    title: Many failed logins
    score: 60
    on: login
    params: {{failures: {{value: {failures}, min: 2, max: 9}}}}
    when: result == "failure" and failed >= failures
    dedup: {{by: account, for: 1h}}
    explain: "{{failed}} failed logins in 10 min from <{{ip}}>"
    tests:
      - name: enough, and one too few
        given: {{type: login, result: failure, account: a1}}
        events: [{{repeat: {failures}, every: 1s, expect: fire-last}}]
  - id: large-transfer
    title: A large transfer
    score: {score}
    on: transfer
    when: amount > 9000 CNY
    explain: "{{amount}} to {{payee}}"
    tests:
      - name: large and small
        given: {{type: transfer, account: a1}}
        events: [{{amount: 9001 CNY, expect: fire}}, {{amount: 9000 CNY, expect: quiet}}]
"#
    )
}

const POLICY: &str = "version: 1
routes:
  - {audience: security, from: medium, channels: [soc]}
  - {audience: user, from: critical, channels: [email, sms], all: true}
  - {audience: user, from: medium, channels: [email, sms]}
";

const LABELS: &str = r#"{"event":"a-fail-4","label":"fraud"}
{"account":"acc-b","from":"2026-01-05T00:00:00Z","to":"2026-01-07T00:00:00Z","label":"legit"}
{"event":"c-transfer","label":"fraud"}
{"event":"e-transfer","label":"fraud"}
{"event":"never-seen","label":"fraud"}
"#;

/// Five accounts over three days: a is guessed at, b forgets a password, c and d move much, e moves little.
fn recording() -> String {
    let mut text = String::new();
    let mut event = |value: Value| text.push_str(&format!("{value}\n"));
    for (account, phone) in [("a", Some("+8613800138000")), ("b", None), ("c", Some("+8613800138001"))] {
        let contact = json!({"email": format!("{account}@wallet.example"), "phone": phone, "locale": "zh-CN",
                             "zone": "Asia/Shanghai", "anti_phishing": format!("secret-{account}")});
        event(
            json!({"id": format!("{account}-in"), "type": "login", "time": "2026-01-05T08:00:00Z", "result": "success",
                     "account": format!("acc-{account}"), "device": "d1", "contact": contact}),
        );
    }
    for (account, day, failures) in [("a", 5, 5), ("b", 6, 3)] {
        for n in 1..=failures {
            event(json!({"id": format!("{account}-fail-{n}"), "type": "login", "account": format!("acc-{account}"),
                         "time": format!("2026-01-0{day}T09:0{n}:00Z"), "result": "failure", "reason": "wrong_password",
                         "ip": "203.0.113.9", "user_agent": "curl/8", "login_name": "someone@wallet.example",
                         "geo": {"country": "NG", "city": "Lagos"}}));
        }
    }
    for (account, amount) in [("c", "12000.00"), ("d", "9500.00"), ("e", "12.50")] {
        event(json!({"id": format!("{account}-transfer"), "type": "transfer", "account": format!("acc-{account}"),
                     "time": "2026-01-07T10:00:00Z", "amount": amount, "currency": "CNY", "status": "completed",
                     "payee": "p-<b>7</b>", "device": "d1"}));
    }
    text.push_str("{\"id\":\"broken\"}\n");
    text
}

fn small() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, "old/r.yaml", &rules(4, 70));
    write(&folder, "new/r.yaml", &rules(3, 95));
    write(&folder, "old/policy.yaml", POLICY);
    write(&folder, "new/policy.yaml", POLICY);
    write(&folder, "events", &recording());
    write(&folder, "labels", LABELS);
    folder
}

const SMALL: &[&str] =
    &["rules", "backtest", "--old", "old", "--new", "new", "--events", "events", "--labels", "labels"];

#[test]
fn what_would_change_is_told_to_people_programs_and_browsers() {
    let folder = small();
    let price = ["--sms-cost", "0.045 CNY"];
    let files = ["--report", "report.html", "--differences", "differences"];
    insta::assert_snapshot!("backtest_human", told(&folder, &[SMALL, &price, &files].concat()));
    insta::assert_snapshot!("backtest_differences", read(&folder, "differences"));
    insta::assert_snapshot!("backtest_report", read(&folder, "report.html"));
    let json = told(&folder, &[SMALL, &price, &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&json).expect("one document");
    insta::assert_snapshot!("backtest_json", format!("{json:#}"));
    for text in [read(&folder, "report.html"), json.to_string()] {
        for personal in ["secret-", "wallet.example", "13800138", "curl/8", "someone@"] {
            assert!(!text.contains(personal), "{personal} is told: {text}");
        }
    }
}

#[test]
fn the_report_loads_nothing_and_runs_nothing() {
    let folder = small();
    told(&folder, &[SMALL, &["--report", "report.html"]].concat());
    let page = read(&folder, "report.html");
    for part in ["http://", "https://", "<script", "src=", "@import", "url(", "href=", "<b>7", "on=\""] {
        assert!(!page.contains(part), "{part}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn other_values_of_a_param_are_told_to_people_programs_and_browsers() {
    let folder = small();
    let sweep = ["rules", "sweep", "--rules", "new", "--param", "guessing.failures=4..6", "--events", "events"];
    let labelled = [&sweep[..], &["--labels", "labels"]].concat();
    insta::assert_snapshot!("sweep_human", told(&folder, &[&labelled[..], &["--report", "report.html"]].concat()));
    insta::assert_snapshot!("sweep_report", read(&folder, "report.html"));
    insta::assert_snapshot!("sweep_human_without_labels", told(&folder, &sweep));
    let json = told(&folder, &[&labelled[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&json).expect("one document");
    let points: Vec<String> = json["points"]
        .as_array()
        .expect("points")
        .iter()
        .map(|p| format!("{} {} {} {}", p["values"], p["is_current"], p["alerts"], p["labelled"]["found"]))
        .collect();
    assert_eq!(points, ["[\"3\"] true 4 1", "[\"4\"] false 3 2", "[\"5\"] false 3 1", "[\"6\"] false 2 1"]);
    // What a sweep says of a value is what a backtest says of a file that holds it.
    write(&folder, "five/r.yaml", &rules(5, 95));
    write(&folder, "five/policy.yaml", POLICY);
    let args: Vec<&str> = SMALL.iter().map(|arg| if *arg == "new" { "five" } else { *arg }).collect();
    let five = told(&folder, &[&args[..], &["--format", "json"]].concat());
    let five: Value = serde_json::from_str(&five).expect("one document");
    for key in ["alerts", "bands", "labelled", "accounts", "by_score"] {
        assert_eq!(five["new"][key], json["points"][2][key], "{key}");
    }
}

#[test]
fn the_number_of_threads_and_the_way_in_change_nothing() {
    let folder = small();
    let once = |threads: &str, events: &str| {
        let files = ["--report", "report.html", "--differences", "differences", "--format", "json"];
        let args: Vec<&str> = SMALL.iter().map(|arg| if *arg == "events" { events } else { *arg }).collect();
        let out = told(&folder, &[&args[..], &files, &["--threads", threads]].concat());
        (out, read(&folder, "report.html"), read(&folder, "differences"))
    };
    assert_eq!(once("1", "events"), once("2", "events"));
    let sweep = |threads: &str| {
        let param = ["--param", "guessing.failures=2..9", "--threads", threads, "--format", "json"];
        told(&folder, &[&["rules", "sweep", "--rules", "new", "--events", "events"][..], &param].concat())
    };
    assert_eq!(sweep("1"), sweep("3"));
}

/// An alert of `replay`: its band and rules, and whom and when it is about.
struct Replayed {
    band: String,
    rules: BTreeSet<String>,
    account: Option<String>,
    time: jiff::Timestamp,
}

/// Alerts of one account and the same rules are one that moved where they are no further apart.
const MOVED_MAX: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

impl Replayed {
    fn is_moved(&self, other: &Replayed) -> bool {
        let is_same = self.account.is_some() && self.account == other.account && self.rules == other.rules;
        is_same && self.time.duration_since(other.time).abs() <= MOVED_MAX
    }
}

/// The alerts that `replay` makes, by the ids of their events.
fn replayed(folder: &TempDir, rules: &str) -> BTreeMap<String, Replayed> {
    told(folder, &["replay", "big", "--rules", rules, "--alerts", "alerts", "--no-progress"]);
    let alert = |alert: &Value| {
        let rules = alert["findings"].as_array().into_iter().flatten();
        let rules = rules.filter_map(|finding| finding["rule"].as_str()).map(str::to_owned).collect();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let time = text(&alert["time"]).parse().expect("a time");
        let account = alert["account"].as_str().map(str::to_owned);
        (text(&alert["event"]["id"]), Replayed { band: text(&alert["band"]), rules, account, time })
    };
    lines(folder, "alerts").iter().map(alert).collect()
}

/// Generated events with their truth; the shipped rules, and the same with three of them changed.
fn generated() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["generate", "--events", "30000", "--seed", "9", "--out", "big", "--truth", "truth", "--no-progress"];
    told(&folder, &args);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    for name in ["guessing.yaml", "logins.yaml", "money.yaml", "new-places.yaml", "policy.yaml", "lists/tor_exits.txt"]
    {
        let text = std::fs::read_to_string(shipped.join(name)).expect("a shipped file");
        write(&folder, &format!("old/{name}"), &text);
        let text = text.replace("failures: {value: 8, min: 3", "failures: {value: 3, min: 3");
        let text = text.replace(" accounts: {value: 10,", " accounts: {value: 30,");
        write(&folder, &format!("new/{name}"), &text.replace("score: 55", "score: 92"));
    }
    folder
}

#[test]
fn a_backtest_says_what_a_recount_of_two_replays_says() {
    let folder = generated();
    let (old, new) = (replayed(&folder, "old"), replayed(&folder, "new"));
    let args = ["rules", "backtest", "--old", "old", "--new", "new", "--events", "big", "--labels", "truth"];
    let json =
        told(&folder, &[&args[..], &["--differences", "differences", "--format", "json", "--no-progress"]].concat());
    let json: Value = serde_json::from_str(&json).expect("one document");
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value}"));

    let only = |one: &BTreeMap<String, Replayed>, other: &BTreeMap<String, Replayed>| -> BTreeSet<String> {
        one.keys().filter(|id| !other.contains_key(*id)).cloned().collect()
    };
    let (only_new, only_old) = (only(&new, &old), only(&old, &new));
    let changes = &json["changes"];
    let other_band = new.iter().filter(|(id, alert)| old.get(*id).is_some_and(|before| before.band != alert.band));
    assert_eq!(number(&changes["rose"]) + number(&changes["fell"]), other_band.count() as u64);
    let differences = lines(&folder, "differences");
    let of = |change: &str, id: &dyn Fn(&Value) -> Option<String>| -> BTreeSet<String> {
        differences.iter().filter(|d| d["change"] == change).filter_map(id).collect()
    };
    let event = |d: &Value| d["event"].as_str().map(str::to_owned);
    let from = |d: &Value| d["from"]["event"].as_str().map(str::to_owned);
    let (gained, lost) = (of("gained", &event), of("lost", &event));
    let (moved_to, moved_from) = (of("moved", &event), of("moved", &from));
    for (change, n) in [("gained", gained.len()), ("lost", lost.len()), ("moved", moved_to.len())] {
        assert!(n > 0 && number(&changes[change]) == n as u64, "{change}: {n}, {changes}");
    }
    // What is in one only has moved, each to one other, or is gained or lost; and what could have moved has.
    assert_eq!(only_new, &gained | &moved_to);
    assert_eq!(only_old, &lost | &moved_from);
    assert_eq!(moved_from.len(), moved_to.len());
    for moved in differences.iter().filter(|d| d["change"] == "moved") {
        let (to, from) = (event(moved).expect("an event"), from(moved).expect("an event"));
        assert!(new[&to].is_moved(&old[&from]), "{moved}");
    }
    let left = gained.iter().find_map(|to| Some((to, lost.iter().find(|from| new[to].is_moved(&old[*from]))?)));
    assert_eq!(left, None);

    // Precision and recall by going through the truth for every alert.
    let truth = lines(&folder, "truth");
    let scenes: Vec<(BTreeSet<&str>, bool)> = truth
        .iter()
        .filter(|scene| scene["kind"] != "totals")
        .map(|scene| {
            let ids = scene["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            (ids, scene["expect"].as_array().is_some_and(|expect| !expect.is_empty()))
        })
        .collect();
    for (side, alerts) in [("old", &old), ("new", &new)] {
        let told = &json[side]["labelled"];
        let is = |id: &str, fraud: bool| scenes.iter().any(|(ids, is_fraud)| *is_fraud == fraud && ids.contains(id));
        let fraud = alerts.keys().filter(|id| is(id, true)).count() as u64;
        let legit = alerts.keys().filter(|id| is(id, false) && !is(id, true)).count() as u64;
        assert_eq!((number(&told["alerts"]["fraud"]), number(&told["alerts"]["legit"])), (fraud, legit), "{side}");
        assert_eq!(number(&told["alerts"]["unlabelled"]), alerts.len() as u64 - fraud - legit, "{side}");
        let cases: Vec<_> = scenes.iter().filter(|(_, is_fraud)| *is_fraud).collect();
        let found = cases.iter().filter(|(ids, _)| ids.iter().any(|id| alerts.contains_key(*id))).count() as u64;
        assert_eq!((number(&told["cases"]), number(&told["found"])), (cases.len() as u64, found), "{side}");
        let of_rule = |rule: &str| alerts.values().filter(|alert| alert.rules.contains(rule)).count() as u64;
        for (rule, outcome) in json[side]["rules"].as_object().expect("rules") {
            assert_eq!(number(&outcome["alerts"]), of_rule(rule), "{side} {rule}");
        }
    }
}

#[test]
fn what_cannot_be_done_has_its_exit_code_and_says_why() {
    let folder = small();
    write(&folder, "bad-labels", "{\"event\":\"e\",\"label\":\"frod\"}\n");
    write(&folder, "bad/r.yaml", "version: 1\nrules: [{id: x}]\n");
    let with = |from: &str, to: &str| -> (Option<i32>, String) {
        let args: Vec<&str> = SMALL.iter().map(|arg| if *arg == from { to } else { *arg }).collect();
        let done = run(&folder, &args);
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    for (from, to, code, says) in [
        ("events", "nowhere", 66, "failed to open nowhere"),
        ("labels", "nowhere", 66, "failed to read the labels nowhere"),
        ("labels", "bad-labels", 65, "bad-labels:1:22"),
        ("new", "nowhere", 66, "failed to read the rules in nowhere"),
        ("new", "bad", 78, "the rules in bad have problems"),
    ] {
        let (exit, told) = with(from, to);
        assert!(exit == Some(code) && told.contains(says), "{to}: {exit:?} {told}");
    }
    let sweep =
        |param: &str| run(&folder, &["rules", "sweep", "--rules", "new", "--events", "events", "--param", param]);
    for (param, code, says) in [
        ("guessing.failures=2..10", 64, "10 lies outside the range its rule declares, 2 to 9"),
        ("guessing.failurs=2..9", 64, "did you mean `guessing.failures`?"),
        ("guessing.failures", 64, "RULE.PARAM=FROM..TO"),
    ] {
        let done = sweep(param);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(code) && told.contains(says), "{param}: {:?} {told}", done.status);
    }
    for (args, code) in [
        (&["--report", "events"][..], 64),
        (&["--report", "x", "--differences", "x"], 64),
        (&["--sms-cost", "5"], 64),
        (&["--report", "nowhere/x"], 74),
    ] {
        assert_eq!(run(&folder, &[SMALL, args].concat()).status.code(), Some(code), "{args:?}");
    }
    assert_eq!(read(&folder, "events"), recording(), "what is read is never written to");
    assert_eq!(run(&folder, &["rules", "score", "--rules", "new", "gessing"]).status.code(), Some(64));
}
