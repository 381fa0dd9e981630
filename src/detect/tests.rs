//! The engine as the service sees it: what is told, in which order, and with which words.

use std::sync::Arc;

use serde_json::json;

use super::document::{AlertDocument, ContactDocument, Document};
use super::{Counters, Engine, FindingRecord, Input, Options, Sink};
use crate::event::{Event, Millis, Rejection};
use crate::ruleset::{Bands, HashKey, Sources, load};

const KEY: [u8; 16] = [6; 16];
const RULES: &str = r#"
version: 1
features:
  failed:   {count: login, where: result == "failure", by: account, over: 10m}
  last_ok:  {last: login, where: result == "success", by: account, over: 30d}
defaults: {revision: 2, state: live, owner: t, severity: low, runbook: "https://example.com/runbook"}
rules:
  - id: far
    title: another country than last time
    on: login
    score: 50
    group: place
    audience: [user, security]
    action: step_up
    when: result == "success" and country != last_ok.country and user_agent != last_ok.user_agent
    explain: "{last_ok.country} then {country}, {last_ok.age} apart"
    tests: &tests
"#;

/// Rules whose tests are not run here: each has one that says both.
fn engine(rules: &str) -> Engine {
    let mut sources = Sources::new("rules");
    sources.add("t.yaml", rules, None);
    let key = HashKey::new(KEY);
    let loaded = load(&sources, key, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let options = Options { findings: true, ..Options::default() };
    Engine::new(Arc::new(loaded.ruleset), Bands::default(), options, key)
}

fn rules(tail: &str) -> String {
    let both = "tests: [{name: t, given: {type: login, account: a, result: success}, events: [{expect: fire}, {expect: quiet}]}]";
    let (head, _) = RULES.split_once("    tests: &tests").expect("the head");
    format!("{head}    {both}\n{}", tail.replace("TESTS", both))
}

/// Everything told, in order, as lines.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn push(&mut self, what: &str, value: impl serde::Serialize) {
        self.0.push(format!("{what} {}", serde_json::to_string(&value).unwrap()));
    }
}

impl Sink for Told {
    fn rejected(&mut self, input: usize, rejection: &Rejection) {
        self.push("rejected", (input, rejection.reason));
    }
    fn duplicate(&mut self, input: usize) {
        self.push("duplicate", input);
    }
    fn accepted(&mut self, input: usize, event: &Event<'_>, late: bool) {
        self.push("accepted", (input, &event.id, late));
    }
    fn contact(&mut self, _: usize, document: ContactDocument) {
        self.push("contact", document);
    }
    fn finding(&mut self, _: usize, record: FindingRecord) {
        self.push("finding", (record.event, record.rule, record.outcome, record.score));
    }
    fn alert(&mut self, _: usize, document: AlertDocument) {
        self.push("alert", Document::Alert(Box::new(document)));
    }
}

fn take(engine: &mut Engine, events: &[serde_json::Value]) -> Vec<String> {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let inputs = lines.iter().map(|line| Input { lane: 0, value: Some(line.as_bytes()) });
    let mut told = Told::default();
    engine.take(inputs, Millis(i64::MAX / 2), None, &mut told);
    told.0
}

fn login(id: &str, time: i64, more: serde_json::Value) -> serde_json::Value {
    let mut event = json!({"id": id, "type": "login", "time": time, "account": "acc-1", "result": "success"});
    if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
        event.extend(more.clone());
    }
    event
}

#[test]
fn an_alert_as_it_is_published() {
    let mut engine = engine(&rules(""));
    let first = json!({"device": "d1", "user_agent": "Mozilla", "login_name": "zhang",
        "contact": {"email": "z@x.test", "locale": "zh-CN"}, "zone": "Asia/Shanghai",
        "geo": {"country": "CN", "city": "Shanghai", "latitude": 31.25, "longitude": 121.5, "asn": 9808, "network": "mobile"}});
    let second = json!({"device": "d2", "user_agent": "curl", "login_name": "zhang", "ip": "203.0.113.9",
        "geo": {"country": "NG", "city": "Lagos", "accuracy_km": 50.0, "network": "hosting"}});
    let events = [login("e1", 1_767_225_600_000, first), login("e2", 1_767_229_200_000, second)];
    insta::assert_snapshot!(take(&mut engine, &events).join("\n"));
}

/// A rule that compares places, as the shipped one does, and one that reads amounts and ages.
const EVIDENCE: &str = r#"
version: 1
amounts: {large: {CNY: 5000, USD: 700}}
features:
  acct_last_ok: {last: login, where: result == "success", by: account, over: 30d}
  acct_device:  {first_seen: login, where: result == "success", by: [account, device], over: 180d}
  acct_out_1h:  {sum: transfer.amount, by: account, over: 1h}
