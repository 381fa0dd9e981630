//! The desk: taken once, told once, durable with its offsets.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use walletwatch::alert::{
    Compose, Desk, DeskConfig, DeskError, Message, NoticeRow, NoticeState, Offset, Order, Record, Taken, Undeliverable,
};
use walletwatch::event::Millis;
use walletwatch::ruleset::{Audience, Band};

const NOW: Millis = Millis(1_795_316_941_000);
const HOUR_MS: i64 = 3_600_000;

/// Mail and SMS for users as the default policy says, one channel for security; its messages say what they saw.
#[derive(Default)]
struct Echo {
    panics: AtomicBool,
}

impl Compose for Echo {
    fn chains(&self, audience: Audience, band: Band) -> Vec<Vec<String>> {
        let chains: &[&[&str]] = match (audience, band) {
            (Audience::User, Band::Critical) => &[&["email"], &["sms"]],
            (Audience::User, _) => &[&["email", "sms"]],
            (Audience::Security, _) => &[&["soc"]],
            (Audience::Operations, _) => &[],
        };
        chains.iter().map(|chain| chain.iter().map(|c| (*c).to_owned()).collect()).collect()
    }

    fn compose(&self, order: &Order<'_>, channel: &str) -> Result<Message, Undeliverable> {
        assert!(!self.panics.load(Ordering::Relaxed), "told to panic");
        let recipient = match channel {
            "soc" => Some(String::new()),
            "email" => order.contact.ok_or(Undeliverable::NoContact)?.email.clone(),
            _ => order.contact.ok_or(Undeliverable::NoContact)?.phone.clone(),
        };
        let recipient = recipient.ok_or(Undeliverable::NoAddress)?;
        Ok(Message { recipient, body: format!("{channel} {} {}", order.alert.id, order.notice).into_bytes() })
    }
}

struct At {
    desk: Desk,
    folder: TempDir,
}

fn config(folder: &TempDir) -> DeskConfig {
    DeskConfig::at(folder.path().join("desk.db"))
}

fn desk() -> At {
    let folder = tempfile::tempdir().expect("a folder");
    At { desk: Desk::open(config(&folder)).expect("a desk"), folder }
}

#[derive(Clone)]
struct Alert {
    id: &'static str,
    account: &'static str,
    group: &'static str,
    band: &'static str,
    hour: i64,
    contact_as_of: Option<&'static str>,
}

impl Alert {
    fn new(id: &'static str, account: &'static str, band: &'static str) -> Self {
        Alert { id, account, group: "guessing", band, hour: 0, contact_as_of: None }
    }

    fn bytes(&self) -> Vec<u8> {
        let audience = ["security", "user"];
        let time = Millis(NOW.0 + self.hour * HOUR_MS).rfc3339();
        json!({
            "kind": "alert", "schema": 1, "id": self.id, "time": time, "account": self.account, "score": 95, "band": self.band,
            "audience": audience, "action": "none", "notice": "unusual-login",
            "findings": [{"rule": "r", "revision": 1, "score": 95, "share": 1.0, "group": self.group, "audience": audience,
                          "text": "t", "evidence": {}}],
            "event": {"type": "login"}, "geo": {}, "incident": null, "no_sms_until": null,
            "contact_as_of": self.contact_as_of, "usual": {"countries": [], "devices": 0, "hours": null},
            "versions": {"rules": "", "geo": null, "walletwatch": ""}, "a_field_of_tomorrow": 1,
        })
        .to_string()
        .into_bytes()
    }
}

fn contact(account: &str, as_of: &str, email: &str) -> Vec<u8> {
    json!({"schema": 1, "account": account, "as_of": as_of, "email": email, "phone": "+8613800138000"})
        .to_string()
        .into_bytes()
}

