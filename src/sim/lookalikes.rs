//! What looks like an attack and is none: each scene stands just outside the condition of a rule.
//!
//! Guarantees: `expect` is empty: no rule of the shipped pack that a user or the security team hears of may
//! fire on these events.

use super::SimError;
use super::draft::Draft;
use super::people::{DAY_MS, HOUR_MS};
use super::script::{Kind, MINUTE_MS, SECOND_MS, Scene, foreign_login};
use super::traffic;
use super::world::HOME_COUNTRY;
use crate::event::{Actor, Channel, EventType, Network, Outcome, Reason};

/// The scenes, in the order they are planted.
pub const KINDS: [Kind; 11] = [
    quiet("forgotten-password", 12 * MINUTE_MS, forgotten_password),
    quiet("maintenance", 10 * MINUTE_MS, maintenance),
    quiet("bad-network", 10 * MINUTE_MS, bad_network),
    quiet("carrier-gateway", 15 * MINUTE_MS, carrier_gateway),
    quiet("office", 15 * MINUTE_MS, office),
    quiet("flight", 2 * HOUR_MS, flight),
    quiet("new-telephone", HOUR_MS, new_telephone),
    quiet("roaming", HOUR_MS, roaming),
    quiet("rent", HOUR_MS, rent),
    quiet("commuter", 30 * MINUTE_MS, commuter),
    quiet("call-centre", 30 * MINUTE_MS, call_centre),
];

const fn quiet(name: &'static str, length_ms: i64, play: fn(&mut Scene<'_>) -> Result<(), SimError>) -> Kind {
    Kind { name, expect: &[], length_ms, play }
}

/// The owner's own failures from the owner's own telephone, then perhaps a good login.
fn own_failures(scene: &mut Scene<'_>, reasons: &[Reason], n: i64, within_ms: i64, ends_well: bool) {
    let victim = scene.victim;
    for (nth, time) in scene.moments(n, within_ms).into_iter().enumerate() {
        let reason = reasons.get(nth % reasons.len().max(1)).copied().unwrap_or(Reason::Other);
        scene.deed(traffic::login_bad(scene.people, &victim, 0, time, reason, u64::MAX));
    }
    if ends_well {
        let time = scene.after(within_ms + 40 * SECOND_MS);
        scene.deed(traffic::login_ok(scene.people, &victim, 0, time, u64::MAX));
    }
    scene.account = Some(victim.number);
    scene.device = Some(scene.people.device(victim.number, 0));
}

/// Seven wrong passwords, one below the limit, then the right one.
fn forgotten_password(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    own_failures(scene, &[Reason::WrongPassword], 7, 9 * MINUTE_MS, true);
    Ok(())
}

/// Twenty failures of a service that is down.
fn maintenance(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    own_failures(scene, &[Reason::Maintenance, Reason::ServerError], 20, 8 * MINUTE_MS, true);
    Ok(())
}

/// Fifteen failures in a tunnel.
fn bad_network(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    own_failures(scene, &[Reason::NetworkError, Reason::Timeout, Reason::AppError], 15, 8 * MINUTE_MS, true);
    Ok(())
}

/// Many people behind one address: some mistype, most do not.
fn gateway(scene: &mut Scene<'_>, network: Network, failing: i64, good: i64) -> Result<(), SimError> {
    let ip = scene.address(|r, c| r.network == network && c.country.code() == HOME_COUNTRY && r.first.is_ipv4())?;
    let n = failing + good;
    for (nth, time) in scene.moments(n, 12 * MINUTE_MS).into_iter().enumerate() {
        let person = scene.extra()?;
        let device = scene.people.device(person.number, 0);
        let event = Draft { locale: Some(person.locale), ..foreign_login(&person, time, ip, device) };
        // The failures are spread evenly and the first comes late, so the share holds at every moment.
        let fails = (nth as i64 + 1) * failing / n != nth as i64 * failing / n;
        let (result, reason) = match fails {
            true => (Outcome::Failure, Some(Reason::WrongPassword)),
            false => (Outcome::Success, None),
        };
        scene.deed(Draft { result: Some(result), reason, ..event });
    }
    scene.ip = Some(ip);
    Ok(())
}

