//! Dead letters from end to end on a real broker: what cannot be used is counted, listed, shown, mended, and comes
//! back in once, whatever is cut off between two steps.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use walletwatch::ingest::dead_letter::replayed::REPLAY_HEADER;

use crate::kit::kafka::broker;
use crate::kit::service::{read_topic, records, records_in, summary_of};

/// When the records were written: 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000;
/// In every key and value; no list may show it.
const CANARY: &str = "canary";

/// A mapping that knows no record of this kind …
const MAPPING: &str = "version: 1\nname: payouts\nfields:\n  id: {record: position}\n  time: {record: timestamp}\n  \
                       account: /uid\nrecords:\n  - when: {/kind: signout}\n    type: logout\ntests:\n  \
                       - {name: out, given: {kind: signout, uid: u}, expect: {type: logout, account: u}}\n";
/// … and its mended beginning.
const MENDED: &str = "records:\n  - when: {/kind: signoff}\n    type: logout\n";

struct Wallet {
    folder: tempfile::TempDir,
    own: String,
    mapped: String,
    dead: String,
}

impl Wallet {
    fn new(name: &str) -> Wallet {
        let own = broker().topic(&format!("{name}.own"), 2);
        let mapped = broker().topic(&format!("{name}.mapped"), 2);
        let dead = format!("{own}.dead");
        let folder = tempfile::tempdir().expect("a folder");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/run/rules");
        let config = format!(
            "[kafka]\nbrokers = [\"{}\"]\ntls = false\ntopics = [\"{own}\", \"{mapped}\"]\ngroup = \"{own}\"\n\
             start = \"earliest\"\nalerts_topic = \"{own}.alerts\"\ncontacts_topic = \"{own}.contacts\"\n\
             dead_letter_topic = \"{dead}\"\n[kafka.mappings]\n\"{mapped}\" = \"own.yaml\"\n[state]\n\
             directory = \"state\"\n[rules]\npack = \"none\"\ndirectory = \"{}\"\n",
            broker().bootstrap,
            rules.display(),
        );
        std::fs::write(folder.path().join("walletwatch.toml"), config).expect("a configuration");
        std::fs::write(folder.path().join("own.yaml"), MAPPING).expect("a mapping");
        Wallet { folder, own, mapped, dead }
    }

    fn command(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
        command.args(args).current_dir(self.folder.path()).output().expect("it runs")
    }

