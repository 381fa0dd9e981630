//! Reload under traffic, on a real broker: a broken file of each kind changes nothing, the mended one takes over.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::kit::gateway::{Gateway, SIGNING_KEY};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;
use crate::kit::service::{read_topic, records_in};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Accounts whose failed logins are written in turns, so that a change finds their windows half full.
const AT_ONCE: usize = 20;
/// How many accounts the writer may be ahead.
const AHEAD_MAX: i64 = 100;

/// What is reloaded.
const ALL: [&str; 4] = ["rules", "notices", "geo", "mappings"];

const RULES: &str = r#"version: 1
features:
  acct_fail_10m: {count: login, where: result == "failure", by: account, over: 10m}
rules:
  - id: brute-force-account
    title: Many failed logins on one account
    revision: 1
    state: live
    owner: tests
    severity: high
    score: 75
    audience: [user, security]
    on: login
    when: result == "failure" and acct_fail_10m >= 8
    dedup: {by: account, for: 30m}
    explain: "{acct_fail_10m} failed logins in 10 min"
    runbook: https://runbooks.example/brute-force
    tests:
      - name: the eighth failure fires
        given: {type: login, result: failure, account: a1}
        events: [{repeat: 8, every: 60s, expect: fire-last}]
      - name: a good login is quiet
        given: {type: login, result: success, account: a1}
        events: [{repeat: 9, every: 60s, expect: quiet}]
"#;

/// How the records are read: each holds one of our own events.
const MAPPING: &str = "version: 1
name: wrapped
records:
  - when: {/of: wallet}
    event: /data
tests:
  - name: a record
    given: {of: wallet, data: {id: w1, type: logout, time: 1767225600000, account: a1}}
    expect: {type: logout, account: a1, channel: null}
";

/// The service with files that change.
struct Wallet {
    folder: tempfile::TempDir,
    logins: String,
    gateway: Gateway,
    service: Running,
}

impl Wallet {
    fn start() -> Wallet {
        let logins = broker().topic("reload.logins", 3);
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::start();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("rules")).expect("a folder");
        std::fs::write(at("rules/r.yaml"), RULES).expect("rules");
        let policy = "version: 1\nroutes:\n  - {audience: user, from: info, channels: [sms]}\n";
        std::fs::write(at("rules/policy.yaml"), policy).expect("a policy");
        let notice = at("notices/unusual-login");
        std::fs::create_dir_all(&notice).expect("a folder");
        for part in ["subject.txt", "body.txt", "body.html", "sms.txt"] {
            let file = format!("en.{part}");
            std::fs::copy(root.join("rules/notices/unusual-login").join(&file), notice.join(&file)).expect("a text");
        }
        std::fs::copy(root.join("tests/data/geo/world-city.mmdb"), at("city.mmdb")).expect("a database");
        std::fs::write(at("wrapped.yaml"), MAPPING).expect("a mapping");
        std::fs::write(at("sms-key"), SIGNING_KEY).expect("a key");
        let config = format!(
            "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = [{logins:?}]\ngroup = {logins:?}\nstart = \"earliest\"\n\
             alerts_topic = \"{logins}.alerts\"\ncontacts_topic = \"{logins}.contacts\"\n\
             dead_letter_topic = \"{logins}.dead\"\ncommit_interval_ms = 200\n[kafka.mappings]\n{logins:?} = \"wrapped.yaml\"\n[rules]\npack = \"none\"\n\
             directory = \"rules\"\n[geo]\nfiles = [\"city.mmdb\"]\n[state]\ndirectory = \"state\"\n[alerts]\n\
             notices_directory = \"notices\"\n[http]\nlisten = \"127.0.0.1:0\"\n[sms]\nurl = {:?}\nsecret_file = \"sms-key\"\nca_file = {:?}\n\
             allowed_prefixes = [\"+86\"]\nallowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n",
            broker().bootstrap,
            gateway.url,
            gateway.ca_file,
        );
        std::fs::write(at("walletwatch.toml"), config).expect("a configuration");
        let service = Running::start(folder.path(), &[]);
        Wallet { folder, logins, gateway, service }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lines of the log that begin with a message.
    fn told(&self, message: &str) -> Vec<Value> {
        let begins = |line: &Value| line["message"].as_str().is_some_and(|found| found.starts_with(message));
        self.service.log().into_iter().filter(begins).collect()
    }

    /// The line with a message about something, once it is there for the `nth` time.
    fn wait_for(&self, message: &str, what: &str, nth: usize) -> Value {
        let find = || self.told(message).into_iter().filter(|line| line["what"] == what).nth(nth - 1);
        wait_until(&format!("{message} {what} {nth}"), LIMIT, find)
    }