impl At {
    fn alerts(&self, alerts: &[Alert]) -> Taken {
        let bytes: Vec<Vec<u8>> = alerts.iter().map(Alert::bytes).collect();
        let records: Vec<Record<'_>> = bytes.iter().map(|b| Record::Alert(b)).collect();
        self.desk.take(&records, &[], &Echo::default(), NOW).expect("taken")
    }

    fn contact(&self, account: &str, as_of: &str, email: &str) -> Taken {
        let bytes = contact(account, as_of, email);
        self.desk.take(&[Record::Contact(&bytes)], &[], &Echo::default(), NOW).expect("taken")
    }

    /// Users' notices: alert, state, channel, reason.
    fn told(&self) -> Vec<String> {
        let mut rows = self.desk.notices(1000).expect("rows");
        rows.retain(|n| n.audience == "user");
        rows.sort_by(|a, b| (&a.alert, &a.channel).cmp(&(&b.alert, &b.channel)));
        let line = |n: NoticeRow| {
            format!("{} {} {} {}", n.alert, n.state.word(), n.channel.unwrap_or_default(), n.reason.unwrap_or_default())
        };
        rows.into_iter().map(|n| line(n).trim_end().to_owned()).collect()
    }

    fn recipients(&self, channel: &str) -> Vec<String> {
        let (due, _) = self.desk.claim(channel, &Default::default(), 100, NOW.plus(5_000)).expect("claimed");
        due.into_iter().map(|c| c.message.recipient).collect()
    }
}

/// The alerts of [`Alert`] are of this time.
fn hours(hour: i64) -> String {
    Millis(NOW.0 + hour * HOUR_MS).rfc3339()
}

fn changed(account: &str, hour: i64, now: (&str, &str), before: (Option<&str>, Option<&str>)) -> Vec<u8> {
    let previous = |value: Option<&str>| value.map(|value| json!({"value": value, "until": hours(hour)}));
    json!({"schema": 1, "account": account, "as_of": hours(hour), "email": now.0, "phone": now.1,
           "previous_email": previous(before.0), "previous_phone": previous(before.1)})
    .to_string()
    .into_bytes()
}

fn decided(taken: &Taken) -> Vec<String> {
    taken.decisions.iter().map(|((audience, reason), count)| format!("{audience} {reason} {count}")).collect()
}

#[test]
fn an_alert_is_told_once_and_again_only_when_it_gets_worse() {
    let at = desk();
    at.contact("a", "2026-01-01T00:00:00Z", "a@wallet.example");
    let first = at.alerts(&[Alert::new("al_1", "a", "high")]);
    assert_eq!(decided(&first), ["security first_seen 1", "user first_seen 1"]);
    let same = at.alerts(&[Alert::new("al_1", "a", "high"), Alert::new("al_2", "a", "high")]);
    assert_eq!((same.known, same.alerts), (1, 1));
    assert_eq!(decided(&same), ["security grouped 1", "security known 1", "user grouped 1", "user known 1"]);
    let worse = at.alerts(&[Alert::new("al_3", "a", "critical"), Alert::new("al_4", "a", "medium")]);
    assert_eq!(decided(&worse), ["security band_rose 1", "security grouped 1", "user band_rose 1", "user grouped 1"]);
    let other = Alert { group: "money", ..Alert::new("al_5", "a", "high") };
    assert_eq!(decided(&at.alerts(&[other])), ["security first_seen 1", "user first_seen 1"]);
    assert_eq!(at.told(), ["al_1 queued email", "al_3 queued email", "al_3 queued sms", "al_5 queued email"]);
}

#[test]
fn a_quiet_case_is_over_and_the_next_alert_is_told() {
    let at = desk();
    let hour = |id, hour| Alert { hour, ..Alert::new(id, "a", "high") };
    at.alerts(&[hour("al_1", 0), hour("al_2", 24), hour("al_3", 49)]);
    assert_eq!(at.told().iter().map(|n| &n[..4]).collect::<Vec<_>>(), ["al_1", "al_3"]);
}

