//! What a rule set would have sent: its alerts and contacts through a rehearsal of the desk.
//!
//! Guarantees: who is told, by which channel and in which words is decided and rendered by what does it in the
//! service. Neither a recipient nor a user's phrase is kept. Sends nothing.

use std::collections::HashSet;
use std::sync::Arc;

use crate::alert::{Compose, Decision, Order, Rehearsal, Rehearsed};
use crate::deliver::{Composer, Templates, sms, stand_in};
use crate::detect::document::{AlertDocument, ContactDocument};
use crate::event::Millis;
use crate::ruleset::{Audience, Policy};
use crate::tuning::backtest::event_of;
use crate::tuning::notices::{NoticeSample, Notices, SegmentPrice};
use crate::tuning::sample::Draw;
use crate::tuning::trial::Said;

/// Messages of each channel that are shown.
const SAMPLES_MAX: usize = 5;
/// What stands for the phrase a user chose.
const BLANKED: &str = "******";

/// A desk that sends nothing.
pub struct Desk {
    rehearsal: Rehearsal,
    composer: Composer,
    price: Option<SegmentPrice>,
    notices: Notices,
    users: HashSet<Box<str>>,
    mails: Draw<NoticeSample>,
    texts: Draw<NoticeSample>,
}

impl Desk {
    /// With a policy and the words of notices; `seed` draws the samples.
    pub fn new(policy: Policy, templates: Templates, price: Option<SegmentPrice>, seed: u64) -> Self {
        let channels = stand_in::channels(&policy);
        Desk {
            rehearsal: Rehearsal::default(),
            composer: Composer::new(Arc::new(policy), channels, Arc::new(templates)),
            price,
            notices: Notices::default(),
            users: HashSet::new(),
            mails: Draw::new(seed, SAMPLES_MAX),
            texts: Draw::new(seed, SAMPLES_MAX),
        }
    }

    /// Takes what the rule set says.
    pub fn take(&mut self, said: &[Said]) {
        for said in said {
            match said {
                Said::Contact(contact) => self.rehearsal.contact(contact),
                Said::Alert { alert, .. } => {
                    for rehearsed in self.rehearsal.alert(alert, &self.composer) {
                        self.count(alert, &rehearsed);
                    }
                }
            }
        }
    }

    fn count(&mut self, alert: &AlertDocument, rehearsed: &Rehearsed) {
        let audience = rehearsed.audience.word();
        match rehearsed.decision {
            Decision::Notify(_) => *self.notices.told.entry(audience).or_default() += 1,
            Decision::Hold(_) => {
                let held = self.notices.held.entry(audience).or_default();
                *held.entry(rehearsed.decision.reason()).or_default() += 1;
            }
        }
        for notice in &rehearsed.notices {
            let (channel, message) = match &notice.made {
                Ok(made) => made,
                Err(why) => {
                    *self.notices.undeliverable.entry(why.reason()).or_default() += 1;
                    continue;
                }
            };
            *self.notices.sent.entry(channel.clone()).or_default() += 1;
            if rehearsed.audience != Audience::User {
                continue;
            }
            if channel == stand_in::SMS {
                self.notices.sms_segments += segments(&message.body) as u64;
            }
            if let Some(account) = &alert.account {
                self.users.insert(account.as_str().into());
            }
            let draw = if channel == stand_in::SMS { &mut self.texts } else { &mut self.mails };
            let (composer, rehearsal) = (&self.composer, &self.rehearsal);
            draw.offer(&format!("{} {}", alert.id, notice.addressee.word()), || {
                sample(alert, channel, rehearsed, rehearsal, composer)
            });
        }
    }

    /// The counts and samples.
    pub fn finish(self) -> Notices {
        let Desk { mut notices, mails, texts, users, price, .. } = self;
        notices.users = users.len() as u64;
        notices.sms_cost = price.map(|price| price.of(notices.sms_segments));
        let is_whole = |sample: &NoticeSample| !sample.text.is_empty();
        let by_time = |draw: Draw<NoticeSample>| {
            let mut drawn = draw.into_drawn();
            drawn.sort_by(|a, b| (&a.time, &a.event).cmp(&(&b.time, &b.event)));
            drawn
        };
        notices.samples = by_time(mails).into_iter().chain(by_time(texts)).filter(is_whole).collect();
        notices
    }
}

fn segments(body: &[u8]) -> usize {
    sms::segments(&String::from_utf8_lossy(body)).1
}

/// The same message, made for a contact whose phrase is blanked.
fn sample(
    alert: &AlertDocument,
    channel: &str,
    rehearsed: &Rehearsed,
    rehearsal: &Rehearsal,
    composer: &Composer,
) -> NoticeSample {
    let known = alert.account.as_deref().and_then(|account| rehearsal.contact_of(account));
    let known = known.cloned().unwrap_or_default();
    let contact = ContactDocument {
        anti_phishing: known.anti_phishing.is_some().then(|| BLANKED.to_owned()),
        email: Some("user@wallet.example".to_owned()),
        phone: Some("+8613800138000".to_owned()),
        ..known
    };
    let created = Millis::parse(&alert.time).unwrap_or_default();
    let (audience, case) = (rehearsed.audience, rehearsed.case);
    let order = Order { notice: "nt_sample", audience, alert, contact: Some(&contact), case, created };
    let body = composer.compose(&order, channel).map(|message| message.body).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let is_sms = channel == stand_in::SMS;
    let (subject, text) = match text.split_once("\n\n").filter(|_| !is_sms) {
        Some((subject, text)) => (Some(subject.to_owned()), text.trim().to_owned()),
        None => (None, text),
    };
    NoticeSample {
        channel: channel.to_owned(),
        event: event_of(alert).to_owned(),
        account: alert.account.clone(),
        time: alert.time.clone(),
        band: alert.band.word(),
        subject,
        segments: is_sms.then(|| segments(&body)),
        text,
    }
}