defaults: {revision: 1, state: live, owner: t, severity: low, runbook: "https://example.com/runbook", audience: [security]}
rules:
  - id: travel
    title: t
    on: login
    score: 50
    when: |
      distance_km(geo, acct_last_ok.geo) > 500 + (geo.accuracy_km ?? 100)
      and speed_kmh(geo, acct_last_ok.geo,
                    acct_last_ok.age) > 900
    explain: "{acct_last_ok.geo.country} then {geo.country}, {acct_last_ok.age} apart"
    tests: [{name: t, given: {type: login, account: a, result: success}, events: [{geo: 31.23 121.47}, {expect: quiet}, {after: 1h, geo: 6.52 3.37, expect: fire}]}]
  - id: money
    title: t
    on: transfer
    score: 50
    when: amount >= amounts.large and acct_device.age < 24h and acct_out_1h >= amounts.large and account.known_for < 30d
    explain: "{amount}"
    tests: [{name: t, given: {type: transfer, account: a, status: completed, device: d}, events: [{type: login, result: success}, {amount: 6000 CNY, after: 1m, expect: fire}, {amount: 1 CNY, expect: quiet}]}]
"#;

/// What somebody reads who is woken by it: both sightings, whole, and what lies between; ages and amounts with
/// their units.
#[test]
fn evidence_as_people_and_programs_read_it() {
    let mut engine = engine(EVIDENCE);
    let shanghai = json!({"device": "d1", "ip": "203.0.113.9", "user_agent": "Mozilla",
        "geo": {"country": "CN", "city": "Shanghai", "latitude": 31.2304, "longitude": 121.4737, "accuracy_km": 20,
            "asn": 9808, "network": "mobile"}});
    let lagos = json!({"device": "d2", "ip": "2001:db8::1", "user_agent": "curl",
        "geo": {"country": "NG", "city": "Lagos", "latitude": 6.4541, "longitude": 3.3947}});
    let paid = json!({"type": "transfer", "status": "completed", "amount": "12000", "currency": "CNY", "payee": "p1",
        "device": "d2"});
    let start = 1_767_225_600_000;
    let events = [
        login("e1", start, shanghai),
        login("e2", start + 4_230_250, lagos.clone()),
        login("e3", start + 4_230_250, json!({"geo": {"latitude": 31.0, "longitude": 121.0}})),
        login("e4", start + 90_061_000, paid),
    ];
    let told = take(&mut engine, &events);
    let findings: Vec<serde_json::Value> = told
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line.strip_prefix("alert ")?).ok())
        .map(|alert| json!({"event": alert["event"]["id"], "text": alert["findings"][0]["text"], "evidence": alert["findings"][0]["evidence"]}))
        .collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&findings).expect("JSON"));
}

#[test]
fn a_late_event_is_asked_for_its_own_fields_only_and_its_score_counts_at_its_own_time() {
    let tail = r#"  - {id: api, title: t, on: login, score: 40, audience: [security], when: channel == "api", explain: "{failed} failed", TESTS}
  - {id: risky, title: t, on: login, score: 10, audience: [security], when: account.risk > 39 and account.risk < 40, explain: t, TESTS}
  - {id: state, title: t, on: login, score: 10, audience: [security], when: failed >= 0, dedup: {by: account, for: 1h}, explain: t, TESTS}
"#;
    let mut engine = engine(&rules(tail));
    let hour = 3_600_000;
    let now = 1_767_225_600_000 + 100 * hour;
    let late = login("late", now - hour / 2, json!({"channel": "api"}));
    let told = take(&mut engine, &[login("e1", now, json!({})), late, login("e2", now + 1, json!({}))]);
    let findings: Vec<&String> =
        told.iter().filter(|line| line.starts_with("finding") || line.contains("accepted")).collect();
    assert_eq!(
        findings,
        [
            r#"accepted [0,"e1",false]"#,
            r#"finding ["e1","state","fired",10]"#,
            r#"accepted [1,"late",true]"#,
            r#"finding ["late","api","fired",40]"#,
            r#"accepted [2,"e2",false]"#,
            r#"finding ["e2","state","repeated",0]"#,
        ],
        "40 half an hour before and 10 just now are above 40"
    );
    assert_eq!(engine.counters().late, 1);
}

