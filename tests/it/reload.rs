//! Reload under traffic, on a real broker: a broken file of each kind changes nothing, the mended one takes over.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::kit::gateway::{Gateway, SIGNING_KEY};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::service::{read_topic, records_in, summary_of};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Accounts whose failed logins are written in turns, so that a change finds their windows half full.
const AT_ONCE: usize = 20;
/// How many accounts the writer may be ahead.
const AHEAD_MAX: i64 = 100;

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

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The service with files that change.
struct Running {
    folder: tempfile::TempDir,
    logins: String,
    gateway: Gateway,
    child: Child,
}

impl Running {
    fn start() -> Running {
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
        std::fs::write(at("sms-key"), SIGNING_KEY).expect("a key");
        let config = format!(
            "[kafka]\nbrokers = [{:?}]\ntls = false\ntopics = [{logins:?}]\ngroup = {logins:?}\nstart = \"earliest\"\n\
             alerts_topic = \"{logins}.alerts\"\ncontacts_topic = \"{logins}.contacts\"\n\
             dead_letter_topic = \"{logins}.dead\"\ncommit_interval_ms = 200\n[rules]\npack = \"none\"\n\
             directory = \"rules\"\n[geo]\nfiles = [\"city.mmdb\"]\n[state]\ndirectory = \"state\"\n[alerts]\n\
             notices_directory = \"notices\"\n[sms]\nurl = {:?}\nsecret_file = \"sms-key\"\nca_file = {:?}\n\
             allowed_prefixes = [\"+86\"]\nallowed_networks = [\"127.0.0.0/8\", \"::1/128\"]\n",
            broker().bootstrap,
            gateway.url,
            gateway.ca_file,
        );
        std::fs::write(at("walletwatch.toml"), config).expect("a configuration");
        let log = std::fs::File::create(at("log")).expect("a log");
        let child = command(folder.path(), &["run"]).stderr(log).spawn().expect("it starts");
        Running { folder, logins, gateway, child }
    }

    fn command(&self, args: &[&str]) -> Command {
        command(self.folder.path(), args)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).expect("the log")
    }

    /// The lines of the log with a message, whole ones only.
    fn told(&self, message: &str) -> Vec<Value> {
        let log = self.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines =
            whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
        lines.filter(|line| line["message"].as_str().is_some_and(|found| found.starts_with(message))).collect()
    }

    /// The line with a message about something, once it is there for the `nth` time.
    fn wait_for(&self, message: &str, what: &str, nth: usize) -> Value {
        let find = || self.told(message).into_iter().filter(|line| line["what"] == what).nth(nth - 1);
        wait_until(&format!("{message} {what} {nth}: {}", self.log()), LIMIT, find)
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
        wait_until(&format!("{what}: {}", self.log()), LIMIT, || {
            let alerts = self.alerts();
            alerts.into_iter().skip(before).rfind(&is_wanted)
        })
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failed assertion; a stopped one is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
                let text = event.to_string();
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
    let mut service = Running::start();
    wait_until("it runs", LIMIT, || (!service.told("detection started").is_empty()).then_some(()));
    let stop = AtomicBool::new(false);
    let (accounts, records) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&service.logins, &stop));
        // Whatever fails ends the writer too.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| breaks_and_mends(&service)));
        stop.store(true, Ordering::Release);
        let written = writer.join().expect("the writer");
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written
    });
    wait_until("every account is told of", LIMIT, || {
        (records_in(&service.alerts_topic())? >= accounts as i64).then_some(())
    });
    wait_until("every user is told", LIMIT, || (service.gateway.requests().len() >= accounts).then_some(()));
    service.signal("-TERM");
    let status = wait_until("it is out", Duration::from_secs(10), || service.child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0), "{}", service.log());
    // The last failures of an account come after its alert: they may be left for the next run.
    let rest = service.command(&["run", "--until-end"]).output().expect("it runs");
    assert_eq!(rest.status.code(), Some(0), "{}", String::from_utf8_lossy(&rest.stderr));
    let (first, rest) = (summary_of(service.log().as_bytes()), summary_of(&rest.stderr));
    let both = |name: &str| first[name].as_u64().zip(rest[name].as_u64()).map(|(a, b)| a + b);
    assert_eq!((both("records"), both("accepted")), (Some(records), Some(records)));
    assert_eq!(both("alerts"), Some(accounts as u64), "each account once, whichever rules were in force");
    assert_eq!(service.gateway.requests().len(), accounts, "each user once");
}

