//! The attackers of the wallet profile: scenes for each rule that ships, and whole takeovers.
//!
//! Guarantees: each scene satisfies the condition of the rules it names, with room to spare, and keeps clear
//! of the others' thresholds. Thresholds are those of the shipped pack.

use super::SimError;
use super::draft::Draft;
use super::people::HOUR_MS;
use super::script::{Kind, MINUTE_MS, SECOND_MS, Scene, When, foreign_login};
use super::traffic;
use super::world::{City, Range};
use crate::event::{Closed, EventType, Method, Millis, Network, Outcome, Reason, Stage, Via};

/// Countries that no flight from the wallet's own reaches within five hours.
const FAR: [&str; 7] = ["US", "GB", "DE", "FR", "NG", "BR", "ZA"];

/// The scenes, in the order they are planted.
pub const KINDS: [Kind; 14] = [
    attack("guessing", &["brute-force-account"], 10 * MINUTE_MS, guessing),
    attack("spray", &["password-spray-ip"], 15 * MINUTE_MS, spray),
    owners("travel", &["impossible-travel", "new-device-new-country"], 2 * HOUR_MS, travel),
    attack("stolen-password", &["new-device-new-country"], HOUR_MS, stolen_password),
    attack("anonymiser", &["anonymiser"], HOUR_MS, anonymiser),
    attack("distributed-guessing", &["brute-force-many-sources"], 30 * MINUTE_MS, distributed_guessing),
    owners("drain", &["velocity-sum"], HOUR_MS, drain),
    owners("scam", &["new-payee-large"], HOUR_MS, scam),
    attack("new-device-money", &["first-money-from-new-device"], HOUR_MS, new_device_money),
    TAKEOVER,
    attack("stuffing", &["password-spray-ip", "anonymiser", "new-device-new-country"], 20 * MINUTE_MS, stuffing),
    attack("summarised-guessing", &["brute-force-account"], 10 * MINUTE_MS, summarised_guessing),
    owners("mule", &["new-payee-large"], 2 * HOUR_MS, mule),
    attack(
        "reset-takeover",
        &["new-device-new-country", "new-payee-large", "first-money-from-new-device"],
        HOUR_MS,
        reset_takeover,
    ),
];

/// The scene for who wants to show one soon, and how long it takes at the most.
pub const FIRST: Kind = TAKEOVER;
/// See [`FIRST`].
pub const FIRST_MS: i64 = 25 * MINUTE_MS;
/// The attack in the middle of an outage.
pub const IN_OUTAGE: Kind = attack("guessing-in-outage", &["brute-force-account"], 10 * MINUTE_MS, guessing);

const TAKEOVER: Kind = attack(
    "takeover",
    &["new-device-new-country", "new-payee-large", "first-money-from-new-device"],
    HOUR_MS,
    takeover,
);

