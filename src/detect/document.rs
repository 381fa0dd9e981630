//! What detection tells the world: the documents of `wallet.alerts` and `wallet.contacts`.
//!
//! Guarantees: equal input gives equal bytes (fields in the order written here, maps sorted); ids are in
//! clear, personal fields appear on contacts only; readers ignore fields they do not know. Does not decide
//! anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ruleset::{Action, Audience, Band};

/// The version of these documents.
pub const SCHEMA: u32 = 1;

/// One document of `wallet.alerts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Document {
    /// A scored event that reached a band.
    Alert(Box<AlertDocument>),
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertDocument {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Derived from event id and account: the same cause never makes two.
    pub id: String,
    /// Event time, RFC 3339.
    pub time: String,
    /// The account; `None` where the event has none.
    pub account: Option<String>,
    /// 0 to 100.
    pub score: u8,
    /// The band the score falls into.
    pub band: Band,
    /// Who may hear of it: the audiences of the findings, sorted.
    pub audience: Vec<Audience>,
    /// The strongest recommendation of the findings.
    pub action: Action,
    /// The notice a user gets.
    pub notice: String,
    /// The fired live rules, by share (largest first), then id.
    pub findings: Vec<FindingDocument>,
    /// The event without its personal fields.
    pub event: BTreeMap<String, serde_json::Value>,
    /// Where it came from, and the last good login.
    pub geo: GeoDocument,
    /// The incident it falls into.
    pub incident: Option<String>,
    /// Until when no SMS may be sent to this account.
    pub no_sms_until: Option<String>,
    /// The contact in force: event time of the newest contact seen for the account.
    pub contact_as_of: Option<String>,
    /// What the account's owner usually does.
    pub usual: Usual,
    /// What decided.
    pub versions: Versions,
}

/// A rule that fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingDocument {
    /// The rule.
    pub rule: String,
    /// Its revision.
    pub revision: u32,
    /// Its score.
    pub score: u8,
    /// Its part of the alert's score, 0 to 1, two decimals.
    pub share: f64,
    /// Its group.
    pub group: String,
    /// Its audience.
    pub audience: Vec<Audience>,
    /// The rendered explanation.
    pub text: String,
    /// The values the condition read, by the names rules write: a number as a number, a time in RFC 3339, a
    /// duration in ISO 8601 (`PT12H4M`, the longest unit is a day of 24 hours), money as a decimal with its
    /// currency (`12000.00 CNY`), coordinates as latitude and longitude in degrees (`31.23 121.47`), `null` where
    /// it was missing. A rule that compares places carries both sightings: the event's as `time`, `ip`, `device`,
    /// `geo`, `geo.country`, `geo.city`, `geo.accuracy_km`, `geo.network`, the other as the same behind the name
    /// of its feature, and between them `distance_km` and `speed_kmh` (`inf` over no time).
    pub evidence: BTreeMap<String, serde_json::Value>,
}

/// A place in an alert.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of the event's place")]
pub struct GeoDocument {
    pub country: Option<String>,
    pub city: Option<String>,
    pub accuracy_km: Option<f64>,
    pub asn: Option<u32>,
    pub network: Option<String>,
    /// The last good login before this event, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Box<LastGood>>,
}

/// The last good login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastGood {
    /// When, RFC 3339.
    pub time: String,
    /// From which device.
    pub device: Option<String>,
    /// From where.
    #[serde(flatten)]
    pub place: GeoDocument,
}

/// What the account's owner usually does, from good logins.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usual {
    /// Countries with at least a tenth of the good logins, most usual first.
    pub countries: Vec<String>,
    /// Number of devices seen.
    pub devices: u32,
    /// First and last hour of the day, in the event's zone (UTC where none is known), that hold at least
    /// nine tenths of the good logins: the shortest such run, `None` while nothing is known.
    pub hours: Option<[u8; 2]>,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Versions {
    /// Digest of the rule set.
    pub rules: String,
    /// Build date of the geo database, `None` without one.
    pub geo: Option<String>,
    /// Version of the program.
    pub walletwatch: String,
}

/// One document of `wallet.contacts`, keyed by account. Personal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContactDocument {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The account.
    pub account: String,
    /// Event time it was seen at, RFC 3339.
    pub as_of: String,
    /// Mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// Language.
    pub locale: Option<String>,
    /// IANA zone.
    pub zone: Option<String>,
    /// The phrase the user chose.
    pub anti_phishing: Option<String>,
    /// Mail address before the last change, and when it changed.
    pub previous_email: Option<Previous>,
    /// Telephone number before the last change, and when it changed.
    pub previous_phone: Option<Previous>,
}

/// A contact that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// What it was.
    pub value: String,
    /// When it was replaced, RFC 3339.
    pub until: String,
}
