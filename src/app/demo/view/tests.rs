//! Frames as a newcomer sees them, and the same story in lines.

use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::json;

use super::*;
use crate::app::demo::fact::{Fact, Letter, Step};
use crate::app::demo::model::{Counts, News, Setting};
use crate::app::demo::plain::Lines;
use crate::app::demo::summary::{Kind, Outcome};
use crate::app::demo::table::table;
use crate::detect::document::AlertDocument;
use crate::event::Millis;
use crate::ruleset::Policy;
use crate::sim::Line as Truth;
use crate::telemetry::events::Summary;

const MINUTE: i64 = 60_000;
/// 2026-11-22, 11:00 in the wallet's zone.
const MORNING: Millis = Millis(1_795_316_400_000);

fn planted(kind: &'static str, account: Option<&str>, events: &[&str], expect: &'static [&'static str]) -> Truth {
    let (first, last) = (MORNING.plus(MINUTE), MORNING.plus(9 * MINUTE));
    Truth {
        kind,
        account: account.map(str::to_owned),
        ip: None,
        device: None,
        first,
        last,
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        expect,
    }
}

fn model() -> Model {
    Model::new(Setting {
        people: 8000,
        learning_records: 8000,
        learning_days: 21,
        day: (MORNING, MORNING.plus(24 * 60 * MINUTE)),
        planted: vec![
            planted(
                "takeover",
                Some("acc-0000001029"),
                &["login", "payee", "transfer"],
                &["new-place", "new-payee-large"],
            ),
            planted("spray", None, &["s1", "s2"], &["password-spray-ip"]),
            planted("anonymiser", Some("acc-0000000007"), &["tor"], &["anonymiser"]),
            planted("flight", Some("acc-0000000008"), &["f1"], &[]),
        ],
        shadow: ["anonymiser".to_owned()].into(),
        policy: Policy::default(),
        http: None,
    })
}

fn step(event: &str, minute: i64, text: &str) -> Fact {
    Fact::Step(Step { event: event.to_owned(), time: MORNING.plus(minute * MINUTE), text: text.to_owned() })
}

fn alert(event: &str, minute: i64, score: u8, rules: &[(&str, f64, &str)]) -> Fact {
    let finding = |(rule, share, text): &(&str, f64, &str)| {
        json!({"rule": rule, "revision": 1, "score": 50, "share": share, "group": "g", "audience": ["user"],
               "text": text, "evidence": {}})
    };
    let band = if score >= 90 { "critical" } else { "medium" };
    let alert: AlertDocument = serde_json::from_value(json!({
        "schema": 1, "id": format!("al_{event}"), "time": MORNING.plus(minute * MINUTE).rfc3339(),
        "account": "acc-0000001029", "score": score, "band": band, "audience": ["user"], "action": "hold_payment",
        "notice": "unusual-payment", "findings": rules.iter().map(finding).collect::<Vec<_>>(),
        "event": {"id": event}, "incident": null, "no_sms_until": null, "contact_as_of": null,
        "geo": {"country": "NG", "city": "Lagos", "accuracy_km": 50.0, "asn": 1, "network": "mobile",
                "last_good": {"time": MORNING.plus(-90 * MINUTE).rfc3339(), "device": "d", "country": "CN",
                              "city": "Shanghai", "accuracy_km": 5.0, "asn": 2, "network": "fixed"}},
        "usual": {"countries": ["CN"], "devices": 2, "hours": [8, 23]},
        "versions": {"rules": "b3:0", "geo": null, "walletwatch": "0"}
    }))
    .expect("an alert");
    Fact::Alert(Box::new(alert))
}

fn letter(to: &str, text: &str, file: &str) -> Letter {
    Letter { to: to.to_owned(), text: text.to_owned(), file: file.to_owned() }
}

/// The facts of a day, with the ms at which they were told.
fn facts() -> Vec<(u64, Fact)> {
    let (email, phone) = ("u1029@wallet.example", "+8611000001029");
    let account = "acc-0000001029".to_owned();
    vec![
        (900, Fact::Learned { sent: 8000 }),
        (1000, Fact::Clock { now: MORNING, sent: 8010 }),
        (1010, Fact::Contact { account, email: Some(email.to_owned()), phone: Some(phone.to_owned()) }),
        (1020, step("login", 1, "login from Lagos, Nigeria (mobile)")),
        (1030, step("payee", 3, "new payee …00a7c1")),
        (1035, alert("login", 1, 60, &[("new-place", 1.0, "first login from device dev-9 and first from NG")])),
        (1040, Fact::Mail(letter(email, "Unusual sign-in to your wallet account", "mails/001.eml"))),
        (1100, step("transfer", 9, "transfer of 12,000.00 CNY to …00a7c1")),
        (
            1117,
            alert(
                "transfer",
                9,
                95,
                &[
                    ("new-payee-large", 0.57, "12000.00 CNY to p-00a7c1, never paid by this account"),
                    (
                        "first-money-from-new-device",
                        0.43,
                        "12000.00 CNY from device dev-9; time since its first login: 8m",
                    ),
                ],
            ),
        ),
        (1130, Fact::Mail(letter(email, "Unusual transfer from your wallet account", "mails/002.eml"))),
        (
            1131,
            Fact::Sms(letter(
                phone,
                "【钱包】（蓝色的风筝）11月22日11:09您的账户有一笔异常转账12,000.00 元，收款方尾号 a7c1。非本人操作请打开App，\
                 立即联系App内客服，案件编号WW-7F3K-92S。本消息不含链接。",
                "sms/001.json",
            )),
        ),
        (9000, Fact::Clock { now: MORNING.plus(5 * 60 * MINUTE), sent: 15_000 }),
        (9010, step("s1", 300, "login refused")),
        (9020, step("s2", 301, "login refused")),
        (9030, alert("s2", 301, 60, &[("password-spray-ip", 1.0, "203.0.113.9 failed on 10 accounts")])),
        (9040, step("f1", 310, "login from London")),
        (9050, step("tor", 311, "login from Berlin")),
        (9060, seen("tor", "anonymiser")),
    ]
}

fn seen(event: &str, rule: &str) -> Fact {
    Fact::Seen { event: event.to_owned(), rule: rule.to_owned() }
}

/// The model after the facts up to a moment, and what they brought.
fn told(until_ms: u64) -> (Model, Vec<(Model, Option<News>)>) {
    let mut model = model();
    let mut told = Vec::new();
    for (at_ms, fact) in facts().into_iter().filter(|(at_ms, _)| *at_ms <= until_ms) {
        let news = model.apply(at_ms, &fact);
        let counts = Counts { taken: model.sent, alerts: model.alerts };
        model.count(at_ms, counts);
        told.push((model.clone(), news));
    }
    (model, told)
}

fn frame(model: &Model, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
    terminal.draw(|frame| draw(frame, model, Theme::new(true))).expect("a frame");
    terminal.backend().to_string()
}

#[test]
fn while_everything_starts_it_says_so() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
    terminal.draw(|frame| greet(frame, Theme::new(true))).expect("a frame");
    insta::assert_snapshot!(terminal.backend().to_string());
}

