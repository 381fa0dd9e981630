//! What the rule language says of sequences, sentence by sentence, through the whole engine.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::detect::document::{AlertDocument, ContactDocument, Document};
use crate::detect::{Engine, FindingRecord, Input, Options, Sink};
use crate::event::{Event, Millis, Rejection};
use crate::ruleset::{Bands, HashKey, Sources, load};

const KEY: HashKey = HashKey::new([6; 16]);
const START: i64 = 1_767_225_600_000;

/// Everything told, in order.
#[derive(Default)]
struct Told(Vec<String>, Vec<AlertDocument>);

impl Sink for Told {
    fn rejected(&mut self, _: usize, rejection: &Rejection) {
        panic!("{rejection}");
    }
    fn duplicate(&mut self, _: usize) {}
    fn accepted(&mut self, _: usize, event: &Event<'_>, _: bool) {
        self.0.push(format!("> {}", event.id));
    }
    fn contact(&mut self, _: usize, _: ContactDocument) {}
    fn finding(&mut self, _: usize, record: FindingRecord) {
        let outcome = format!("{:?}", record.outcome).to_lowercase();
        self.0.push(format!("{} {outcome} {}", record.rule, record.event));
    }
    fn alert(&mut self, _: usize, document: AlertDocument) {
        let texts: Vec<&str> = document.findings.iter().map(|finding| finding.text.as_str()).collect();
        let score = document.score;
        self.0.push(format!("alert {} {score} {}", document.band.word(), texts.join(" | ")));
        self.1.push(document);
    }
}

/// Rules with these sequences, each live with a score of its own.
fn rules(of: &[(&str, &str)]) -> String {
    let mut text =
        "version: 1\nfeatures:\n  fails: {count: login, where: result == \"failure\", by: account, over: 1h}\n\
                    defaults: {revision: 1, state: live, owner: t, severity: low, score: 60, audience: [security], \
                    explain: x, runbook: \"https://example.com\", title: t}\nrules:\n"
            .to_owned();
    for (id, keys) in of {
        text.push_str(&format!(
            "  - id: {id}\n{keys}\n    tests: [{{name: t, given: {{account: a, result: success, type: login}}, events: \
             [{{expect: fire}}, {{expect: quiet}}]}}]\n"
        ));
    }
    text
}

fn loaded(text: &str) -> Arc<crate::ruleset::Ruleset> {
    let mut sources = Sources::new("rules");
    sources.add("t.yaml", text, None);
    Arc::new(load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}")).ruleset)
}

fn engine_with(text: &str, options: Options) -> Engine {
    Engine::new(loaded(text), Bands::default(), Options { findings: true, ..options }, KEY)
}

fn engine(of: &[(&str, &str)]) -> Engine {
    engine_with(&rules(of), Options::default())
}

/// An event of account `a`: id, type, seconds after the start, and more.
fn event(id: &str, kind: &str, at_s: i64, more: Json) -> Json {
    let mut event = json!({"id": id, "type": kind, "time": START + at_s * 1000, "account": "a"});
    if matches!(kind, "login" | "mfa") {
        event["result"] = json!("success");
    }
    if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
        event.extend(more.clone());
    }
    event
}

fn plain(id: &str, kind: &str, at_s: i64) -> Json {
    event(id, kind, at_s, json!({}))
}

fn take_from(engine: &mut Engine, lane: u16, moment_s: i64, events: &[Json]) -> Told {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let inputs = lines.iter().map(|line| Input { lane, value: Some(line.as_bytes()) });
    let mut told = Told::default();
    engine.take(inputs, Millis(2 * START + moment_s * 1000), None, &mut told);
    told
}

fn take(engine: &mut Engine, events: &[Json]) -> Told {
    take_from(engine, 0, 0, events)
}

/// The findings of one rule, as events.
fn fired(told: &Told) -> Vec<String> {
    told.0.iter().filter_map(|line| line.split_once(" fired ").map(|(_, event)| event.to_owned())).collect()
}

const TWO: &str = "    sequence: {by: account, within: 10m, steps: [{on: mfa, as: m}, {on: login, as: l}]}";