    /// Detection up to the ends; the summary.
    fn detect(&self) -> Value {
        let output = self.command(&["run", "--role", "detect", "--until-end"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        summary_of(&output.stderr)
    }

    /// A `dead` command: its exit code and what it printed.
    fn dead(&self, args: &[&str]) -> (i32, String) {
        let output = self.command(&[&["dead"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.code().expect("an exit code"), format!("{printed}{said}"))
    }

    /// The same with `--format json`: each line.
    fn lines(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let (code, printed) = self.dead(&[args, &["--format", "json"]].concat());
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        (code, printed.lines().map(line).collect())
    }

    /// A replay's exit code, and how many letters came to each outcome that any came to.
    fn replay(&self, args: &[&str]) -> (i32, Value) {
        let (code, lines) = self.lines(&[&["replay"], args].concat());
        let totals = lines.last().expect("totals");
        assert_eq!(totals["letters"].as_u64(), Some(lines.len() as u64 - 1));
        let outcomes = totals["outcomes"].as_object().expect("outcomes").clone();
        (code, outcomes.into_iter().filter(|(_, n)| *n != 0).collect())
    }

    /// The letters of a reason.
    fn letters(&self, reason: &str) -> Vec<String> {
        let (_, lines) = self.lines(&["list", "--reason", reason]);
        lines[1..].iter().map(|line| line["letter"].as_str().expect("a letter").to_owned()).collect()
    }
}

fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"))
}

fn producer() -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", &broker().bootstrap)
        .set("message.max.bytes", "2000000")
        .create()
        .expect("a producer")
}

fn write(topic: &str, stamp: i64, value: Option<&[u8]>) {
    let producer = producer();
    let key = format!("{CANARY}-key");
    let mut record = BaseRecord::<str, [u8]>::to(topic).partition(1).key(&key).timestamp(stamp);
    record.payload = value;
    producer.send(record).map_err(|(error, _)| error).expect("taken");
    producer.flush(Duration::from_secs(60)).expect("written");
}

fn transfer(id: &str, amount: &str) -> Vec<u8> {
    let event = json!({
        "id": id, "type": "transfer", "time": BEGIN, "account": format!("{CANARY}-account"), "amount": amount,
        "currency": "CNY", "status": "completed"
    });
    event.to_string().into_bytes()
}

#[test]
fn what_cannot_be_used_is_listed_shown_mended_and_accepted_once() {
    let wallet = Wallet::new("dead");
    let long = vec![b'x'; 300 * 1024];
    write(&wallet.own, BEGIN, Some(&transfer("t-1", "1,50")));
    write(&wallet.own, BEGIN, Some(&transfer("t-2", "1.50")));
    write(&wallet.own, BEGIN, Some(b"{\"id\":\"canary"));
    write(&wallet.own, BEGIN, None);
    write(&wallet.own, BEGIN, Some(&long));
    for _ in 0..3 {
        write(&wallet.mapped, BEGIN + 5000, Some(br#"{"kind":"signoff","uid":"canary-u"}"#));
    }
    let first = wallet.detect();
    assert_eq!((number(&first, "accepted"), number(&first, "rejected")), (1, 7));

    // The list agrees with what was counted, and shows nobody's data.
    let (code, lines) = wallet.lines(&["list"]);
    assert_eq!((code, lines.len()), (0, 8));
    let counted: Value = serde_json::from_str(first["rejected_by_reason"].as_str().expect("a map")).expect("JSON");
    assert_eq!(lines[0]["by_reason"], counted);
    assert_eq!(counted, json!({"bad_value": 1, "not_json": 1, "no_value": 1, "too_large": 1, "unknown_type": 3}));
    assert_eq!((lines[0]["records"].as_u64(), lines[0]["by_topic"][&wallet.mapped].as_u64()), (Some(7), Some(3)));
    let (code, human) = wallet.dead(&["list", "--limit", "3"]);
    assert!(code == 0 && human.contains(": 7 records could not be used\n"), "{human}");
    assert!(human.contains("4 older ones are left out"), "{human}");
    assert!(!human.contains(CANARY) && !format!("{lines:?}").contains(CANARY), "{human}");
    let (_, none) = wallet.lines(&["list", "--topic", &wallet.mapped, "--reason", "bad_value"]);
    assert_eq!((none.len(), none[0]["records"].as_u64()), (1, Some(0)));
    let (_, none) = wallet.lines(&["list", "--since", "2099-01-01T00:00:00Z"]);
    assert_eq!(none[0]["records"].as_u64(), Some(0));

    // One is shown whole; one that is too large to be kept is read where it came from.
    let bad = wallet.letters("bad_value").remove(0);
    let (code, shown) = wallet.dead(&["show", &bad]);
    assert_eq!(code, 0);
    for part in ["bad_value", "amount", "canary-key", "canary-account", "\"1,50\"", "2026-01-01T00:00:00.000Z"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let large = wallet.letters("too_large").remove(0);
    let (_, whole) = wallet.lines(&["show", &large]);
    assert_eq!((whole[0]["whole"].as_bool(), whole[0]["value_bytes"].as_u64()), (Some(true), Some(long.len() as u64)));
    assert_eq!(whole[0]["value"].as_str().map(str::len), Some(long.len()));
    let (code, said) = wallet.dead(&["show", "0:99"]);
    assert!(code == 66 && said.contains("there is no letter 0:99"), "{code}: {said}");

    // The mapping is mended: its three come back, once, at the time they were written.
    std::fs::write(wallet.folder.path().join("own.yaml"), MAPPING.replace("records:\n", MENDED)).expect("a mapping");
    let mapped = ["--topic", wallet.mapped.as_str()];
    assert_eq!(wallet.replay(&[&mapped[..], &["--dry-run"]].concat()), (0, json!({"would_replay": 3})));
    assert_eq!(records_in(&wallet.mapped), Some(3), "nothing was written");
    assert_eq!(wallet.replay(&mapped), (0, json!({"replayed": 3})));
    assert_eq!(wallet.replay(&mapped), (0, json!({"already_replayed": 3})));
    assert_eq!(wallet.replay(&[&mapped[..], &["--dry-run"]].concat()), (0, json!({"already_replayed": 3})));
    let stamps: Vec<i64> = records(&wallet.mapped).iter().map(|record| record.stamp).collect();
    assert_eq!(stamps, [BEGIN + 5000; 6]);

    // A record is mended by hand.
    let output = wallet.command(&["dead", "show", &bad, "--raw"]);
    assert_eq!(output.stdout, transfer("t-1", "1,50"));
    std::fs::write(wallet.folder.path().join("mended.json"), transfer("t-1", "1.50")).expect("a file");
    assert_eq!(wallet.replay(&[&bad, "--value", "mended.json"]), (0, json!({"replayed": 1})));
    assert_eq!(wallet.replay(&[&bad, "--value", "mended.json"]), (0, json!({"already_replayed": 1})));
    // Our own events say their time themselves: the record is of today.
    let last = records(&wallet.own).last().map(|record| record.stamp);
    assert!(last > Some(BEGIN + 86_400_000), "{last:?}");
    let second = wallet.detect();
    assert_eq!((number(&second, "records"), number(&second, "accepted"), number(&second, "rejected")), (4, 4, 0));

    // Nobody replays everything by mistake; with --again what was replayed comes once more.
    let (code, said) = wallet.dead(&["replay"]);
    assert!(code == 64 && said.contains("which letters?"), "{code}: {said}");
    assert_eq!(wallet.dead(&["replay", "--all", "--value", "mended.json"]).0, 64);
    assert_eq!(wallet.replay(&[&bad, "--again"]), (0, json!({"replayed": 1})));
    assert_eq!(wallet.replay(&["--all"]), (0, json!({"replayed": 3, "already_replayed": 4})));
    let third = wallet.detect();
    // The bad transfer as it was, and the three that are no event whatever one does.
    assert_eq!((number(&third, "records"), number(&third, "rejected")), (4, 4));
    let (_, lines) = wallet.lines(&["list"]);
    assert_eq!(lines[0]["records"].as_u64(), Some(11), "the sum of what was rejected in all runs");
    assert_eq!(lines[0]["replayed"].as_u64(), Some(7));
}

/// What a run that was cut off left behind: a mark, so long ago.
fn begun(wallet: &Wallet, letter: &str, end: i64, ago_ms: i64) {
    let offset = letter.split(':').nth(1).expect("an offset");
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis()).expect("a time");
    let headers = [("replay", "begun"), ("letter", offset), ("run", "another"), ("end", &end.to_string())];
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
    let record = BaseRecord::<str, [u8]>::to(&wallet.dead).partition(0).timestamp(now - ago_ms).headers(headers);
    let producer = producer();
    producer.send(record).map_err(|(error, _)| error).expect("taken");
    producer.flush(Duration::from_secs(60)).expect("written");
}

#[test]
fn a_replay_that_was_cut_off_is_taken_up_without_a_record_that_comes_twice() {
    let wallet = Wallet::new("cut-off");
    for n in 0..3 {
        write(&wallet.own, BEGIN, Some(&transfer(&format!("t-{n}"), "1,50")));
    }
    wallet.detect();
    let letters = wallet.letters("bad_value");
    let [sent, unsent, fresh] = letters.as_slice() else { panic!("{letters:?}") };
    let end = records_in(&wallet.own).expect("the end");
    // The first was sent and not marked so, the second was not sent, with the third somebody has just begun.
    begun(&wallet, sent, end, 3_600_000);
    begun(&wallet, unsent, end, 3_600_000);
    begun(&wallet, fresh, end, 1000);
    let name = format!("{}[0]@{}", wallet.dead, sent.split(':').nth(1).expect("an offset"));
    let headers = OwnedHeaders::new().insert(Header { key: REPLAY_HEADER, value: Some(name.as_str()) });
    let value = transfer("t-0", "1,50");
    let record = BaseRecord::<str, [u8]>::to(&wallet.own).partition(1).payload(&value).headers(headers);
    let producer = producer();
    producer.send(record).map_err(|(error, _)| error).expect("taken");
    producer.flush(Duration::from_secs(60)).expect("written");

    assert_eq!(wallet.replay(&["--all"]), (75, json!({"found_replayed": 1, "replayed": 1, "busy": 1})));
    assert_eq!(records_in(&wallet.own), Some(5), "three, the one that was sent, and the one that was not");
    assert_eq!(wallet.replay(&["--all"]), (75, json!({"already_replayed": 2, "busy": 1})));
    assert_eq!(records_in(&wallet.own), Some(5));
    let values: Vec<String> = read_topic(&wallet.own).into_iter().map(|(_, value, _)| value).collect();
    for n in 0..3 {
        let times = values.iter().filter(|value| value.contains(&format!("\"t-{n}\""))).count();
        assert_eq!(times, if n == 2 { 1 } else { 2 }, "t-{n}");
    }
}
