//! A rehearsal: what the desk would decide of a stream of alerts, in memory, without a file and without sending.
//!
//! Guarantees: the decisions are those of [`Desk`](super::Desk), made by the same functions; a test compares both.
//! What depends on our clock (a contact that comes late, a retry) does not happen here: every contact is in time.

use std::collections::HashMap;

use super::case_number::CaseNumber;
use super::contacts::{before_change, merge, parse_time};
use super::group::{Decision, OpenCase, Subject, decide};
use super::notice::{Addressee, Compose, Message, Order, Undeliverable};
use super::{CASE_QUIET_MS, CASE_SPAN_MS_MAX};
use crate::detect::document::{AlertDocument, ContactDocument};
use crate::event::Millis;
use crate::ruleset::{Audience, Band};

/// Case numbers here are nobody's.
const CASE_KEY: [u8; 16] = [0; 16];
const NOTICE: &str = "nt_rehearsal";

/// The desk's memory.
#[derive(Debug, Default)]
pub struct Rehearsal {
    cases: HashMap<Subject, Case>,
    opened: u32,
    contacts: HashMap<String, (Millis, ContactDocument)>,
}

#[derive(Debug)]
struct Case {
    number: CaseNumber,
    open: OpenCase,
    told: Vec<(Audience, Band)>,
}

/// What would be done for one audience of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// For whom.
    pub audience: Audience,
    /// Whether somebody is told, and why.
    pub decision: Decision,
    /// The number of the case it would belong to.
    pub case: CaseNumber,
    /// The notices.
    pub notices: Vec<Planned>,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// To which of an account's addresses.
    pub addressee: Addressee,
    /// The first channel that can carry it with its message, or why none can.
    pub made: Result<(String, Message), Undeliverable>,
}

impl Rehearsal {
    /// Takes a contact.
    pub fn contact(&mut self, newer: &ContactDocument) {
        let Some(as_of) = parse_time(&newer.as_of) else { return };
        let merged = match self.contacts.remove(&newer.account) {
            Some(held) if held.0 > as_of => held,
            Some((_, known)) => (as_of, merge(known, newer)),
            None => (as_of, newer.clone()),
        };
        self.contacts.insert(newer.account.clone(), merged);
    }

    /// Takes an alert that is new.
    pub fn alert(&mut self, alert: &AlertDocument, composer: &dyn Compose) -> Vec<Rehearsed> {
        let time = parse_time(&alert.time).unwrap_or_default();
        let Some(number) = self.case_of(alert, time) else { return Vec::new() };
        let subject = Subject::of(alert);
        let mut all = Vec::with_capacity(alert.audience.len());
        for audience in &alert.audience {
            let chains = composer.chains(*audience, alert.band);
            let Some(case) = self.cases.get_mut(&subject) else { continue };
            let told = case.told.iter_mut().find(|(told, _)| told == audience);
            let decision = decide(alert.band, told.as_ref().map(|(_, band)| *band), !chains.is_empty());
            let mut notices = Vec::new();
            if matches!(decision, Decision::Notify(_)) {
                match told {
                    Some((_, band)) => *band = alert.band,
                    None => case.told.push((*audience, alert.band)),
                }
                let contact = alert.account.as_ref().and_then(|account| self.contacts.get(account));
                let contact = contact.map(|(_, contact)| contact);
                let order = Order { notice: NOTICE, audience: *audience, alert, contact, case: number, created: time };
                chains.iter().for_each(|chain| plan(&order, chain, composer, &mut notices));
            }
            all.push(Rehearsed { audience: *audience, decision, case: number, notices });
        }
        all
    }

    /// The contact at hand.
    pub fn contact_of(&self, account: &str) -> Option<&ContactDocument> {
        self.contacts.get(account).map(|(_, contact)| contact)
    }

    /// The number of the case an alert opens or joins.
    fn case_of(&mut self, alert: &AlertDocument, time: Millis) -> Option<CaseNumber> {
        let subject = Subject::of(alert);
        if let Some(case) = self.cases.get_mut(&subject)
            && case.open.takes(time, CASE_QUIET_MS, CASE_SPAN_MS_MAX)
        {
            case.open.last = case.open.last.max(time);
            return Some(case.number);
        }
        self.opened = self.opened.saturating_add(1);
        let number = CaseNumber::of(self.opened, &CASE_KEY)?;
        let case = Case { number, open: OpenCase { opened: time, last: time }, told: Vec::new() };
        self.cases.insert(subject, case);
        Some(number)
    }
}

/// The notice of a chain, and the one to the addresses that were replaced lately.
fn plan(order: &Order<'_>, chain: &[String], composer: &dyn Compose, notices: &mut Vec<Planned>) {
    notices.push(Planned { addressee: Addressee::Current, made: first(order, chain.iter(), composer) });
    if order.audience != Audience::User {
        return;
    }
    let Some(previous) = order.contact.and_then(|contact| before_change(contact, order.created)) else { return };
    let to_previous = Order { contact: Some(&previous), ..*order };
    let recipient = |order, channel: &str| composer.compose(order, channel).map(|message| message.recipient);
    let others: Vec<&String> =
        chain.iter().filter(|channel| recipient(&to_previous, channel) != recipient(order, channel)).collect();
    if !others.is_empty() {
        let made = first(&to_previous, others.into_iter(), composer);
        notices.push(Planned { addressee: Addressee::Previous, made });
    }
}

fn first<'c>(
    order: &Order<'_>,
    chain: impl Iterator<Item = &'c String>,
    composer: &dyn Compose,
) -> Result<(String, Message), Undeliverable> {
    let mut refusal = None;
    for channel in chain {
        match composer.compose(order, channel) {
            Ok(message) => return Ok((channel.clone(), message)),
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Err(refusal.unwrap_or(Undeliverable::NoChannel))
}