#[test]
fn a_notice_waits_for_the_contact_its_alert_names() {
    let at = desk();
    at.contact("a", "2026-01-01T00:00:00Z", "old@wallet.example");
    let alert = |id, group| Alert { contact_as_of: Some("2026-05-01T00:00:00Z"), group, ..Alert::new(id, "a", "high") };
    assert_eq!(at.alerts(&[alert("al_1", "one")]).waiting, 1);
    assert_eq!(at.desk.untried().expect("a count"), 2, "one waits, security's is queued");
    let open = at.desk.open_notices().expect("counts");
    assert_eq!(open.get(&None), Some(&1), "{open:?}");
    assert_eq!(open.values().sum::<u64>(), 2, "{open:?}");
    // An older contact is not what it waits for; a newer one is.
    at.contact("a", "2026-03-01T00:00:00Z", "older@wallet.example");
    assert_eq!(at.told(), ["al_1 waiting"]);
    let taken = at.contact("a", "2026-06-01T00:00:00Z", "new@wallet.example");
    assert_eq!((taken.queued.get("email"), taken.contact_late), (Some(&1), 0));
    assert_eq!(at.recipients("email"), ["new@wallet.example"]);
    assert_eq!(
        at.contact("a", "2026-02-01T00:00:00Z", "back@wallet.example").contacts,
        0,
        "never back to an older one"
    );
    assert_eq!(at.alerts(&[alert("al_2", "two")]).queued.get("email"), Some(&1), "at hand: no wait");
}

#[test]
fn after_five_seconds_it_goes_on_with_what_is_at_hand() {
    let at = desk();
    at.contact("a", "2026-01-01T00:00:00Z", "old@wallet.example");
    let alert = |id, account| Alert { contact_as_of: Some("2026-05-01T00:00:00Z"), ..Alert::new(id, account, "high") };
    at.alerts(&[alert("al_1", "a"), alert("al_2", "nobody")]);
    assert_eq!(at.desk.next_due(None, &Default::default()).expect("read"), Some(NOW.plus(5_000)));
    let early = at.desk.stop_waiting(&Echo::default(), NOW.plus(4_999)).expect("written");
    assert_eq!(early, Taken::default());
    let taken = at.desk.stop_waiting(&Echo::default(), NOW.plus(5_000)).expect("written");
    assert_eq!(taken.contact_late, 2);
    assert_eq!(at.told(), ["al_1 queued email", "al_2 undeliverable  no_contact"]);
    assert_eq!(at.recipients("email"), ["old@wallet.example"]);
}

#[test]
fn what_cannot_be_delivered_is_kept_with_its_reason() {
    let at = desk();
    let taken = at.alerts(&[Alert::new("al_1", "a", "critical")]);
    assert_eq!(taken.undeliverable, BTreeMap::from([("no_contact", 2)]));
    assert_eq!(at.told(), ["al_1 undeliverable  no_contact", "al_1 undeliverable  no_contact"]);
    at.contact("b", "2026-01-01T00:00:00Z", "b@wallet.example");
    at.desk.take(&[Record::NoContact("b")], &[], &Echo::default(), NOW).expect("taken");
    assert_eq!(at.alerts(&[Alert::new("al_2", "b", "high")]).undeliverable, BTreeMap::from([("no_contact", 1)]));
}

const OWNER: &str = "owner@wallet.example";
const THIEF: &str = "thief@evil.example";
const PHONE: &str = "+8613800138000";
const OLD_PHONE: &str = "+8613900139000";