#[test]
fn before_the_day_nothing_has_happened() {
    insta::assert_snapshot!(frame(&told(900).0, 80, 24));
}

#[test]
fn the_first_attack_fits_into_eighty_columns() {
    insta::assert_snapshot!(frame(&told(1200).0, 80, 24));
}

#[test]
fn a_larger_terminal_shows_why_and_what_else() {
    insta::assert_snapshot!(frame(&told(10_000).0, 120, 40));
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    insta::assert_snapshot!(frame(&told(10_000).0, 50, 5));
}

#[test]
fn any_size_can_be_drawn() {
    let (model, _) = told(10_000);
    for columns in (1..200).step_by(7) {
        for rows in (1..70).step_by(3) {
            assert!(!frame(&model, columns, rows).is_empty());
        }
    }
}

#[test]
fn without_colours_there_are_none() {
    let (model, _) = told(10_000);
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("a terminal");
    terminal.draw(|frame| draw(frame, &model, Theme::new(false))).expect("a frame");
    let cells = &terminal.backend().buffer().content;
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn the_same_story_in_lines() {
    let mut out = Vec::new();
    let (_, told) = told(10_000);
    let mut lines = Lines::new(&mut out, false);
    for (model, news) in &told {
        lines.tell(model, *news).expect("written");
    }
    let model = &told.last().expect("facts").0;
    let summary = Summary { records: 15_000, accepted: 14_900, duplicates: 99, rejected: 1, ..Summary::default() };
    let outcome = Outcome::new(model, &summary, 7, true);
    assert!(outcome.is_good());
    table(model, &outcome, Path::new("walletwatch-demo"), &mut out).expect("written");
    let text = String::from_utf8(out).expect("UTF-8");
    // But for the lines that name rules while the day is played.
    let fits = |line: &&str| wrap::columns(line) <= 80 || line.contains("password-spray-ip");
    assert_eq!(text.lines().find(|line| !fits(line)), None);
    insta::assert_snapshot!(text);
}

#[test]
fn a_missed_attack_and_a_disturbed_look_alike_are_no_success() {
    let (mut model, _) = told(1200);
    let outcome = |model: &Model, complete| Outcome::new(model, &Summary::default(), 1, complete);
    assert_eq!((outcome(&model, true).missed, outcome(&model, true).is_good()), (1, false), "the spray");
    assert!(!outcome(&model, false).is_good(), "what was stopped has shown nothing");
    model.apply(2000, &alert("s2", 301, 60, &[("password-spray-ip", 1.0, "")]));
    assert!(outcome(&model, true).is_good());
    assert!(!outcome(&model, false).is_good(), "though all that it was to find is found");
    assert_eq!(model.apply(2001, &alert("f1", 310, 60, &[("new-place", 1.0, "")])), Some(News::Disturbed(3)));
    assert!(!outcome(&model, true).is_good());
    let of = |outcome: Outcome| (outcome.alerts, outcome.alerts_lookalikes, outcome.alerts_not_planted);
    let (alerts, similar, strays) = of(outcome(&model, true));
    assert_eq!((similar, strays), (1, 0), "on a look-alike is not on nothing, and not on an attack");
    assert_eq!(model.apply(2002, &alert("nobody", 311, 60, &[("new-place", 1.0, "")])), Some(News::Stray));
    assert_eq!(of(outcome(&model, true)), (alerts + 1, 1, 1));
    let mut out = Vec::new();
    table(&model, &outcome(&model, true), Path::new("x"), &mut out).expect("written");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.contains(&format!("{}: {} on attacks, 1 on look-alikes, 1 on anything else", alerts + 1, alerts - 1)));
}

