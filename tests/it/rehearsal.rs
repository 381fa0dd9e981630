//! The rehearsal of the desk against the desk: the same alerts and contacts, the same decisions and notices.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use walletwatch::alert::{Compose, Desk, DeskConfig, Message, Order, Record, Rehearsal, Undeliverable};
use walletwatch::detect::document::{ContactDocument, Document};
use walletwatch::event::Millis;
use walletwatch::ruleset::{Audience, Band};

const START: Millis = Millis(1_795_316_941_000);
const HOUR_MS: i64 = 3_600_000;

/// Mail and SMS for users as the default policy says, one channel for security.
struct Echo;

impl Compose for Echo {
    fn chains(&self, audience: Audience, band: Band) -> Vec<Vec<String>> {
        let chains: &[&[&str]] = match (audience, band) {
            (Audience::User, Band::Low) => &[],
            (Audience::User, Band::Critical) => &[&["email"], &["sms"]],
            (Audience::User, _) => &[&["email", "sms"]],
            (Audience::Security, _) => &[&["soc"]],
            (Audience::Operations, _) => &[],
        };
        chains.iter().map(|chain| chain.iter().map(|c| (*c).to_owned()).collect()).collect()
    }

    fn compose(&self, order: &Order<'_>, channel: &str) -> Result<Message, Undeliverable> {
        let contact = order.contact.ok_or(Undeliverable::NoContact);
        let recipient = match channel {
            "soc" => Some(String::new()),
            "email" => contact?.email.clone(),
            _ => contact?.phone.clone(),
        };
        Ok(Message { recipient: recipient.ok_or(Undeliverable::NoAddress)?, body: Vec::new() })
    }
}

#[derive(Debug, Clone)]
enum Step {
    Contact { account: u8, email: Option<u8>, phone: Option<u8>, before: Option<u8> },
    Alert { account: u8, group: u8, band: usize, after_hours: i64, to_user: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let contact = (0u8..4, prop::option::of(0u8..3), prop::option::of(0u8..2), prop::option::of(0u8..3))
        .prop_map(|(account, email, phone, before)| Step::Contact { account, email, phone, before });
    let alert = (0u8..4, 0u8..2, 0usize..4, 0i64..30, any::<bool>()).prop_map(
        |(account, group, band, after_hours, to_user)| Step::Alert { account, group, band, after_hours, to_user },
    );
    prop_oneof![1 => contact, 3 => alert]
}

fn bytes(number: usize, step: &Step, now: &mut Millis) -> Vec<u8> {
    let document = match step {
        Step::Contact { account, email, phone, before } => {
            let mail = |n: &u8| format!("m{n}@wallet.example");
            let previous = before.map(|n| json!({"value": mail(&n), "until": now.rfc3339()}));
            json!({"schema": 1, "account": format!("a{account}"), "as_of": now.rfc3339(), "email": email.as_ref().map(mail),
                   "phone": phone.map(|n| format!("+86138001380{n:02}")), "previous_email": previous})
        }
        Step::Alert { account, group, band, after_hours, to_user } => {
            *now = now.plus(after_hours * HOUR_MS);
            let band = ["low", "medium", "high", "critical"][*band];
            let audience = if *to_user { vec!["user", "security"] } else { vec!["security"] };
            json!({
                "kind": "alert", "schema": 1, "id": format!("al_{number}"), "time": now.rfc3339(),
                "account": format!("a{account}"), "score": 95, "band": band,
                "audience": audience, "action": "none", "notice": "unusual-login",
                "findings": [{"rule": "r", "revision": 1, "score": 95, "share": 1.0, "group": format!("g{group}"),
                              "audience": audience, "text": "t", "evidence": {}}],
                "event": {"type": "login"}, "geo": {}, "incident": null, "no_sms_until": null, "contact_as_of": null,
                "usual": {"countries": [], "devices": 0, "hours": null},
                "versions": {"rules": "", "geo": null, "walletwatch": ""},
            })
        }
    };
    document.to_string().into_bytes()
}

/// Decisions by audience and reason, notices by channel, notices nobody can get by reason.
type Counts = (BTreeMap<(&'static str, &'static str), u64>, BTreeMap<String, u64>, BTreeMap<&'static str, u64>);

fn desk(steps: &[(Step, Vec<u8>)]) -> Counts {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::open(DeskConfig::at(folder.path().join("desk.db"))).expect("a desk");
    let records: Vec<Record<'_>> = steps
        .iter()
        .map(|(step, bytes)| match step {
            Step::Alert { .. } => Record::Alert(bytes),
            Step::Contact { .. } => Record::Contact(bytes),
        })
        .collect();
    let taken = desk.take(&records, &[], &Echo, START).expect("taken");
    (taken.decisions, taken.queued, taken.undeliverable)
}

fn rehearsed(steps: &[(Step, Vec<u8>)]) -> Counts {
    let mut rehearsal = Rehearsal::default();
    let mut counts = Counts::default();
    for (step, bytes) in steps {
        if matches!(step, Step::Contact { .. }) {
            rehearsal.contact(&serde_json::from_slice::<ContactDocument>(bytes).expect("a contact"));
            continue;
        }
        let Document::Alert(alert) = serde_json::from_slice(bytes).expect("an alert");
        for one in rehearsal.alert(&alert, &Echo) {
            *counts.0.entry((one.audience.word(), one.decision.reason())).or_default() += 1;
            for notice in one.notices {
                match notice.made {
                    Ok((channel, _)) => *counts.1.entry(channel).or_default() += 1,
                    Err(why) => *counts.2.entry(why.reason()).or_default() += 1,
                }
            }
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_rehearsal_decides_as_the_desk_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut now = START;
        let steps: Vec<(Step, Vec<u8>)> = steps
            .into_iter()
            .enumerate()
            .map(|(number, step)| {
                let bytes = bytes(number, &step, &mut now);
                (step, bytes)
            })
            .collect();
        prop_assert_eq!(rehearsed(&steps), desk(&steps));
    }
}