#[test]
fn a_replaced_address_is_told_too_for_48_hours() {
    let at = desk();
    let change = changed("a", 0, (THIEF, PHONE), (Some(OWNER), None));
    at.desk.take(&[Record::Contact(&change)], &[], &Echo::default(), NOW).expect("taken");
    let alert = |id, group, hour| Alert { group, hour, ..Alert::new(id, "a", "high") };
    let taken = at.alerts(&[alert("al_1", "one", 1), alert("al_2", "two", 47), alert("al_3", "three", 48)]);
    assert_eq!(taken.queued.get("email"), Some(&5), "each is a notice of its own");
    assert_eq!(decided(&taken), ["security first_seen 3", "user first_seen 3"]);
    let mut to = at.recipients("email");
    to.sort();
    assert_eq!(to, [OWNER, OWNER, THIEF, THIEF, THIEF]);
    let again = at.alerts(&[alert("al_1", "one", 1), alert("al_4", "one", 2)]);
    assert_eq!((again.queued.get("email"), again.known), (None, 1), "once per addressee and group");
    let rows = at.desk.notices(100).expect("rows");
    let ids: std::collections::HashSet<&str> = rows.iter().map(|n| n.id.as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "a key each");
    let previous = rows.iter().filter(|n| n.addressee == "previous").map(|n| n.alert.as_str());
    assert_eq!(previous.collect::<std::collections::BTreeSet<_>>(), ["al_1", "al_2"].into());
}

#[test]
fn only_the_channels_whose_address_changed_are_told_twice() {
    let at = desk();
    let change = changed("a", 0, (OWNER, PHONE), (None, Some(OLD_PHONE)));
    at.desk.take(&[Record::Contact(&change)], &[], &Echo::default(), NOW).expect("taken");
    at.alerts(&[Alert::new("al_1", "a", "critical"), Alert { group: "money", ..Alert::new("al_2", "a", "high") }]);
    assert_eq!(at.recipients("email"), [OWNER, OWNER]);
    let mut to = at.recipients("sms");
    to.sort();
    assert_eq!(to, [PHONE, OLD_PHONE, OLD_PHONE]);
}

#[test]
fn a_notice_that_waited_for_the_change_tells_both() {
    let at = desk();
    at.contact("a", "2026-01-01T00:00:00Z", OWNER);
    let (hour, when) = (1, hours(0));
    let when: &'static str = when.leak();
    let alert = Alert { contact_as_of: Some(when), hour, ..Alert::new("al_1", "a", "high") };
    assert_eq!(at.alerts(&[alert]).waiting, 1);
    let change = changed("a", 0, (THIEF, PHONE), (Some(OWNER), None));
    let taken = at.desk.take(&[Record::Contact(&change)], &[], &Echo::default(), NOW).expect("taken");
    assert_eq!(taken.queued.get("email"), Some(&2));
    let mut to = at.recipients("email");
    to.sort();
    assert_eq!(to, [OWNER, THIEF]);
}

#[test]
fn a_partial_contact_takes_nothing_away() {
    let at = desk();
    at.contact("a", &hours(-2), OWNER);
    // Detection started anew and has seen no more than a mail address since.
    let partial = |hour, email| {
        let bytes = json!({"schema": 1, "account": "a", "as_of": hours(hour), "email": email, "phone": null,
                           "locale": null, "zone": null, "anti_phishing": null, "previous_email": null});
        bytes.to_string().into_bytes()
    };
    let take = |bytes: &[u8]| at.desk.take(&[Record::Contact(bytes)], &[], &Echo::default(), NOW).expect("taken");
    assert_eq!(take(&partial(-1, THIEF)).contacts, 1);
    assert_eq!(take(&changed("a", -3, ("old@wallet.example", OLD_PHONE), (None, None))).contacts, 0, "older");
    at.alerts(&[Alert::new("al_1", "a", "critical")]);
    let mut to = at.recipients("email");
    to.sort();
    assert_eq!(to, [OWNER, THIEF], "the desk saw the change itself");
    assert_eq!(at.recipients("sms"), [PHONE]);
}