#[test]
fn a_finding_carries_its_chain_and_speaks_of_its_last_event() {
    let keys = "    explain: \"{m.session} then {l.device} ({device}), {fails} failed\"\n    sequence:\n      by: account\n      \
                within: 10m\n      steps:\n        - {on: mfa, as: m, where: user_agent is not missing}\n        - {on: login, as: l, \
                where: fails == 0 and session != m.session and user_agent != m.user_agent}";
    let mut engine = engine(&[("r", keys)]);
    let told = take(
        &mut engine,
        &[
            event("1", "mfa", 0, json!({"session": "s1", "user_agent": "curl", "login_name": "zhang"})),
            event("2", "login", 60, json!({"session": "s2", "device": "d2", "user_agent": "Mozilla"})),
        ],
    );
    assert_eq!(told.0, ["> 1", "> 2", "r fired 2", "alert medium 60 s1 then d2 (d2), 0 failed"]);
    let evidence = serde_json::to_value(&told.1[0].findings[0].evidence).unwrap();
    assert_eq!(
        evidence,
        json!({"fails": 0, "m.session": "s1", "m.time": "2026-01-01T00:00:00.000Z"}),
        "what the conditions read, and when the steps before were; nothing personal"
    );
}

#[test]
fn steps_go_in_event_time_and_at_equal_times_in_input_order() {
    let mut engine = engine(&[("r", TWO)]);
    let events = [plain("1", "login", 5), plain("2", "mfa", 5), plain("3", "login", 4), plain("4", "login", 5)];
    assert_eq!(fired(&take(&mut engine, &events)), ["4"], "1 came before, 3 is older");
    let events = [plain("5", "login", 9), plain("6", "mfa", 8)];
    assert_eq!(fired(&take(&mut engine, &events)), ["5"], "6 is a step that a later login goes on with, not 5");
}

#[test]
fn an_event_takes_one_step_of_a_partial_and_counts_once_whatever_it_stands_for() {
    let keys = "    sequence: {by: account, within: 10m, steps: [{on: mfa}, {on: mfa}, {on: [mfa, login]}]}";
    let mut engine = engine(&[("r", keys)]);
    let events = [event("1", "mfa", 0, json!({"count": 9})), plain("2", "mfa", 1), plain("3", "mfa", 2)];
    assert_eq!(fired(&take(&mut engine, &events)), ["3"]);
    assert_eq!(fired(&take(&mut engine, &[plain("4", "login", 3)])), ["4"], "each further match fires");
}

#[test]
fn first_to_last_is_at_most_within_and_one_finding_tells_the_newest_chain() {
    let keys =
        "    explain: \"{m.id}\"\n    sequence: {by: account, within: 10m, steps: [{on: mfa, as: m}, {on: login}]}";
    let mut engine = engine(&[("r", keys)]);
    let events = [plain("1", "mfa", 0), plain("2", "mfa", 100), plain("3", "login", 600), plain("4", "login", 701)];
    let told = take(&mut engine, &events);
    assert_eq!(fired(&told), ["3"]);
    assert!(told.0.contains(&"alert medium 60 2".to_owned()), "{:?}", told.0);
}

#[test]
fn what_has_no_room_is_counted_and_what_expired_goes_first() {
    let keys =
        "    sequence: {by: account, within: 100s, steps: [{on: mfa, as: m}, {on: login, where: device == m.device}]}";
    let mut engine = engine(&[("r", keys)]);
    let mfa = |n: i64, at_s: i64| event(&format!("m{n}"), "mfa", at_s, json!({"device": format!("d{n}")}));
    let events: Vec<Json> = (0..16).map(|n| mfa(n, n)).chain([mfa(16, 110), mfa(17, 111)]).collect();
    take(&mut engine, &events);
    assert_eq!(engine.counters().sequence_overflow, [0], "ten had expired when room was wanted");
    take(&mut engine, &(18..28).map(|n| mfa(n, 111)).collect::<Vec<_>>());
    let before = engine.counters().sequence_overflow[0];
    assert!(before > 0, "these had not");
    let login = |id: &str, device: &str| event(id, "login", 112, json!({"device": device}));
    assert_eq!(fired(&take(&mut engine, &[login("a", "d0"), login("b", "d27"), login("c", "d16")])), ["b", "c"]);
}

