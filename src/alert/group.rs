//! Who hears of an alert, and who has heard enough: pure decisions with named reasons.
//!
//! Guarantees: each audience of an alert gets one decision; the reason is a word fit for a metric label.
//! Does not store or send.

use crate::detect::document::AlertDocument;
use crate::event::Millis;
use crate::ruleset::{Audience, Band};

/// What is decided for one audience of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Decision {
    /// Somebody is told.
    Notify(Notify),
    /// Nobody is told; the alert is kept all the same.
    Hold(Hold),
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Notify {
    /// No open alert of this account and rule group was told to this audience.
    FirstSeen,
    /// It weighs more than what was told.
    BandRose,
}

/// Why nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hold {
    /// The desk already has it: a redelivery.
    Known,
    /// It joins an open alert of the same account and rule group.
    Grouped,
    /// The policy has no route for this audience and band.
    NoRoute,
}

impl Decision {
    /// The reason as a metric label.
    pub fn reason(self) -> &'static str {
        match self {
            Decision::Notify(Notify::FirstSeen) => "first_seen",
            Decision::Notify(Notify::BandRose) => "band_rose",
            Decision::Hold(Hold::Known) => "known",
            Decision::Hold(Hold::Grouped) => "grouped",
            Decision::Hold(Hold::NoRoute) => "no_route",
        }
    }
}

/// What an alert is about: which case it opens or joins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    /// The account, else the address, else the alert itself: without an account nothing else may be joined.
    pub entity: String,
    /// The rule group of the finding that leads.
    pub group: String,
}

impl Subject {
    /// Of an alert. The findings stand largest share first. One the user may hear of leads before one that
    /// they may not, so that what the user is told never depends on what is kept from them.
    pub fn of(alert: &AlertDocument) -> Self {
        let for_user = alert.findings.iter().find(|f| f.audience.contains(&Audience::User));
        let group = for_user.or_else(|| alert.findings.first()).map_or("", |f| f.group.as_str()).to_owned();
        let ip = alert.event.get("ip").and_then(|ip| ip.as_str());
        let entity = match (&alert.account, ip) {
            (Some(account), _) => format!("account:{account}"),
            (None, Some(ip)) => format!("ip:{ip}"),
            (None, None) => format!("alert:{}", alert.id),
        };
        Subject { entity, group }
    }
}

/// An open case as a decision needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenCase {
    /// Event time of its first alert.
    pub opened: Millis,
    /// Event time of its newest alert.
    pub last: Millis,
}

impl OpenCase {
    /// Whether an alert of `time` still belongs to it. An alert from before its opening does.
    pub fn takes(&self, time: Millis, quiet_ms: i64, span_ms_max: i64) -> bool {
        time.since(self.last) <= quiet_ms && time.since(self.opened) <= span_ms_max
    }
}

/// What one audience is told, given the band it was told last in this case.
pub(super) fn decide(band: Band, told: Option<Band>, has_route: bool) -> Decision {
    match told {
        _ if !has_route => Decision::Hold(Hold::NoRoute),
        None => Decision::Notify(Notify::FirstSeen),
        Some(told) if band > told => Decision::Notify(Notify::BandRose),
        Some(_) => Decision::Hold(Hold::Grouped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn the_same_again_is_grouped_and_worse_is_told() {
        assert_eq!(decide(Band::High, None, true), Decision::Notify(Notify::FirstSeen));
        assert_eq!(decide(Band::High, Some(Band::High), true), Decision::Hold(Hold::Grouped));
        assert_eq!(decide(Band::Medium, Some(Band::High), true), Decision::Hold(Hold::Grouped));
        assert_eq!(decide(Band::Critical, Some(Band::High), true), Decision::Notify(Notify::BandRose));
        assert_eq!(decide(Band::Critical, None, false), Decision::Hold(Hold::NoRoute));
    }

    #[test]
    fn constant_noise_does_not_keep_a_case_open_for_ever() {
        let at = |hour: i64| Millis(hour * HOUR);
        let case = |opened, last| OpenCase { opened: at(opened), last: at(last) };
        assert!(case(0, 0).takes(at(24), 24 * HOUR, 168 * HOUR));
        assert!(!case(0, 0).takes(at(25), 24 * HOUR, 168 * HOUR));
        assert!(case(0, 160).takes(at(168), 24 * HOUR, 168 * HOUR));
        assert!(!case(0, 160).takes(at(169), 24 * HOUR, 168 * HOUR));
        assert!(case(10, 10).takes(at(0), 24 * HOUR, 168 * HOUR), "a late alert joins");
    }
}
