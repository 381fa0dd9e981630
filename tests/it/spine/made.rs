//! Records made by hand, for what the generator does not plant. Its bytes are golden: nothing is added to them.

use serde_json::{Value, json};

use super::staged::Record;
use crate::kit::service::Found;

/// The topics, as [`Record::topic`] numbers them.
const LOGINS: usize = 0;
const MONEY: usize = 2;

/// Before the generator's first record: 2026-01-04T00:00:00Z, ms.
const BEFORE_MS: i64 = 1_767_484_800_000;
/// After its last one, and before the clock of whoever runs this: 2026-02-10T00:00:00Z, ms.
const AFTER_MS: i64 = 1_770_681_600_000;
const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60_000;
/// Logins that make an account one we know long enough.
const LOGINS_KNOWN: i64 = 10;
/// What fills a fetch of a partition (1 MiB) almost alone, bytes, and how many of these fetches are made.
const HEAVY_BYTES: usize = 900 * 1024;
const HEAVY: i64 = 24;

/// Records of one account whose attack makes two alerts of one rule group, an hour apart: two large transfers,
/// each to somebody it never paid. The alerts' user can be written to.
pub fn attacked_twice(account: &str, domain: &str) -> Vec<Record> {
    let contact = json!({"email": format!("{account}@{domain}"), "locale": "en", "zone": "Europe/London"});
    let mut records = logins(account, AFTER_MS, &contact);
    // By then its device is no longer a new one.
    for (hour, payee) in [(24, "p-first"), (25, "p-second")] {
        records.push(transfer(account, AFTER_MS + hour * 60 * MINUTE_MS, "dev-home", payee));
    }
    records
}

/// Records whose order between topics decides: money leaves an account nobody knows, which is quiet, and then
/// come the logins that make it known. Read the other way round, the transfer is an alert: its own time, told by
/// a clock that is a little fast, is after theirs, so that it counts what was read before it. The transfer stands
/// behind records so large that its partition needs many fetches until it, while the logins are there with the
/// first: who does not wait for a partition that is behind reads them first.
pub fn quiet_in_order(account: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for n in 0..HEAVY {
        let value = vec![b'x'; HEAVY_BYTES];
        records.push(Record { topic: MONEY, found: found(account, BEFORE_MS + n, value) });
    }
    let mut money = transfer(account, BEFORE_MS + MINUTE_MS + LOGINS_KNOWN * SECOND_MS, "dev-new", "p-first");
    money.found.stamp = BEFORE_MS + MINUTE_MS - SECOND_MS;
    records.push(money);
    records.extend(logins(account, BEFORE_MS + MINUTE_MS, &Value::Null));
    records
}

fn logins(account: &str, from: i64, contact: &Value) -> Vec<Record> {
    let login = |n: i64| {
        let time = from + n * SECOND_MS;
        let mut event = json!({
            "id": format!("{account}.login.{n}"), "type": "login", "time": time, "account": account,
            "device": "dev-home", "result": "success", "method": "password"
        });
        if !contact.is_null() {
            event["contact"] = contact.clone();
        }
        Record { topic: LOGINS, found: found(account, time, event.to_string().into_bytes()) }
    };
    (0..LOGINS_KNOWN).map(login).collect()
}

fn transfer(account: &str, time: i64, device: &str, payee: &str) -> Record {
    let event = json!({
        "id": format!("{account}.to.{payee}"), "type": "transfer", "time": time, "account": account,
        "device": device, "amount": "6000.00", "currency": "CNY", "status": "completed", "payee": payee
    });
    Record { topic: MONEY, found: found(account, time, event.to_string().into_bytes()) }
}

fn found(account: &str, stamp: i64, value: Vec<u8>) -> Found {
    Found { partition: 1, stamp, key: Some(account.as_bytes().to_vec()), value, ..Found::default() }
}