#[test]
fn a_late_event_takes_no_step_cancels_nothing_and_follows_nothing() {
    let keys = "    sequence: {by: account, within: 1h, steps: [{on: mfa}, {on: login}], without: [{on: logout}]}";
    let absent =
        "    sequence: {by: account, within: 1h, steps: [{on: sim_changed}], absent: [{on: lock, within: 1m}]}";
    let mut engine = engine(&[("absent", absent), ("r", keys)]);
    let lock = event("l", "lock", 1001, json!({"change": "locked"}));
    let told = take(
        &mut engine,
        &[
            plain("1", "sim_changed", 1000),
            plain("2", "mfa", 1500),
            plain("3", "device_bound", 2000),
            plain("4", "device_bound", 2000),
            plain("5", "device_bound", 2000),
            plain("5a", "device_bound", 2000),
            plain("5b", "device_bound", 2000),
            plain("5c", "device_bound", 2000),
            plain("5d", "device_bound", 2000),
            plain("6", "mfa", 10),
            plain("7", "logout", 1300),
            lock,
            plain("8", "login", 2001),
        ],
    );
    assert_eq!(engine.counters().late, 3);
    assert_eq!(fired(&told), ["1", "8"]);
}

#[test]
fn without_takes_what_began_before_it_and_is_no_step_itself() {
    let keys =
        "    sequence: {by: account, within: 1h, steps: [{on: [mfa, logout]}, {on: login}], without: [{on: logout}]}";
    let mut engine = engine(&[("r", keys)]);
    let events = [plain("1", "logout", 0), plain("2", "login", 1), plain("3", "mfa", 10), plain("4", "logout", 9)];
    assert_eq!(fired(&take(&mut engine, &events)), Vec::<String>::new());
    assert_eq!(fired(&take(&mut engine, &[plain("5", "login", 11)])), ["5"], "the logout is older than the beginning");
    assert_eq!(fired(&take(&mut engine, &[plain("6", "logout", 10), plain("7", "login", 12)])), Vec::<String>::new());
}

#[test]
fn without_that_reads_a_step_is_a_step_itself_where_it_takes_nothing() {
    let keys = "    sequence:\n      by: account\n      within: 1h\n      steps: [{on: mfa, as: m}, {on: [login, logout]}]\n      \
                without: [{on: logout, where: session == m.session}]";
    let mut engine = engine(&[("r", keys)]);
    let with = |id: &str, kind: &str, at_s: i64, session: &str| event(id, kind, at_s, json!({"session": session}));
    let events = [with("1", "mfa", 0, "s1"), with("2", "logout", 1, "s2"), with("3", "logout", 2, "s1")];
    assert_eq!(fired(&take(&mut engine, &events)), ["2"], "3 cancels, and is no step");
    assert_eq!(fired(&take(&mut engine, &[plain("4", "login", 3)])), Vec::<String>::new());
}

/// Asked for, and not completed within ten minutes.
const ABSENT: &str = "    explain: \"{via} asked by {device}, {fails} failed\"\n    dedup: {by: account, for: 1h}\n    sequence:\n      \
                      by: account\n      within: 1h\n      steps: [{on: password_reset, as: r, where: stage == \"requested\"}]\n      \
                      absent: [{on: password_reset, where: stage == \"completed\", within: 10m}, {on: logout, within: 1m}]";

fn reset(id: &str, stage: &str, at_s: i64, account: &str) -> Json {
    event(id, "password_reset", at_s, json!({"stage": stage, "via": "sms", "account": account, "device": "d1"}))
}

#[test]
fn absent_is_decided_before_the_event_that_moved_the_watermark_in_the_order_of_ends() {
    let mut engine = engine(&[("r", ABSENT)]);
    let told = take(
        &mut engine,
        &[
            event("0", "login", 0, json!({"account": "b", "result": "failure"})),
            reset("1", "requested", 10, "b"),
            reset("2", "requested", 0, "c"),
            reset("3", "requested", 0, "d"),
            plain("4", "login", 670),
            plain("5", "login", 671),
        ],
    );
    let expected = [
        "> 0",
        "> 1",
        "> 2",
        "> 3",
        "r fired 2",
        "alert medium 60 sms asked by d1, 0 failed",
        "r fired 3",
        "alert medium 60 sms asked by d1, 0 failed",
        "> 4",
        "r fired 1",
        "alert medium 60 sms asked by d1, 1 failed",
        "> 5",
    ];
    assert_eq!(told.0, expected, "the texts are as the last step saw them");
    let document = &told.1[2];
    assert_eq!((document.time.as_str(), document.account.as_deref()), ("2026-01-01T00:00:10.000Z", Some("b")));
    assert_eq!(document.event["id"], "1");
    assert_eq!(engine.counters().alerts.iter().sum::<u64>(), 3);
}

