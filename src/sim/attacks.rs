//! The attackers of the wallet profile: one scene for each rule that ships, and a whole takeover.
//!
//! Guarantees: each scene satisfies the condition of the rules it names, with room to spare, and keeps clear
//! of the others' thresholds. Thresholds are those of the shipped pack.

use super::SimError;
use super::draft::Draft;
use super::people::HOUR_MS;
use super::script::{Kind, MINUTE_MS, SECOND_MS, Scene, foreign_login};
use super::traffic;
use super::world::{City, HOME_COUNTRY, Range};
use crate::event::{Closed, EventType, Network, Outcome, Reason};

/// Countries that no flight from the wallet's own reaches within five hours.
const FAR: [&str; 7] = ["US", "GB", "DE", "FR", "NG", "BR", "ZA"];

/// The scenes, in the order they are planted.
pub const KINDS: [Kind; 10] = [
    Kind { name: "guessing", expect: &["brute-force-account"], length_ms: 10 * MINUTE_MS, play: guessing },
    Kind { name: "spray", expect: &["password-spray-ip"], length_ms: 15 * MINUTE_MS, play: spray },
    Kind {
        name: "travel",
        expect: &["impossible-travel", "new-device-new-country"],
        length_ms: 2 * HOUR_MS,
        play: travel,
    },
    Kind { name: "stolen-password", expect: &["new-device-new-country"], length_ms: HOUR_MS, play: stolen_password },
    Kind { name: "anonymiser", expect: &["anonymiser"], length_ms: HOUR_MS, play: anonymiser },
    Kind {
        name: "distributed-guessing",
        expect: &["brute-force-many-sources"],
        length_ms: 30 * MINUTE_MS,
        play: distributed_guessing,
    },
    Kind { name: "drain", expect: &["velocity-sum"], length_ms: HOUR_MS, play: drain },
    Kind { name: "scam", expect: &["new-payee-large"], length_ms: HOUR_MS, play: scam },
    Kind {
        name: "new-device-money",
        expect: &["first-money-from-new-device"],
        length_ms: HOUR_MS,
        play: new_device_money,
    },
    Kind {
        name: "takeover",
        expect: &["new-device-new-country", "new-payee-large", "first-money-from-new-device"],
        length_ms: HOUR_MS,
        play: takeover,
    },
];

/// Where an attacker sits: a line or carrier far away, no cloud and no anonymiser.
fn far(range: &Range, city: &City) -> bool {
    FAR.contains(&city.country.code()) && matches!(range.network, Network::Fixed | Network::Mobile)
}

/// Somebody tries passwords on one account: 10 to 14 in 7 min.
fn guessing(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    let times = scene.random.between(10, 14);
    for time in scene.moments(times, 7 * MINUTE_MS) {
        scene.guess(time, ip, device);
    }
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
    Ok(())
}

/// One address tries one password on 14 to 18 accounts in 12 min.
fn spray(scene: &mut Scene<'_>) -> Result<(), SimError> {
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    let accounts = scene.random.between(14, 18);
    for time in scene.moments(accounts, 12 * MINUTE_MS) {
        let person = scene.extra()?;
        scene.known(&person);
        let event = foreign_login(&person, time, ip, device);
        scene.deed(Draft { result: Some(Outcome::Failure), reason: Some(Reason::WrongPassword), ..event });
    }
    (scene.ip, scene.device) = (Some(ip), Some(device));
    Ok(())
}

/// The owner at home, an hour later a stranger far away with another device.
fn travel(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let draw = scene.random.bits();
    scene.deed(traffic::login_ok(scene.people, &victim, 0, scene.at, draw));
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    let later = scene.random.between(50 * MINUTE_MS, 80 * MINUTE_MS);
    scene.enter(scene.after(later), ip, device);
    (scene.account, scene.ip, scene.device) = (Some(victim.number), Some(ip), Some(device));
    Ok(())
}

/// A stranger far away who knows the password, a day or more after the owner was last seen.
fn stolen_password(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    scene.enter(scene.at, ip, device);
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
    Ok(())
}