#[test]
fn a_batch_is_durable_with_its_offsets_or_not_at_all() {
    let At { desk, folder } = desk();
    let offset = |next| Offset { topic: "wallet.alerts".to_owned(), partition: 0, next };
    let bytes = Alert::new("al_1", "a", "high").bytes();
    let records = [Record::Alert(&bytes), Record::Alert(b"{\"kind\":\"tomorrow\"}"), Record::Contact(b"nonsense")];
    let taken = desk.take(&records, &[offset(3)], &Echo::default(), NOW).expect("taken");
    assert_eq!((taken.alerts, taken.unreadable), (1, 2));
    let panics = Echo { panics: AtomicBool::new(true) };
    let second = Alert::new("al_2", "b", "high").bytes();
    let broken = catch_unwind(AssertUnwindSafe(|| desk.take(&[Record::Alert(&second)], &[offset(4)], &panics, NOW)));
    assert!(broken.is_err());
    assert_eq!(desk.offsets().expect("read"), [offset(3)]);
    drop(desk);
    let again = Desk::open(config(&folder)).expect("opens again");
    assert_eq!(again.offsets().expect("read"), [offset(3)]);
    let taken = again.take(&[Record::Alert(&bytes), Record::Alert(&second)], &[offset(4)], &Echo::default(), NOW);
    let taken = taken.expect("taken");
    assert_eq!((taken.known, taken.alerts), (1, 1));
}

#[test]
fn one_instance_at_a_time_and_no_file_of_a_newer_version() {
    let At { desk, folder } = desk();
    assert!(matches!(Desk::open(config(&folder)), Err(DeskError::InUse { .. })));
    drop(desk);
    rusqlite::Connection::open(folder.path().join("desk.db"))
        .and_then(|c| c.pragma_update(None, "user_version", 99))
        .expect("written");
    assert!(matches!(Desk::open(config(&folder)), Err(DeskError::Newer { found: 99, .. })));
    let missing = DeskConfig::at(folder.path().join("no/such/folder/desk.db"));
    assert!(matches!(Desk::open(missing), Err(DeskError::Open { .. })));
}

#[test]
fn a_file_that_sqlite_cannot_use_is_named_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("desk.db");
    std::fs::write(&path, "no database at all ".repeat(100)).expect("written");
    let told = Desk::open(DeskConfig::at(path.clone())).expect_err("not usable").to_string();
    assert_eq!(told, format!("failed to open the desk {}: file is not a database", path.display()));
}

/// A second connection that holds the file for itself alone.
fn exclusive(folder: &TempDir) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(folder.path().join("desk.db")).expect("another program");
    other.execute_batch("CREATE TABLE IF NOT EXISTS t (x); BEGIN EXCLUSIVE").expect("it locks the file");
    other
}

#[test]
fn a_desk_that_another_program_holds_is_waited_for_and_then_said_to_be_locked() {
    let folder = tempfile::tempdir().expect("a folder");
    let brief = DeskConfig { lock_wait_ms_max: 300, ..config(&folder) };
    let other = exclusive(&folder);
    let began = Instant::now();
    let error = Desk::open(brief).expect_err("locked");
    assert!(began.elapsed() >= Duration::from_millis(250), "it was waited for");
    assert!(error.is_in_use());
    let path = folder.path().join("desk.db");
    let told = "is locked by another program: waited 300 ms; end that program, or start again once it is done";
    assert_eq!(error.to_string(), format!("the desk {} {told}", path.display()));
    let long = config(&folder);
    let opening = std::thread::spawn(move || Desk::open(long));
    other.execute_batch("COMMIT").expect("it is done");
    opening.join().expect("no panic").expect("opens once the lock is gone");
}