    fn alerts_topic(&self) -> String {
        format!("{}.alerts", self.logins)
    }

    fn alerts(&self) -> Vec<Value> {
        let records = read_topic(&self.alerts_topic());
        records.iter().map(|(_, value, _)| serde_json::from_str(value).expect("JSON")).collect()
    }

    /// Waits until alerts were made that are not there yet, and returns the newest of them.
    fn next_alert(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let before = self.alerts().len();
        wait_until(what, LIMIT, || {
            let alerts = self.alerts();
            alerts.into_iter().skip(before).rfind(&is_wanted)
        })
    }
}

/// Nine failed logins for each account, until told to stop. Returns how many accounts and records.
fn write(logins: &str, stop: &AtomicBool) -> (usize, u64) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
    let (mut accounts, mut records, mut stamp) = (0, 0, 1_767_225_600_000_i64);
    while !stop.load(Ordering::Acquire) {
        for n in 0..9 {
            for account in accounts..accounts + AT_ONCE {
                stamp += 1;
                let key = format!("acc-{account}");
                let event = json!({
                    "id": format!("l-{account}-{n}"), "type": "login", "time": stamp, "account": key, "result": "failure",
                    "reason": "wrong_password", "ip": "203.0.113.9", "locale": "en",
                    "contact": {"phone": format!("+86138{account:08}"), "locale": "en"},
                });
                let text = json!({"of": "wallet", "data": event}).to_string();
                let record = BaseRecord::to(logins).timestamp(stamp).key(&key).payload(&text);
                assert!(producer.send(record).is_ok(), "room in the queue");
                records += 1;
            }
            producer.flush(LIMIT).expect("written");
        }
        accounts += AT_ONCE;
        wait_until("the service follows", LIMIT, || {
            let told = records_in(&format!("{logins}.alerts")).unwrap_or_default();
            (told + AHEAD_MAX >= accounts as i64).then_some(())
        });
    }
    (accounts, records)
}

#[test]
fn a_broken_file_of_each_kind_changes_nothing_and_the_mended_one_takes_over() {
    let wallet = Wallet::start();
    wallet.service.is_ready();
    let stop = AtomicBool::new(false);
    let (accounts, records) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&wallet.logins, &stop));
        // Whatever fails ends the writer too.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| breaks_and_mends(&wallet)));
        stop.store(true, Ordering::Release);
        let written = writer.join().expect("the writer");
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written
    });
    wait_until("every record is decided", LIMIT, || {
        let series = wallet.service.scrape()?;
        (series.get("walletwatch_events_total{outcome=\"accepted\",type=\"login\"}")? == &(records as f64))
            .then_some(())
    });
    wait_until("every user is told", LIMIT, || (wallet.gateway.requests().len() >= accounts).then_some(()));
    let Wallet { service, gateway, .. } = wallet;
    let log = service.terminate();
    let summary = log.iter().rfind(|line| line["message"] == "summary").expect("a summary");
    assert_eq!((summary["records"].as_u64(), summary["accepted"].as_u64()), (Some(records), Some(records)));
    assert_eq!(summary["alerts"].as_u64(), Some(accounts as u64), "each account once, whichever rules were in force");
    assert_eq!(gateway.requests().len(), accounts, "each user once");
}