#[test]
fn what_follows_in_time_ends_the_waiting_and_each_item_has_its_own_time() {
    let after = |events: &[Json]| {
        let mut engine = engine(&[("r", ABSENT)]);
        let first = [reset("1", "requested", 0, "a")];
        fired(&take(&mut engine, &[&first[..], events, &[plain("z", "login", 661)]].concat()))
    };
    assert_eq!(after(&[]), ["1"]);
    assert_eq!(after(&[reset("2", "completed", 600, "a")]), Vec::<String>::new(), "the end is within");
    assert_eq!(after(&[reset("2", "completed", 601, "a")]), ["1"]);
    assert_eq!(after(&[reset("2", "completed", 60, "b")]), ["1"], "another account's");
    assert_eq!(after(&[plain("2", "logout", 60)]), Vec::<String>::new());
    assert_eq!(
        after(&[plain("2", "logout", 61)]),
        ["1"],
        "the end is the latest of all items, each counts for its own"
    );
}

#[test]
fn without_ends_with_the_last_step() {
    let keys = "    sequence: {by: account, within: 1h, steps: [{on: mfa}], without: [{on: logout}], absent: [{on: lock, within: 1m}]}";
    let mut engine = engine(&[("r", keys)]);
    let events = [plain("1", "mfa", 0), plain("2", "logout", 1), plain("3", "login", 200)];
    assert_eq!(fired(&take(&mut engine, &events)), ["1"]);
}

#[test]
fn an_absent_finding_scores_alone_and_has_one_id_for_one_cause() {
    let other = "    on: login\n    when: channel == \"api\"";
    let alerts = |event_id: &str| {
        let mut engine = engine(&[("own", other), ("r", ABSENT)]);
        let mut asked = reset("1", "requested", 0, "a");
        asked["id"] = json!(event_id);
        let told = take(&mut engine, &[asked, event("2", "login", 661, json!({"channel": "api"}))]);
        assert_eq!(told.0.last().map(String::as_str), Some("alert medium 60 x"));
        told.1.into_iter().map(|document| (document.id, document.findings.len())).collect::<Vec<_>>()
    };
    let (one, two) = (alerts("1"), alerts("another"));
    assert_eq!(one, two, "by rule, entity and time");
    assert_eq!(one.iter().map(|(_, findings)| *findings).collect::<Vec<_>>(), [1, 1]);
    assert_ne!(one[0].0, one[1].0);
}

#[test]
fn dedup_and_exceptions_of_what_is_absent_speak_of_the_last_step() {
    let unless =
        "    unless: [{name: x, when: device == \"d9\" and fails == 0, reason: r, owner: o, expires: 2026-01-01}]\n";
    let mut engine = engine(&[("r", &format!("{unless}{ABSENT}"))]);
    let mut excepted = reset("1", "requested", 0, "a");
    excepted["device"] = json!("d9");
    let told = take(
        &mut engine,
        &[
            excepted,
            event("2", "login", 1, json!({"result": "failure"})),
            reset("3", "requested", 2, "a"),
            reset("4", "requested", 3, "a"),
            plain("5", "login", 900),
        ],
    );
    let findings: Vec<&String> = told.0.iter().filter(|line| line.starts_with("r ")).collect();
    assert_eq!(findings, ["r excepted 1", "r fired 3", "r repeated 4"]);
}

#[test]
fn partitions_that_are_not_idle_hold_the_watermark_back() {
    let mut engine = engine(&[("r", ABSENT)]);
    engine.partitions([false, true].into_iter());
    assert_eq!(
        fired(&take_from(&mut engine, 0, 0, &[reset("1", "requested", 0, "a"), plain("2", "login", 5000)])),
        Vec::<String>::new()
    );
    engine.partitions([false, true].into_iter());
    assert_eq!(fired(&take_from(&mut engine, 0, 59, &[plain("3", "login", 5001)])), Vec::<String>::new());
    engine.partitions([false, true].into_iter());
    let told = take_from(&mut engine, 0, 60, &[plain("4", "login", 5002)]);
    assert_eq!(told.0[0], "r fired 1", "{:?}", told.0);
}