type Play = fn(&mut Scene<'_>) -> Result<(), SimError>;

/// By somebody whose day and night are not ours.
const fn attack(name: &'static str, expect: &'static [&'static str], length_ms: i64, play: Play) -> Kind {
    Kind { name, expect, when: When::Anytime, length_ms, play }
}

/// With a part for the owner, who must be awake.
const fn owners(name: &'static str, expect: &'static [&'static str], length_ms: i64, play: Play) -> Kind {
    Kind { name, expect, when: When::Day, length_ms, play }
}

/// Where an attacker sits: a line or carrier far away, no cloud and no anonymiser.
fn far(range: &Range, city: &City) -> bool {
    FAR.contains(&city.country.code()) && matches!(range.network, Network::Fixed | Network::Mobile)
}

/// Says whom the scene is about, and where it comes from.
fn tell(scene: &mut Scene<'_>, ip: std::net::IpAddr, device: u64) {
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
}

/// Says that the owner's own telephone is used.
fn tell_own(scene: &mut Scene<'_>) {
    scene.account = Some(scene.victim.number);
    scene.device = Some(scene.people.device(scene.victim.number, 0));
}

/// Somebody tries passwords on one account: 10 to 14 in 7 min.
fn guessing(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    let times = scene.random.between(10, 14);
    for time in scene.moments(times, 7 * MINUTE_MS) {
        scene.guess(time, ip, device);
    }
    tell(scene, ip, device);
    Ok(())
}

/// The same, told by a source that sends one event a minute for three or four failures: 12 to 16 in 4 min.
fn summarised_guessing(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    for nth in 0..4 {
        let count = scene.random.between(3, 4).unsigned_abs();
        scene.guess(scene.after(nth * MINUTE_MS), ip, device);
        scene.amend(|event| event.count = Some(count));
    }
    tell(scene, ip, device);
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

/// A list of names and passwords from elsewhere, tried from a rented server: every third name is nobody's, 14 to 16
/// passwords are wrong, the last is right.
fn stuffing(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let hosting = |range: &Range, city: &City| range.network == Network::Hosting && FAR.contains(&city.country.code());
    let (ip, device) = (scene.address(hosting)?, scene.strange_device());
    let tries = scene.random.between(21, 23);
    for (nth, time) in scene.moments(tries, 13 * MINUTE_MS).into_iter().enumerate() {
        let person = scene.extra()?;
        let event = Draft { result: Some(Outcome::Failure), ..foreign_login(&person, time, ip, device) };
        if nth % 3 == 2 {
            let (account, login_name) = (None, Some(scene.random.bits()));
            scene.deed(Draft { account, login_name, reason: Some(Reason::UnknownAccount), ..event });
        } else {
            scene.known(&person);
            scene.deed(Draft { reason: Some(Reason::BadCredentials), ..event });
        }
    }
    scene.enter(scene.after(14 * MINUTE_MS), ip, device);
    tell(scene, ip, device);
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
    tell(scene, ip, device);
    Ok(())
}

/// A stranger far away who knows the password, a day or more after the owner was last seen.
fn stolen_password(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    scene.enter(scene.at, ip, device);
    tell(scene, ip, device);
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
    tell(scene, ip, device);
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
    let payee = scene.people.payee(scene.victim.number, 0);
    for time in scene.moments(24, 50 * MINUTE_MS) {
        let minor = scene.random.between(300_000, 480_000);
        scene.pay(time, minor, payee);
    }
    tell_own(scene);
    Ok(())
}

/// The owner is talked into it: a large transfer from their own telephone to somebody never paid before.
fn scam(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let payee = scene.people.payee(scene.victim.number, 40);
    talked_into(scene, scene.at, payee);
    tell_own(scene);
    Ok(())
}

/// The owner logs in and pays a large sum a few minutes later.
fn talked_into(scene: &mut Scene<'_>, from: Millis, payee: u64) {
    let victim = scene.victim;
    let draw = scene.random.bits();
    scene.deed(traffic::login_ok(scene.people, &victim, 0, from, draw));
    let time = from.plus(scene.random.between(3 * MINUTE_MS, 20 * MINUTE_MS));
    let minor = scene.random.between(800_000, 1_900_000);
    scene.pay(time, minor, payee);
}

/// Three people who never met are talked into paying one and the same stranger within an hour and a half.
fn mule(scene: &mut Scene<'_>) -> Result<(), SimError> {
    let payee = scene.random.bits();
    for nth in 0..3 {
        if nth > 0 {
            scene.victim = scene.extra_victim()?;
        }
        scene.history();
        let from = scene.some_time(nth * 30 * MINUTE_MS, nth * 30 * MINUTE_MS + 10 * MINUTE_MS);
        talked_into(scene, from, payee);
    }
    Ok(())
}

/// A new device at home, and a quarter of an hour later the first money from it.
fn new_device_money(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.victim.home, scene.strange_device());
    scene.enter(scene.at, ip, device);
    let minor = scene.random.between(60_000, 150_000);
    let payee = scene.people.payee(scene.victim.number, 1);
    let time = scene.some_time(10 * MINUTE_MS, 30 * MINUTE_MS);
    scene.pay(time, minor, payee);
    scene.come_from(ip, device);
    tell(scene, ip, device);
    Ok(())
}

/// The whole of it: a stranger's device far away, a new payee, a large transfer within the half hour.
fn takeover(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    scene.enter(scene.at, ip, device);
    cash_out(scene, scene.at, ip, device);
    tell(scene, ip, device);
    Ok(())
}

/// A payee is added and paid by who has come in at `from`.
fn cash_out(scene: &mut Scene<'_>, from: Millis, ip: std::net::IpAddr, device: u64) {
    let victim = scene.victim;
    let payee = scene.people.payee(victim.number, 41);
    let soon = from.plus(scene.random.between(60 * SECOND_MS, 5 * MINUTE_MS));
    scene.deed(traffic::act(scene.people, &victim, EventType::PayeeAdded, 0, soon, 0));
    scene.amend(|event| event.payee = Some(payee));
    scene.come_from(ip, device);
    let minor = scene.random.between(900_000, 1_900_000);
    let time = soon.plus(scene.random.between(2 * MINUTE_MS, 15 * MINUTE_MS));
    scene.pay(time, minor, payee);
    scene.come_from(ip, device);
}

/// The telephone number is moved to a stranger's card, the code goes there, the password is theirs, then the money.
fn reset_takeover(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let (ip, device) = (scene.address(far)?, scene.strange_device());
    let (people, begin) = (scene.people, scene.at);
    let from_there = |minutes: i64, kind| Draft {
        ip: Some(ip),
        device: Some(device),
        session: None,
        ..traffic::act(people, &victim, kind, 0, begin.plus(minutes * MINUTE_MS), 0)
    };
    // The carrier says so, from nobody's device.
    scene.deed(Draft { ip: None, device: None, ..from_there(0, EventType::SimChanged) });
    for (minutes, stage) in [(3, Stage::Requested), (4, Stage::CodeSent), (5, Stage::Completed)] {
        let event = from_there(minutes, EventType::PasswordReset);
        scene.deed(Draft { stage: Some(stage), via: Some(Via::Sms), ..event });
    }
    scene.deed(from_there(6, EventType::PasswordChanged));
    for (minutes, result) in [(7, Outcome::Sent), (8, Outcome::Success)] {
        let event = from_there(minutes, EventType::Mfa);
        scene.deed(Draft { result: Some(result), method: Some(Method::Sms), ..event });
    }
    scene.enter(scene.after(9 * MINUTE_MS), ip, device);
    scene.amend(|event| event.mfa = Some(true));
    scene.deed(from_there(10, EventType::DeviceBound));
    scene.come_from(ip, device);
    cash_out(scene, scene.after(10 * MINUTE_MS), ip, device);
    tell(scene, ip, device);
    Ok(())
}