#[test]
fn what_a_rule_in_shadow_sees_of_others_finds_no_attack() {
    let mut model = model();
    for (event, rule) in [("somebody", "anonymiser"), ("login", "anonymiser"), ("f1", "anonymiser"), ("tor", "spray")] {
        assert_eq!(model.apply(1000, &seen(event, rule)), None);
        assert_eq!(model.shadow_score(), (1, 0), "{rule} on {event}");
    }
    model.apply(1001, &seen("tor", "anonymiser"));
    model.apply(1002, &seen("tor", "anonymiser"));
    assert_eq!((model.shadow_score(), model.score()), ((1, 1), (2, 0)));
}

#[test]
fn the_rows_add_up_to_the_figures_above_them() {
    for until_ms in [0, 1200, 10_000] {
        let outcome = Outcome::new(&told(until_ms).0, &Summary::default(), 1, true);
        let kinds = |of: fn(&Kind) -> usize| outcome.kinds.iter().map(of).sum::<usize>();
        assert_eq!(kinds(|kind| kind.planted), outcome.planted + outcome.planted_shadow, "{until_ms}");
        assert_eq!(kinds(|kind| kind.found), outcome.found + outcome.found_shadow, "{until_ms}");
        assert_eq!(outcome.planted, outcome.found + outcome.missed);
    }
}

#[test]
fn what_is_kept_up_afterwards_is_no_part_of_the_days_figures() {
    let mut model = model();
    model.apply(4000, &Fact::Learned { sent: 8000 });
    model.apply(4000, &Fact::Clock { now: MORNING, sent: 8000 });
    model.apply(14_000, &Fact::Clock { now: MORNING.plus(MINUTE), sent: 15_000 });
    model.stage = Stage::Kept;
    model.count(169_000, Counts::default());
    let outcome = Outcome::new(&model, &Summary { records: 15_000, ..Summary::default() }, 1, true);
    assert_eq!(outcome.elapsed_ms, 14_000);
    assert_eq!(outcome.events_per_second, 700, "the 8000 of the days before went in a rush");
}