fn breaks_and_mends(service: &Running) {
    let first = service.next_alert("an alert", |_| true);
    let old_rules = first["versions"]["rules"].as_str().expect("a digest").to_owned();
    assert!(first["geo"]["country"].is_string(), "{first}");

    // One mistake in each kind.
    let write = |name: &str, text: &str| std::fs::write(service.path(name), text).expect("written");
    write("rules/r.yaml", &RULES.replace("severity: high", "severty: high"));
    let sms = std::fs::read_to_string(service.path("notices/unusual-login/en.sms.txt")).expect("a text");
    write("notices/unusual-login/en.sms.txt", &format!("{sms} https://phish.example/"));
    let database = std::fs::read(service.path("city.mmdb")).expect("a database");
    let half = service.path("half.mmdb");
    std::fs::write(&half, &database[..database.len() / 2]).expect("written");
    std::fs::rename(&half, service.path("city.mmdb")).expect("swapped");
    for (what, places) in [
        ("rules", vec!["rules/r.yaml:10:5", "write `severity`"]),
        ("notices", vec!["en.sms.txt"]),
        ("geo", vec!["city.mmdb", "cut short"]),
    ] {
        let refused = service.wait_for("reload refused", what, 1);
        let diagnostics = refused["diagnostics"].as_str().expect("the problems");
        assert!(places.iter().all(|place| diagnostics.contains(place)), "{diagnostics}");
    }
    let still = service.next_alert("the old ones go on", |_| true);
    assert_eq!(still["versions"]["rules"], old_rules.as_str());
    assert_eq!(still["geo"]["country"], first["geo"]["country"]);
    let told = service.gateway.requests().len();
    wait_until("users are told as before", LIMIT, || (service.gateway.requests().len() > told).then_some(()));
    assert!(service.told("reloaded").is_empty());

    // A mistake of meaning, not of words: the rule's own test fails.
    write("rules/r.yaml", &RULES.replace("acct_fail_10m >= 8", "acct_fail_10m >= 9"));
    let refused = service.wait_for("reload refused", "rules", 2);
    assert!(refused["diagnostics"].as_str().is_some_and(|told| told.contains("the eighth failure fires")), "{refused}");

    // Mended, with something new in each.
    write("rules/r.yaml", &RULES.replace("failed logins in", "wrong passwords in"));
    write("notices/unusual-login/en.sms.txt", &sms.replace("We send no links", "We never send links"));
    write("city.mmdb", "");
    std::fs::write(service.path("city.mmdb"), &database).expect("written");
    for what in ["rules", "notices", "geo"] {
        service.wait_for("reloaded", what, 1);
    }
    let [swapped] = &service.told("rules swapped")[..] else { panic!("{}", service.log()) };
    assert_eq!((swapped["features_kept"].as_u64(), swapped["features_new"].as_str()), (Some(1), Some("")));
    let new = service.next_alert("the new rules decide", |alert| alert["versions"]["rules"] != old_rules.as_str());
    assert!(new["findings"][0]["text"].as_str().is_some_and(|text| text.contains("wrong passwords")), "{new}");
    assert_eq!(new["versions"]["rules"], swapped["rules_digest"]);
    assert_eq!(new["geo"]["country"], first["geo"]["country"]);
    wait_until("the new words are sent", LIMIT, || {
        let requests = service.gateway.requests();
        requests.iter().any(|request| request.body.contains("We never send links")).then_some(())
    });

    // SIGHUP reads everything again, changed or not.
    service.signal("-HUP");
    for what in ["rules", "notices", "geo"] {
        service.wait_for("reloaded", what, 2);
    }
}
