//! The whole path, on a real broker, a real mail server and a real gateway: events a generator made, the binary
//! started as a user would, and what arrived held against the generator's truth.

mod made;
mod staged;
mod truth;
mod wallet;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::Value;

use crate::kit::postfix::postfix;
use crate::kit::process::wait_until;
use crate::kit::service::{ended, signal};
use staged::Staged;
use truth::Truth;
use wallet::{Wallet, count, number};

/// Events of the full runs.
const EVENTS: u64 = 100_000;
/// The account made by hand whose attack makes two alerts of one rule group.
const TWICE: &str = "acc-twice";
/// The account made by hand that is quiet only when it is read in the order it was written.
const QUIET: &str = "acc-quiet";

#[test]
fn everything_planted_is_found_told_once_and_counted_to_the_unit() {
    let wallet = Wallet::new("spine");
    wallet.generate(&[]);
    let truth = Truth::read(&wallet.path("truth.ndjson"));
    let twice = made::attacked_twice(TWICE, &wallet.domain);
    wallet.write(&twice);
    let summary = wallet.run(&["run", "--until-end"]);
    agrees_with_totals(&summary, &truth, twice.len() as u64);

    let alerts = wallet.alerts();
    assert_eq!(alerts.len() as u64, count(&summary, "alerts"));
    assert_eq!(count(&summary, "desk_alerts"), alerts.len() as u64);
    let replayed = wallet.replay("events.ndjson");
    truth.live_attacks_are_among(&alerts);
    truth.shadow_attacks_are_among(&replayed.findings);
    truth.look_alikes_are_not_among(&alerts);
    dead_letters_agree(&wallet, &truth);
    each_user_is_told_once(&wallet);
    the_second_alert_of_a_group_is_grouped(&wallet, &alerts);
    assert_eq!(mails_can_be_read(&wallet).len(), 2, "both languages are written");
    messages_are_signed(&wallet);
}

#[test]
fn a_stop_in_the_middle_loses_nothing_and_repeats_no_notice() {
    let wallet = Wallet::new("seam");
    let staged = Staged::generate("seam-staged");
    let truth = Truth::read(&staged.truth);
    let (early, rest) = staged.records.split_at(staged.records.len() * 7 / 10);
    let (middle, waiting) = rest.split_at(rest.len() / 2);
    wallet.write(early);
    let mut child = wallet.start();
    wait_until("a user is told by each channel", Duration::from_secs(60), || {
        (wallet.sent_to_users("email")? > 0 && wallet.sent_to_users("sms")? > 0).then_some(())
    });
    // It is held fast while it takes what is written, so that what comes next lies there, untaken, when it stops.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| wallet.write(middle));
        wait_until("it takes what is being written", Duration::from_secs(60), || {
            (wallet.committed()? > early.len() as u64).then_some(())
        });
        signal(&child, "STOP");
        writer.join().expect("the writer");
    });
    wallet.write(waiting);
    signal(&child, "TERM");
    signal(&child, "CONT");
    let first = ended(&mut child);
    let (mails, messages) = (wallet.sent("email"), wallet.sent("sms"));
    let second = wallet.run(&["run", "--until-end"]);

    let both = |name: &str| count(&first, name) + count(&second, name);
    let taken = count(&first, "records");
    assert!(taken > early.len() as u64 && taken < EVENTS, "the stop came in the middle: after {taken}");
    assert_eq!(both("accepted") + both("duplicates") + both("rejected"), EVENTS);
    assert_eq!(both("rejected"), truth.malformed.values().sum::<u64>());
    assert!(mails > 0 && messages > 0 && wallet.sent("email") >= mails && wallet.sent("sms") >= messages);
    dead_letters_agree(&wallet, &truth);
    each_user_is_told_once(&wallet);
    mails_can_be_read(&wallet);
    messages_are_signed(&wallet);
}

#[test]
fn a_backlog_is_taken_in_the_order_it_was_written() {
    let wallet = Wallet::new("backlog");
    let (logins, accounts, money) = (&wallet.topics[0], &wallet.topics[1], &wallet.topics[2]);
    wallet.write(&made::quiet_in_order(QUIET));
    wallet.generate(&["--topic-order", &format!("{money},{accounts},{logins}")]);
    let summary = wallet.run(&["run", "--role", "detect", "--until-end"]);
    let replayed = wallet.replay("events.ndjson");
    let alerts = wallet.alerts();
    let early = alerts.iter().find(|alert| alert["account"] == QUIET);
    assert!(early.is_none(), "its logins were read before the money that came before them: {early:?}");
    assert_eq!(findings_of(&alerts), findings_of(&replayed.alerts));
    assert_eq!(count(&summary, "findings"), number(&replayed.summary["findings_live"]), "{}", replayed.summary);
    let found = findings_of(&replayed.alerts);
    assert!(found.iter().any(|(_, rule)| rule == "first-money-from-new-device"), "it reads a login on a transfer");
}

#[test]
fn a_replay_gives_the_same_bytes_twice() {
    let wallet = Wallet::new("replay");
    wallet.generate_file();
    let read = |name: &str| std::fs::read(wallet.path(name)).expect("a file");
    let outputs = ["alerts.ndjson", "findings.ndjson", "rejected.ndjson", "summary.json"];
    wallet.replay("events.ndjson");
    let first = outputs.map(read);
    wallet.replay("events.ndjson");
    assert!(!first[0].is_empty());
    assert_eq!(first, outputs.map(read));
}

/// Event and rule of everything that fired, from alerts.
fn findings_of(alerts: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let findings = alerts.iter().flat_map(|alert| {
        alert["findings"].as_array().expect("findings").iter().map(|f| (text(&alert["event"]["id"]), text(&f["rule"])))
    });
    findings.collect()
}

