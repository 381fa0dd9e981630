//! What a demo is made of before it is played: the day, the policy, what is planted.
//!
//! Guarantees: the same number and seed give the same day, but for when it happens: it ends now. Starts nothing.

use std::net::{Ipv4Addr, SocketAddr};

use super::DemoError;
use super::folder::Folder;
use super::model::Setting;
use crate::app::Prepared;
use crate::clock;
use crate::ruleset::{Audience, Band, Policy, Route, State};
use crate::sim::{Generator, Plan, Profile};

/// The day is whole from so many records on; fewer are the part of a day.
const DAY_EVENTS: u64 = 32_000;
/// Records of the days before are a fifth of all, but no more than these: whoever waits sees nothing of them.
const LEARNING_RECORDS_MAX: u64 = 8_000;
/// Ends so long before now, ms, that no event lies in the future.
const BEFORE_NOW_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// So soon in the played day the first attack is over, ms: within a second of the command's time.
const FIRST_ATTACK_MS: i64 = 30 * 60_000;
/// Attacks and look-alikes of each kind.
const SCENES_PER_KIND: u64 = 2;
/// An address of the loopback that was free a moment ago.
pub fn free_port() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Lines of the log go into the folder: the terminal belongs to the story.
pub fn log(folder: &Folder) -> Result<(), DemoError> {
    let path = folder.file("walletwatch.log");
    let file = std::fs::File::create(&path).map_err(|source| DemoError::Folder { path, source })?;
    crate::telemetry::log::start_in(file, "info");
    Ok(())
}

/// The shipped policy keeps the SMS for alerts in the band `critical`; here one is sent from `high` on, so that
/// there is something to see.
pub fn policy(shipped: &Policy) -> Policy {
    let channels = ["email", "sms"].map(str::to_owned).to_vec();
    let both = Route { audience: Audience::User, from: Band::High, channels, all: true };
    let routes = std::iter::once(both).chain(shipped.routes.iter().cloned()).collect();
    Policy { bands: shipped.bands, routes }
}

/// A day, or the part of it that so many records are, after a time of learning.
fn plan(events: u64, seed: u64) -> Plan {
    let plan = Plan::new(events, seed, Profile::Wallet);
    let watched = events - (events / 5).min(LEARNING_RECORDS_MAX);
    let rate_milli = u64::try_from(i128::from(watched.max(DAY_EVENTS)) * 1_000_000 / i128::from(DAY_MS));
    let rate_milli = rate_milli.unwrap_or(u64::MAX).max(1);
    Plan {
        rate_milli: Some(rate_milli),
        learning_records_max: Some(LEARNING_RECORDS_MAX),
        first_attack_within_ms: Some(FIRST_ATTACK_MS),
        scenes_per_kind: Some(SCENES_PER_KIND),
        ..plan
    }
}

/// The generator of such a day that ends now.
pub fn generator(events: u64, seed: u64) -> Result<Generator, DemoError> {
    let plan = plan(events, seed);
    // How long a stream is does not depend on when it begins.
    let ends = Generator::new(&plan)?.watched_to();
    let start = clock::now().plus(-(ends.since(plan.start) + BEFORE_NOW_MS));
    Ok(Generator::new(&Plan { start, ..plan })?)
}

/// What is known before anything is sent.
pub fn setting(generator: &Generator, events: u64, prepared: &Prepared) -> Setting {
    let shadow =
        prepared.in_force.ruleset.rules.iter().filter(|rule| rule.state == State::Shadow).map(|rule| rule.id.clone());
    Setting {
        people: plan(events, 0).accounts(),
        learning_records: generator.learning_records(),
        learning_days: generator.watched_from().since(generator.start()) / DAY_MS,
        day: (generator.watched_from(), generator.watched_to()),
        planted: generator.truth().collect(),
        shadow: shadow.collect(),
        policy: Policy::clone(&prepared.in_force.policy),
        http: None,
    }
}
