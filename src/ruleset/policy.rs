//! The policy: from a score to a band, from a band to the channels that carry it.
//!
//! Guarantees: bands rise; every route names an audience and at least one channel. Absent, the defaults
//! hold. Does not send anything.

use serde::{Deserialize, Serialize};

use super::model::Audience;

/// How much an alert weighs, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum Band {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// The lowest score of each band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the lowest score of the band of its name")]
pub struct Bands {
    pub low: u8,
    pub medium: u8,
    pub high: u8,
    pub critical: u8,
}

impl Default for Bands {
    fn default() -> Self {
        Bands { low: 30, medium: 50, high: 70, critical: 90 }
    }
}

impl Bands {
    /// The band of a score; `None` below the lowest: no alert.
    pub fn of(&self, score: u8) -> Option<Band> {
        match score {
            s if s >= self.critical => Some(Band::Critical),
            s if s >= self.high => Some(Band::High),
            s if s >= self.medium => Some(Band::Medium),
            s if s >= self.low => Some(Band::Low),
            _ => None,
        }
    }
}

/// One route. Routes are tried in order for each audience; the first whose `from` is reached is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// For whom.
    pub audience: Audience,
    /// From which band on.
    pub from: Band,
    /// Channels by name: the next one when one fails for good.
    pub channels: Vec<String>,
    /// All channels at once rather than the next on failure.
    pub all: bool,
}

/// The policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The bands.
    pub bands: Bands,
    /// The routes.
    pub routes: Vec<Route>,
}

impl Default for Policy {
    fn default() -> Self {
        let route = |audience, from, channels: &[&str], all| Route {
            audience,
            from,
            channels: channels.iter().map(|c| (*c).to_owned()).collect(),
            all,
        };
        Policy {
            bands: Bands::default(),
            routes: vec![
                route(Audience::User, Band::Critical, &["email", "sms"], true),
                route(Audience::User, Band::Info, &["email", "sms"], false),
            ],
        }
    }
}