#[test]
fn a_desk_that_is_locked_or_damaged_while_it_is_used_names_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::open(DeskConfig { lock_wait_ms_max: 50, ..config(&folder) }).expect("a desk");
    let bytes = Alert::new("al_1", "a", "high").bytes();
    let take = || desk.take(&[Record::Alert(&bytes)], &[], &Echo::default(), NOW);
    let other = exclusive(&folder);
    assert!(matches!(take(), Err(DeskError::Locked { waited_ms: 50, .. })));
    other.execute_batch("ROLLBACK").expect("it is done");
    assert_eq!(take().expect("taken").alerts, 1);
    other.execute_batch("DROP TABLE offsets").expect("dropped");
    let path = folder.path().join("desk.db");
    let told = desk.offsets().expect_err("no table").to_string();
    assert_eq!(told, format!("failed to read or write the desk {}: no such table: offsets", path.display()));
}

#[cfg(unix)]
#[test]
fn a_probe_fails_while_nobody_can_write() {
    let at = desk();
    at.desk.probe(NOW).expect("it can be written");
    let other = rusqlite::Connection::open(at.folder.path().join("desk.db")).expect("the same file");
    other.execute_batch("BEGIN IMMEDIATE").expect("the only writer");
    let error = at.desk.probe(NOW).expect_err("somebody else writes");
    assert!(error.to_string().contains("is locked by another program"), "{error}");
    other.execute_batch("ROLLBACK").expect("done");
    at.desk.probe(NOW).expect("it can be written again");
}

#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let At { desk, folder } = desk();
    desk.take(&[Record::Alert(&Alert::new("al_1", "a", "high").bytes())], &[], &Echo::default(), NOW).expect("taken");
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        assert_eq!(entry.metadata().expect("metadata").permissions().mode() & 0o077, 0, "{:?}", entry.file_name());
    }
}

const IDS: [&str; 6] = ["al_0", "al_1", "al_2", "al_3", "al_4", "al_5"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is delivered again, from any earlier place and in any batches, the desk ends as if each record had
    /// come once.
    #[test]
    fn redelivery_changes_nothing(
        stream in prop::collection::vec((0_usize..6, 0_usize..2, 0_usize..3, 0_i64..60), 1..12),
        again in prop::collection::vec((0_usize..12, 1_usize..12), 0..4),
        batch in 1_usize..5,
    ) {
        let mut seen = std::collections::HashSet::new();
        let alerts: Vec<Vec<u8>> = stream
            .iter()
            .filter(|(id, ..)| seen.insert(*id))
            .map(|(id, account, band, hour)| {
                let band = ["medium", "high", "critical"][*band];
                Alert { hour: *hour, ..Alert::new(IDS[*id], ["a", "b"][*account], band) }.bytes()
            })
            .collect();
        let contact = contact("a", "2026-01-01T00:00:00Z", "a@wallet.example");
        let run = |deliveries: &[usize]| {
            let at = desk();
            at.desk.take(&[Record::Contact(&contact)], &[], &Echo::default(), NOW).expect("taken");
            let mut new = 0;
            for part in deliveries.chunks(batch) {
                let records: Vec<Record<'_>> = part.iter().map(|n| Record::Alert(&alerts[*n])).collect();
                new += at.desk.take(&records, &[], &Echo::default(), NOW).expect("taken").alerts;
            }
            let mut notices = at.desk.notices(1000).expect("rows");
            notices.sort_by(|a, b| a.id.cmp(&b.id));
            (new, notices)
        };
        let once: Vec<usize> = (0..alerts.len()).collect();
        let mut repeated = once.clone();
        for (from, length) in again {
            // A restart: the records from an offset that was read before come once more.
            let from = from.min(alerts.len() - 1);
            let end = (from + length).min(alerts.len());
            let place = repeated.iter().rposition(|n| *n == end - 1).map_or(repeated.len(), |p| p + 1);
            repeated.splice(place..place, from..end);
        }
        let (new, notices) = run(&repeated);
        prop_assert_eq!(new, alerts.len() as u64);
        prop_assert_eq!(&notices, &run(&once).1);
        let states = notices.iter().filter(|n| n.state == NoticeState::Waiting).count();
        prop_assert_eq!(states, 0);
    }
}