#[test]
fn a_swap_keeps_chains_of_definitions_that_stay() {
    let three = "    sequence: {by: account, within: 10m, steps: [{on: mfa, as: m}, {on: login, as: l}, {on: logout}]}";
    let first = rules(&[("absent", ABSENT), ("changed", TWO), ("r", TWO), ("z", three)]);
    let wider = TWO.replace("10m", "11m");
    let other = "    on: login\n    when: fails >= 0 and channel == \"api\"";
    // Renamed, one more in front, one wider, one gone.
    let second = rules(&[("a-new-one", other), ("changed", &wider), ("renamed", TWO), ("still-absent", ABSENT)]);
    let mut engine = engine_with(&first, Options::default());
    take(&mut engine, &[plain("1", "mfa", 0), reset("2", "requested", 0, "a")]);
    let swapped = engine.swap(loaded(&second), Bands::default());
    let warming: Vec<&str> = swapped.warming.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(warming, ["changed"]);
    let told = take(&mut engine, &[plain("3", "login", 10), plain("4", "login", 661)]);
    let findings: Vec<&String> = told.0.iter().filter(|line| line.contains(" fired ")).collect();
    assert_eq!(findings, ["renamed fired 3", "still-absent fired 2"]);
    let back = engine.swap(loaded(&first), Bands::default());
    assert_eq!(back.warming.len(), 2, "what was gone begins anew: {:?}", back.warming);
}

#[test]
fn entities_are_bounded_and_what_is_forgotten_is_counted_and_the_expired_are_swept() {
    let mut engine = engine_with(&rules(&[("r", TWO)]), Options { entities_max: 10, ..Options::default() });
    let mfa = |n: i64| event(&format!("m{n}"), "mfa", n, json!({"account": format!("a{n}")}));
    take(&mut engine, &(0..25).map(mfa).collect::<Vec<_>>());
    assert_eq!((engine.sequences(), engine.counters().sequences_forgotten), (10, 15));
    assert!(engine.sequence_bytes() > 1000);
    let quiet: Vec<Json> = (0..2000).map(|n| plain(&format!("q{n}"), "device_bound", 100_000 + n)).collect();
    take(&mut engine, &quiet);
    assert_eq!(engine.sequences(), 0);
}

#[test]
fn a_rule_that_informs_makes_an_alert_of_band_info_and_no_risk() {
    let informs = "    inform: true\n    notice: unusual-login\n    on: login\n    when: channel == \"web\"";
    let weak = "    score: 20\n    on: login\n    when: device == \"d1\"";
    let strong = "    score: 60\n    on: login\n    when: device == \"d2\"";
    let risk = "    score: 0\n    on: login\n    when: account.risk > 0";
    let mut engine = engine(&[("informs", informs), ("risk", risk), ("strong", strong), ("weak", weak)]);
    let web = |id: &str, at_s: i64, device: &str| event(id, "login", at_s, json!({"channel": "web", "device": device}));
    let told = take(&mut engine, &[web("1", 0, "d0")]);
    assert_eq!(told.0, ["> 1", "informs fired 1", "alert info 0 x"]);
    let document = &told.1[0];
    assert_eq!(serde_json::to_value(&document.audience).unwrap(), json!(["user"]));
    assert_eq!((document.notice.as_str(), document.findings[0].score), ("unusual-login", 0));
    let text = serde_json::to_string(&Document::Alert(Box::new(document.clone()))).unwrap();
    assert!(text.contains(r#""band":"info""#), "{text}");
    let told = take(&mut engine, &[web("2", 1, "d1")]);
    assert_eq!(
        told.0,
        ["> 2", "informs fired 2", "weak fired 2", "alert info 0 x"],
        "no risk yet, and no suspicion in it"
    );
    assert_eq!(told.1[0].findings.len(), 1);
    let told = take(&mut engine, &[web("3", 2, "d2")]);
    assert_eq!(told.0.last().map(String::as_str), Some("alert medium 60 x | x | x"), "{:?}", told.0);
    let rules: Vec<&str> = told.1[0].findings.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!(rules, ["strong", "informs", "risk"], "the weak one's score is a risk by now");
}