/// The address of a mobile carrier on a Monday morning.
fn carrier_gateway(scene: &mut Scene<'_>) -> Result<(), SimError> {
    gateway(scene, Network::CarrierNat, 14, 60)
}

/// A large office after lunch.
fn office(scene: &mut Scene<'_>) -> Result<(), SimError> {
    gateway(scene, Network::Business, 11, 30)
}

/// Home, a flight of 18 hours, and another of the owner's known devices at the destination.
fn flight(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let tablet = scene.people.device(victim.number, 1);
    let (from, _) = scene.learning;
    let known = traffic::login_ok(scene.people, &victim, 1, from.plus(3 * DAY_MS + 2 * HOUR_MS), 0);
    scene.aside(known);
    let left = traffic::login_ok(scene.people, &victim, 0, scene.after(-18 * HOUR_MS), u64::MAX);
    scene.deed(left);
    // Farther than a thousand kilometres and nearer than eighteen hours.
    let ip =
        scene.address(|r, c| ["SG", "AU", "GB", "DE"].contains(&c.country.code()) && r.network == Network::Mobile)?;
    scene.enter(scene.at, ip, tablet);
    (scene.account, scene.ip, scene.device) = (Some(victim.number), Some(ip), Some(tablet));
    Ok(())
}

/// A new telephone at home; no money leaves it for now.
fn new_telephone(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.victim.home, scene.strange_device());
    scene.enter(scene.at, ip, device);
    scene.enter(scene.after(30 * MINUTE_MS), ip, device);
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
    Ok(())
}

/// The owner's telephone, whose traffic surfaces in another country for a while.
fn roaming(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let device = scene.people.device(victim.number, 0);
    scene.deed(traffic::login_ok(scene.people, &victim, 0, scene.at, u64::MAX));
    let ip = scene.address(|r, c| ["SG", "GB", "US"].contains(&c.country.code()) && r.network == Network::Mobile)?;
    scene.enter(scene.after(25 * MINUTE_MS), ip, device);
    (scene.account, scene.ip, scene.device) = (Some(victim.number), Some(ip), Some(device));
    Ok(())
}

/// A large transfer to the landlord, who was paid before.
fn rent(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let amount = (scene.random.between(600_000, 900_000), traffic::currency(&victim));
    let payee = scene.people.payee(victim.number, 0);
    scene.deed(traffic::pay(scene.people, &victim, EventType::Transfer, scene.at, amount, payee, u64::MAX));
    scene.account = Some(victim.number);
    scene.device = Some(scene.people.device(victim.number, 0));
    Ok(())
}

/// Twelve failures over half an hour from five addresses of one carrier: a train, a password half remembered.
fn commuter(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let range = scene.range(|r, c| c.country.code() == HOME_COUNTRY && r.network == Network::Mobile)?;
    let device = scene.people.device(victim.number, 0);
    let addresses: Vec<_> = (0..5).map(|_| range.address(scene.random.bits())).collect();
    for (nth, time) in scene.moments(12, 28 * MINUTE_MS).into_iter().enumerate() {
        if let Some(ip) = addresses.get(nth % 5) {
            scene.guess(time, *ip, device);
        }
    }
    (scene.account, scene.device) = (Some(victim.number), Some(device));
    Ok(())
}

/// Agents help forty people from one address: resets and logouts, no failures.
fn call_centre(scene: &mut Scene<'_>) -> Result<(), SimError> {
    let ip = scene.address(|r, c| r.network == Network::Business && c.country.code() == HOME_COUNTRY)?;
    for time in scene.moments(40, 25 * MINUTE_MS) {
        let person = scene.extra()?;
        let event = Draft {
            ip: Some(ip),
            device: None,
            session: None,
            channel: Some(Channel::CallCenter),
            by: Some(Actor::Support),
            ..traffic::act(scene.people, &person, EventType::Logout, 0, time, 0)
        };
        scene.deed(event);
    }
    scene.ip = Some(ip);
    Ok(())
}
