//! Notices to users, as a receiver sees them that honours the idempotency key: each once, none left out, none invented.
//!
//! What must be there is what the desk's rehearsal decides of the undisturbed engine's alerts. One thing depends on more
//! than the alerts: a contact that is newer than the alert may be at hand when the notice is made, and then somebody is
//! reached who was not known, or one more address was replaced meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use walletwatch::alert::{Addressee, Rehearsal};
use walletwatch::deliver::Composer;
use walletwatch::ruleset::Audience;

use super::oracle::{Oracle, Said, Undisturbed};
use crate::kit::gateway::Request;

/// What the gateway has.
#[derive(Debug)]
pub struct Delivered {
    /// Notices.
    pub notices: usize,
    /// Requests beyond the first of a notice.
    pub again: usize,
    /// Notices that nobody can get, each with its reason at the desk.
    pub undeliverable: usize,
}

/// A notice of the desk.
struct Row {
    id: String,
    state: String,
    reason: Option<String>,
}

/// Every notice to a user was delivered once, or is undeliverable for the reason that the rehearsal gives.
pub fn are_delivered_once(oracle: &Oracle, undisturbed: &Undisturbed, requests: &[Request]) -> Delivered {
    let mut at_desk = at_desk(oracle);
    let mut by_key: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in requests {
        assert!(request.verified, "{request:?}");
        by_key.entry(&request.id).or_default().push(request);
    }
    for (key, requests) in &by_key {
        assert!(requests.iter().all(|request| request.body == requests[0].body), "{key} came as two messages");
    }
    let (mut notices, mut undeliverable) = (0, 0);
    for (alert, addressee, expected) in rehearsed(oracle, undisturbed) {
        let row = at_desk.remove(&(alert.clone(), addressee.word().to_owned()));
        let row = row.unwrap_or_else(|| panic!("{alert}: no notice to the {} address", addressee.word()));
        let is_reached = by_key.remove(row.id.as_str()).is_some();
        match (row.state.as_str(), expected) {
            ("sent", _) => {
                assert!(is_reached, "{alert}: {} is sent and the gateway has nothing", row.id);
                notices += 1;
            }
            ("undeliverable", Err(why)) => {
                assert_eq!(row.reason.as_deref(), Some(why), "{alert}");
                assert!(!is_reached, "{alert}: {} cannot be delivered and was", row.id);
                undeliverable += 1;
            }
            (state, expected) => panic!("{alert}: {} is {state} ({:?}), not {expected:?}", row.id, row.reason),
        }
    }
    // An address that was replaced after the alert, and before its notice was made.
    at_desk.retain(|(_, addressee), row| {
        addressee != Addressee::Previous.word() || row.state != "sent" || by_key.remove(row.id.as_str()).is_none()
    });
    assert!(at_desk.is_empty(), "notices that nobody decided: {:?}", at_desk.keys());
    assert!(by_key.is_empty(), "the gateway has what the desk does not know: {:?}", by_key.keys());
    let distinct: std::collections::BTreeSet<&str> = requests.iter().map(|request| request.id.as_str()).collect();
    Delivered { notices, again: requests.len() - distinct.len(), undeliverable }
}

/// By alert and addressee, the notices to users that the desk has.
fn at_desk(oracle: &Oracle) -> BTreeMap<(String, String), Row> {
    let desk = rusqlite::Connection::open(&oracle.prepared.config.desk.path).expect("the desk");
    let sql = "SELECT alert, addressee, id, state, reason FROM notices WHERE audience = 'user'";
    let mut rows = desk.prepare(sql).expect("notices");
    let row = |row: &rusqlite::Row<'_>| {
        Ok(((row.get(0)?, row.get(1)?), Row { id: row.get(2)?, state: row.get(3)?, reason: row.get(4)? }))
    };
    let rows: Vec<_> = rows.query_map([], row).expect("notices").map(|row| row.expect("a row")).collect();
    let notices = rows.len();
    let found: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(found.len(), notices, "an alert has two notices to one address");
    found
}

/// What the rehearsal plans for users: alert, addressee, and why it cannot be delivered where it cannot.
fn rehearsed(oracle: &Oracle, undisturbed: &Undisturbed) -> Vec<(String, Addressee, Result<(), &'static str>)> {
    let in_force = &oracle.prepared.in_force;
    let (policy, templates) = (Arc::clone(&in_force.policy), Arc::clone(&in_force.templates));
    let composer = Composer::new(policy, oracle.prepared.channels.clone(), templates);
    let mut rehearsal = Rehearsal::default();
    let mut planned = Vec::new();
    for said in &undisturbed.said {
        match said {
            Said::Contact(contact) => rehearsal.contact(contact),
            Said::Alert(alert) => {
                let all = rehearsal.alert(alert, &composer);
                for notice in all.into_iter().filter(|r| r.audience == Audience::User).flat_map(|r| r.notices) {
                    let made = notice.made.map(drop).map_err(|why| why.reason());
                    planned.push((alert.id.clone(), notice.addressee, made));
                }
            }
        }
    }
    planned
}