/// Accepted, repeated, refused and late: to the unit. `made` good records are not the generator's.
fn agrees_with_totals(summary: &Value, truth: &Truth, made: u64) {
    let rejected: u64 = truth.malformed.values().sum();
    assert_eq!(count(summary, "records"), EVENTS + made);
    assert_eq!(count(summary, "duplicates"), truth.duplicates);
    assert_eq!(count(summary, "rejected"), rejected);
    assert_eq!(count(summary, "accepted"), EVENTS + made - truth.duplicates - rejected);
    assert_eq!(count(summary, "late"), truth.late);
    let by_reason: BTreeMap<String, u64> =
        serde_json::from_str(summary["rejected_by_reason"].as_str().expect("a map")).expect("JSON");
    assert_eq!(by_reason, truth.malformed);
}

/// Each damaged record is in the dead letter topic, once, under its reason.
fn dead_letters_agree(wallet: &Wallet, truth: &Truth) {
    let mut by_reason = BTreeMap::new();
    for (_, _, reason) in wallet.records(&wallet.dead) {
        *by_reason.entry(reason).or_insert(0) += 1;
    }
    assert_eq!(by_reason, truth.malformed);
}

/// At most one notice per account, rule group and addressee, every one of them sent.
fn each_user_is_told_once(wallet: &Wallet) {
    let desk = wallet.desk();
    let count = |sql: &str| desk.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    assert!(count("SELECT count(*) FROM notices WHERE audience = 'user'") > 0);
    let twice = "SELECT count(*) FROM (SELECT 1 FROM notices n JOIN cases c ON c.counter = n.case_counter \
                 WHERE n.audience = 'user' GROUP BY n.account, c.rule_group, n.chain, n.addressee HAVING count(*) > 1)";
    assert_eq!(count(twice), 0, "nobody is told twice of one thing");
    assert_eq!(count("SELECT count(*) FROM notices WHERE state NOT IN ('sent', 'undeliverable')"), 0);
}

/// Two alerts of one account and rule group, one notice: the second joined the first's case.
fn the_second_alert_of_a_group_is_grouped(wallet: &Wallet, alerts: &[Value]) {
    let of_account: Vec<&Value> = alerts.iter().filter(|alert| alert["account"] == TWICE).collect();
    let groups: Vec<&Value> = of_account.iter().map(|alert| &alert["findings"][0]["group"]).collect();
    assert_eq!(groups, ["payee", "payee"], "{of_account:?}");
    let desk = wallet.desk();
    let sql = "SELECT json_extract(a.decisions, '$.user') FROM alerts a JOIN cases c ON c.counter = a.case_counter \
               WHERE c.entity = ?1 ORDER BY a.time_ms";
    let mut rows = desk.prepare(sql).expect("a query");
    let decisions = rows.query_map([format!("account:{TWICE}")], |row| row.get::<_, String>(0)).expect("rows");
    assert_eq!(decisions.collect::<Result<Vec<_>, _>>().expect("words"), ["first_seen", "grouped"]);
    let sql = "SELECT count(*) FROM notices WHERE audience = 'user' AND account = ?1";
    assert_eq!(desk.query_row(sql, [TWICE], |row| row.get::<_, i64>(0)).expect("a number"), 1);
}

/// As many mails as notices, to whom they are for, in the language of each, with both parts. Tells whether
/// Chinese was among the languages, and whether another was.
fn mails_can_be_read(wallet: &Wallet) -> BTreeSet<bool> {
    let sent = wallet.sent("email");
    let mails = wait_until("the mails are delivered", Duration::from_secs(30), || {
        let mails: Vec<Vec<u8>> = postfix().mails().into_iter().filter(|mail| wallet.is_mine(mail)).collect();
        (mails.len() as u64 >= sent).then_some(mails)
    });
    assert_eq!(mails.len() as u64, sent, "each notice is one mail");
    let locales = wallet.locales();
    let mut ids = BTreeSet::new();
    let mut chinese_and_not = BTreeSet::new();
    for raw in &mails {
        let mail = MessageParser::default().parse(raw.as_slice()).expect("a mail");
        let to = mail.to().and_then(|to| to.first()).and_then(|to| to.address()).expect("a recipient").to_owned();
        let chinese = locales.get(&to).unwrap_or_else(|| panic!("{to} is nobody's")).starts_with("zh");
        let subject = mail.subject().expect("a subject");
        let text = mail.body_text(0).expect("a text part");
        let html = mail.body_html(0).expect("an HTML part");
        for part in [subject, &text, &html] {
            let han = part.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
            assert_eq!(han, chinese, "the language of {to}: {part}");
            assert!(!part.contains("http"), "no link: {part}");
        }
        assert!(text.contains("WW-"), "the case number: {text}");
        assert_eq!(mail.attachment_count(), 0);
        assert!(
            mail.parts.iter().filter_map(|p| p.content_type()).all(|t| t.c_type == "text" || t.c_type == "multipart")
        );
        assert!(ids.insert(mail.message_id().expect("a Message-ID").to_owned()), "each its own");
        chinese_and_not.insert(chinese);
    }
    chinese_and_not
}

/// As many requests as notices, each signed, none repeated.
fn messages_are_signed(wallet: &Wallet) {
    let requests = wallet.gateway.requests();
    assert!(!requests.is_empty(), "users are told by SMS too");
    assert!(requests.iter().all(|request| request.verified), "{requests:?}");
    let ids: BTreeSet<&str> = requests.iter().map(|request| request.id.as_str()).collect();
    assert_eq!(ids.len(), requests.len(), "none comes twice");
    assert_eq!(requests.len() as u64, wallet.sent("sms"));
}