/// The owner's own device id, copied, comes out of an anonymising network.
fn anonymiser(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let kinds = [Network::Tor, Network::Vpn, Network::Hosting];
    let kind = scene.random.pick(&kinds).copied().unwrap_or(Network::Tor);
    let ip = scene.address(|range, _| range.network.index() == kind.index())?;
    let device = scene.people.device(scene.victim.number, 0);
    scene.enter(scene.at, ip, device);
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
    Ok(())
}

/// A botnet tries one account: 14 to 16 failures in 26 min from six addresses of as many countries, never
/// eight in 10 min.
fn distributed_guessing(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let mut sources = Vec::new();
    for country in FAR.iter().take(6) {
        let ip = scene.address(|range, city| far(range, city) && city.country.code() == *country)?;
        sources.push((ip, scene.strange_device()));
    }
    let times = scene.random.between(14, 16);
    for (nth, time) in scene.moments(times, 26 * MINUTE_MS).into_iter().enumerate() {
        if let Some((ip, device)) = sources.get(nth % sources.len().max(1)).copied() {
            scene.guess(time, ip, device);
        }
    }
    scene.account = Some(scene.victim.number);
    Ok(())
}

/// Money leaves in many payments to a payee the owner knows: 24 of 3000 to 4800 in 50 min.
fn drain(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    for time in scene.moments(24, 50 * MINUTE_MS) {
        let amount = (scene.random.between(300_000, 480_000), traffic::currency(&victim));
        let payee = scene.people.payee(victim.number, 0);
        let draw = scene.random.bits();
        scene.deed(traffic::pay(scene.people, &victim, EventType::Transfer, time, amount, payee, draw));
    }
    scene.account = Some(victim.number);
    scene.device = Some(scene.people.device(victim.number, 0));
    Ok(())
}

/// The owner is talked into it: a large transfer from their own telephone to somebody never paid before.
fn scam(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let draw = scene.random.bits();
    scene.deed(traffic::login_ok(scene.people, &victim, 0, scene.at, draw));
    let amount = (scene.random.between(800_000, 1_900_000), traffic::currency(&victim));
    let payee = scene.people.payee(victim.number, 40);
    let draw = scene.random.bits();
    let time = scene.some_time(3 * MINUTE_MS, 20 * MINUTE_MS);
    scene.deed(traffic::pay(scene.people, &victim, EventType::Transfer, time, amount, payee, draw));
    scene.account = Some(victim.number);
    scene.device = Some(scene.people.device(victim.number, 0));
    Ok(())
}

/// A new device at home, and a quarter of an hour later the first money from it.
fn new_device_money(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let (ip, device) = (victim.home, scene.strange_device());
    scene.enter(scene.at, ip, device);
    let amount = (scene.random.between(60_000, 150_000), traffic::currency(&victim));
    let payee = scene.people.payee(victim.number, 1);
    let draw = scene.random.bits();
    let time = scene.some_time(10 * MINUTE_MS, 30 * MINUTE_MS);
    let event = traffic::pay(scene.people, &victim, EventType::Transfer, time, amount, payee, draw);
    scene.deed(Draft { ip: Some(ip), device: Some(device), ..event });
    (scene.account, scene.ip, scene.device) = (Some(victim.number), Some(ip), Some(device));
    Ok(())
}

/// The whole of it: a stranger's device far away, a new payee, a large transfer within the half hour.
fn takeover(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    scene.enter(scene.at, ip, device);
    let payee = scene.people.payee(victim.number, 41);
    let from_there = |event: Draft| Draft { ip: Some(ip), device: Some(device), ..event };
    let soon = scene.some_time(60 * SECOND_MS, 5 * MINUTE_MS);
    let added = traffic::act(scene.people, &victim, EventType::PayeeAdded, 0, soon, 0);
    scene.deed(from_there(Draft { payee: Some(payee), ..added }));
    let amount = (scene.random.between(900_000, 1_900_000), traffic::currency(&victim));
    let time = soon.plus(scene.random.between(2 * MINUTE_MS, 15 * MINUTE_MS));
    let event = traffic::pay(scene.people, &victim, EventType::Transfer, time, amount, payee, 0);
    scene.deed(from_there(event));
    (scene.account, scene.ip, scene.device) = (Some(victim.number), Some(ip), Some(device));
    Ok(())
}

/// Whether a city can be a victim's home: far from every attacker of [`FAR`].
pub fn is_victims_home(city: &City) -> bool {
    city.country.code() == HOME_COUNTRY
}