#[test]
fn risk_is_the_decayed_sum_of_the_scores_before() {
    let tail = r#"  - {id: api, title: t, on: login, score: 40, audience: [security], when: channel == "api", explain: t, TESTS}
  - {id: risky, title: t, on: login, score: 1, audience: [security], when: account.risk > 19.9 and account.risk < 20.1, explain: t, TESTS}
"#;
    let mut engine = engine(&rules(tail));
    let (now, day) = (1_767_225_600_000, 86_400_000);
    let told = take(&mut engine, &[login("e1", now, json!({"channel": "api"})), login("e2", now + day, json!({}))]);
    assert!(told.contains(&r#"finding ["e2","risky","fired",1]"#.to_owned()), "{told:?}");
}

#[test]
fn shadow_rules_are_found_and_reach_nobody() {
    let tail = r#"  - {id: api, title: t, state: shadow, on: login, score: 90, audience: [security], when: channel == "api", explain: t, TESTS}
  - {id: off, title: t, state: "off", on: login, score: 90, audience: [security], when: channel == "api", explain: t, TESTS}
  - {id: draft, title: t, state: draft, on: login, score: 90, audience: [security], when: channel == "api", explain: t}
"#;
    let mut engine = engine(&rules(tail));
    let told = take(&mut engine, &[login("e1", 1_767_225_600_000, json!({"channel": "api"}))]);
    assert_eq!(told, [r#"accepted [0,"e1",false]"#, r#"finding ["e1","api","fired",0]"#]);
}

#[test]
fn what_is_refused_or_repeated_touches_nothing() {
    let mut engine = engine(&rules(""));
    let one = login("e1", 1_767_225_600_000, json!({}));
    let told = take(&mut engine, &[one.clone(), json!({"id": "e1"}), one.clone(), one]);
    assert_eq!(told, [r#"accepted [0,"e1",false]"#, r#"rejected [1,"missing_field"]"#, "duplicate 2", "duplicate 3"]);
    let counters: &Counters = engine.counters();
    assert_eq!((counters.accepted_total(), counters.duplicates, counters.rejected_total()), (1, 2, 1));
}

#[test]
fn an_alert_recommends_the_strongest_action_of_its_findings() {
    let tail = r#"  - {id: lock, title: t, on: login, score: 40, action: lock_session, audience: [security], when: channel == "api", explain: t, TESTS}
  - {id: hold, title: t, on: login, score: 45, action: hold_payment, audience: [security], when: channel == "api", explain: t, TESTS}
  - {id: none, title: t, on: login, score: 50, audience: [security], when: channel == "api", explain: t, TESTS}
"#;
    let mut engine = engine(&rules(tail));
    let told = take(&mut engine, &[login("e1", 1_767_225_600_000, json!({"channel": "api"}))]);
    let alert = told.last().expect("an alert");
    assert!(alert.starts_with("alert") && alert.contains(r#""action":"lock_session""#), "{alert}");
}

#[test]
fn an_exception_ends_with_its_day_in_utc() {
    let tail = r#"  - id: api
    title: t
    on: login
    score: 40
    audience: [security]
    when: channel == "api"
    unless: [{name: x, when: account == "acc-1", reason: r, owner: o, expires: 2027-01-31}]
    explain: t
    TESTS
"#;
    let mut engine = engine(&rules(tail));
    let api = |id: &str, time: &str| {
        let mut event = login(id, 0, json!({"channel": "api"}));
        event["time"] = json!(time);
        event
    };
    let told = take(&mut engine, &[api("e1", "2027-01-31T23:59:59.999Z"), api("e2", "2027-02-01T00:00:00Z")]);
    let findings: Vec<&String> = told.iter().filter(|line| line.starts_with("finding")).collect();
    assert_eq!(findings, [r#"finding ["e1","api","excepted",0]"#, r#"finding ["e2","api","fired",40]"#]);
}

#[test]
fn a_late_event_teaches_nothing() {
    let tail = r#"  - {id: logins, title: t, on: login, score: 30, audience: [security], when: account.logins == 2, explain: t, TESTS}
  - {id: failures, title: t, on: login, score: 30, audience: [security], when: failed > 0, explain: t, TESTS}
"#;
    let mut engine = engine(&rules(tail));
    let (now, minute) = (1_767_225_600_000, 60_000);
    let late_success = login("late-1", now - 11 * minute, json!({"device": "d9", "geo": {"country": "NG"}}));
    let late_failure = login("late-2", now - 11 * minute, json!({"result": "failure"}));
    // Two, so that the median stays where it is when a late one is taken.
    let known = ["e1", "e2"].map(|id| login(id, now, json!({"device": "d1"})));
    let events = [&known[..], &[late_success, late_failure, login("e3", now, json!({}))]].concat();
    let told = take(&mut engine, &events);
    let findings: Vec<&String> = told.iter().filter(|line| line.starts_with("finding")).collect();
    assert_eq!(findings, [r#"finding ["e3","logins","fired",30]"#], "two logins are known, no failure");
    let alert = told.last().expect("an alert");
    assert!(alert.contains(r#""devices":1"#) && alert.contains(r#""countries":[]"#), "{alert}");
}
