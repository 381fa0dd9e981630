//! The records of a life: what people and attackers do, in the partitions of three topics, from a seed.
//!
//! Guarantees: the same seed gives the same records; there are few accounts and addresses, so that what is forgotten,
//! counted twice or taken in another order changes alerts; some records come twice, late, or are no events.

use super::dice::Dice;
use crate::event::Millis;
use crate::ingest::Partition;

/// When the first record is written.
pub const BEGIN: Millis = Millis(1_767_225_600_000);

/// The topics, in the order of the configuration, with how many partitions each has.
pub const TOPICS: [(&str, i32); 3] = [("wallet.logins", 2), ("wallet.accounts", 1), ("wallet.transactions", 1)];

const LOGINS: usize = 0;
const ACCOUNTS: usize = 2;
const TRANSACTIONS: usize = 3;

/// A record as it stands in its partition.
#[derive(Debug, Clone)]
pub struct Written {
    pub stamp: Millis,
    pub key: String,
    pub value: String,
    /// When a reader can take it, ms after [`BEGIN`].
    pub visible_ms: u64,
}

/// A partition with its records: their places are their offsets.
#[derive(Debug, Clone)]
pub struct Source {
    /// The topic, by its place in [`TOPICS`].
    pub topic: u16,
    pub name: Partition,
    pub records: Vec<Written>,
    /// When it is there, ms after [`BEGIN`].
    pub born_ms: u64,
}

/// The partitions, in the order in which they come to be: with `grows` one of them comes later.
pub fn write(dice: &mut Dice, records: u64, grows: bool) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for (topic, (name, partitions)) in (0_u16..).zip(TOPICS) {
        sources.extend((0..partitions).map(|partition| Source {
            topic,
            name: Partition::new(name, partition),
            records: Vec::new(),
            born_ms: 0,
        }));
    }
    let grows_at = if grows { dice.below(records) } else { records };
    let mut now_ms = 0;
    let mut last: Vec<(String, String)> = Vec::new();
    for number in 0..records {
        now_ms += dice.below(6_000);
        if number == grows_at {
            let (name, partitions) = TOPICS[2];
            let name = Partition::new(name, partitions);
            sources.push(Source { topic: 2, name, records: Vec::new(), born_ms: now_ms });
        }
        let account = format!("a{}", dice.below(4));
        let (mut at, mut value) = event(dice, number, &account, now_ms);
        let mut key = account;
        if dice.one_in(15) && !last.is_empty() {
            // Somebody upstream tries again: the same event, perhaps elsewhere.
            (key, value) = last[dice.below(last.len() as u64) as usize].clone();
        } else {
            last.push((key.clone(), value.clone()));
        }
        if dice.one_in(10) {
            at = dice.below(sources.len() as u64) as usize;
        }
        let delay = if dice.one_in(12) { dice.below(20_000) } else { dice.below(1_500) };
        let stamp = Millis(BEGIN.0 + now_ms as i64 - if dice.one_in(20) { dice.below(9_000) as i64 } else { 0 });
        let visible_ms = sources[at].records.last().map_or(0, |before| before.visible_ms).max(now_ms + delay);
        sources[at].records.push(Written { stamp, key, value, visible_ms });
    }
    sources
}

/// An event and the partition it is written to.
fn event(dice: &mut Dice, number: u64, account: &str, now_ms: u64) -> (usize, String) {
    let before_ms = match dice.below(20) {
        0 => dice.below(900_000),
        1..=5 => dice.below(90_000),
        _ => dice.below(500),
    };
    let time = BEGIN.0 + now_ms as i64 - before_ms as i64;
    let head = format!(r#"{{"id":"e{number}","time":{time},"account":"{account}","ip":"203.0.113.{}""#, dice.below(3));
    let login = LOGINS + dice.below(2) as usize;
    match dice.below(20) {
        0..=8 => (login, format!(r#"{head},"type":"login","result":"failure","reason":"wrong_password"}}"#)),
        9..=12 => {
            let mail = dice.below(3);
            let contact = format!(r#""contact":{{"email":"{account}.{mail}@example.test","locale":"en"}}"#);
            (login, format!(r#"{head},"type":"login","result":"success",{contact}}}"#))
        }
        13..=16 => {
            let amount = dice.below(900) + 1;
            let money = format!(r#""amount":"{amount}.00","currency":"CNY","status":"completed""#);
            (TRANSACTIONS, format!(r#"{head},"type":"transfer",{money}}}"#))
        }
        17 | 18 => {
            let change = if dice.one_in(3) { "enabled" } else { "disabled" };
            (ACCOUNTS, format!(r#"{head},"type":"mfa_changed","change":"{change}"}}"#))
        }
        _ => (login, format!("no event {number}")),
    }
}