fn breaks_and_mends(wallet: &Wallet) {
    let first = wallet.next_alert("an alert", |_| true);
    let old_rules = first["versions"]["rules"].as_str().expect("a digest").to_owned();
    assert!(first["geo"]["country"].is_string(), "{first}");

    // One mistake in each kind.
    let write = |name: &str, text: &str| std::fs::write(wallet.path(name), text).expect("written");
    write("rules/r.yaml", &RULES.replace("severity: high", "severty: high"));
    let sms = std::fs::read_to_string(wallet.path("notices/unusual-login/en.sms.txt")).expect("a text");
    write("notices/unusual-login/en.sms.txt", &format!("{sms} https://phish.example/"));
    let database = std::fs::read(wallet.path("city.mmdb")).expect("a database");
    let half = wallet.path("half.mmdb");
    std::fs::write(&half, &database[..database.len() / 2]).expect("written");
    std::fs::rename(&half, wallet.path("city.mmdb")).expect("swapped");
    write("wrapped.yaml", &MAPPING.replace("event: /data", "evnt: /data"));
    for (what, places) in [
        ("rules", vec!["rules/r.yaml:10:5", "write `severity`"]),
        ("notices", vec!["en.sms.txt"]),
        ("geo", vec!["city.mmdb", "cut short"]),
        ("mappings", vec!["wrapped.yaml:5:5", "write `event`"]),
    ] {
        let refused = wallet.wait_for("reload refused", what, 1);
        let diagnostics = refused["diagnostics"].as_str().expect("the problems");
        assert!(places.iter().all(|place| diagnostics.contains(place)), "{diagnostics}");
    }
    for (what, why) in [
        ("rules", "rules/r.yaml:10:5: R002: unknown key `severty`"),
        ("notices", "sms.txt:"),
        ("geo", "city.mmdb"),
        ("mappings", "wrapped.yaml:5:5: M002: unknown key `evnt`"),
    ] {
        let (state, detail) = wallet.service.check(&format!("reload.{what}")).expect("a check");
        assert_eq!(state, "warning", "{detail}");
        assert!(detail.starts_with("the old one stays in force: ") && detail.contains(why), "{detail}");
        assert_eq!(counted(wallet, what), (0.0, 1.0), "{what}");
    }
    assert_eq!(wallet.service.failing().map(|(status, _)| status), Some(200), "it goes on with the old ones");
    let still = wallet.next_alert("the old ones go on", |_| true);
    assert_eq!(still["versions"]["rules"], old_rules.as_str());
    assert_eq!(still["geo"]["country"], first["geo"]["country"]);
    let told = wallet.gateway.requests().len();
    wait_until("users are told as before", LIMIT, || (wallet.gateway.requests().len() > told).then_some(()));
    assert!(wallet.told("reloaded").is_empty());

    // A mistake of meaning, not of words: the rule's own test fails.
    write("rules/r.yaml", &RULES.replace("acct_fail_10m >= 8", "acct_fail_10m >= 9"));
    let refused = wallet.wait_for("reload refused", "rules", 2);
    assert!(refused["diagnostics"].as_str().is_some_and(|told| told.contains("the eighth failure fires")), "{refused}");

    write("wrapped.yaml", &MAPPING.replace("channel: null", "channel: web"));
    let refused = wallet.wait_for("reload refused", "mappings", 2);
    assert!(refused["diagnostics"].as_str().is_some_and(|told| told.contains("test `a record` fails")), "{refused}");
    assert_eq!(still["event"]["channel"], Value::Null, "{still}");

    // Mended, with something new in each.
    let on_web = MAPPING.replace("event: /data", "event: /data\n    fields: {channel: web}");
    write("wrapped.yaml", &on_web.replace("channel: null", "channel: web"));
    write("rules/r.yaml", &RULES.replace("failed logins in", "wrong passwords in"));
    write("notices/unusual-login/en.sms.txt", &sms.replace("We send no links", "We never send links"));
    write("city.mmdb", "");
    std::fs::write(wallet.path("city.mmdb"), &database).expect("written");
    for what in ALL {
        wallet.wait_for("reloaded", what, 1);
        let (state, detail) = wallet.service.check(&format!("reload.{what}")).expect("a check");
        assert_eq!((state.as_str(), detail.as_str()), ("ok", "the newest is in force"));
        assert_eq!(counted(wallet, what).0, 1.0, "{what}");
    }
    let swapped = wait_until("the engine has gone over", LIMIT, || wallet.told("rules swapped").pop());
    assert_eq!(wallet.told("rules swapped").len(), 1, "refused ones change nothing");
    assert_eq!((swapped["features_kept"].as_u64(), swapped["features_new"].as_str()), (Some(1), Some("")));
    let new = wallet.next_alert("the new rules decide", |alert| alert["versions"]["rules"] != old_rules.as_str());
    assert!(new["findings"][0]["text"].as_str().is_some_and(|text| text.contains("wrong passwords")), "{new}");
    assert_eq!(new["versions"]["rules"], swapped["rules_digest"]);
    assert_eq!(new["geo"]["country"], first["geo"]["country"]);
    let read = wallet.next_alert("the new mapping reads", |alert| alert["event"]["channel"] == "web");
    assert_eq!(read["versions"]["rules"], swapped["rules_digest"]);
    wait_until("the new words are sent", LIMIT, || {
        let requests = wallet.gateway.requests();
        requests.iter().any(|request| request.body.contains("We never send links")).then_some(())
    });

    // SIGHUP reads everything again, changed or not.
    wallet.service.signal("HUP");
    for what in ALL {
        wallet.wait_for("reloaded", what, 2);
    }
}

/// How many reloads were applied and refused.
fn counted(wallet: &Wallet, what: &str) -> (f64, f64) {
    let series = wallet.service.scrape().expect("a scrape");
    let of = |outcome: &str| {
        let name = format!("walletwatch_reload_total{{outcome=\"{outcome}\",what=\"{what}\"}}");
        *series.get(&name).unwrap_or_else(|| panic!("{name} in {series:#?}"))
    };
    (of("applied"), of("refused"))
}
