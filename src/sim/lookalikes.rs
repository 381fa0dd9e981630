//! What looks like an attack and is none: each scene stands just outside the condition of a rule.
//!
//! Guarantees: `expect` is empty: no rule of the shipped pack that a user or the security team hears of may
//! fire on these events.

use super::SimError;
use super::draft::Draft;
use super::episodes::Episode;
use super::people::{DAY_MS, HOUR_MS};
use super::script::{Kind, MINUTE_MS, SECOND_MS, Scene, When, foreign_login};
use super::traffic;
use super::world::HOME_COUNTRY;
use crate::event::{Actor, Channel, EventType, Network, Outcome, Reason};

/// The scenes, in the order they are planted.
pub const KINDS: [Kind; 22] = [
    // Not guessing.
    quiet("one-try-left", 12 * MINUTE_MS, one_try_left),
    quiet("forgotten-password", 12 * MINUTE_MS, forgotten_password),
    quiet("clumsy-typing", 10 * MINUTE_MS, clumsy_typing),
    quiet("locked-out", HOUR_MS, locked_out),
    quiet("summary", 10 * MINUTE_MS, summary),
    quiet("maintenance", 10 * MINUTE_MS, maintenance),
    quiet("bad-network", 10 * MINUTE_MS, bad_network),
    quiet("commuter", 30 * MINUTE_MS, commuter),
    quiet("vpn-user", 35 * MINUTE_MS, vpn_user),
    // Not spraying.
    quiet("carrier-gateway", 15 * MINUTE_MS, carrier_gateway),
    Kind { when: When::MondayMorning, ..quiet("office", 15 * MINUTE_MS, office) },
    quiet("family", 20 * MINUTE_MS, family),
    quiet("call-centre", 30 * MINUTE_MS, call_centre),
    // Not a stranger.
    quiet("flight", 2 * HOUR_MS, flight),
    quiet("new-telephone", HOUR_MS, new_telephone),
    quiet("roaming", HOUR_MS, roaming),
    quiet("private-relay", HOUR_MS, private_relay),
    // Not stolen money.
    quiet("rent", HOUR_MS, rent),
    quiet("shopping", HOUR_MS, shopping),
    quiet("payday", HOUR_MS, payday),
    quiet("first-payee", HOUR_MS, first_payee),
    quiet("settled-device", HOUR_MS, settled_device),
];

/// Somebody who will not believe that the service is down.
pub const IN_OUTAGE: Kind = quiet("impatience", 10 * MINUTE_MS, maintenance);

const fn quiet(name: &'static str, length_ms: i64, play: fn(&mut Scene<'_>) -> Result<(), SimError>) -> Kind {
    Kind { name, expect: &[], when: When::Day, length_ms, play }
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
fn one_try_left(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    own_failures(scene, &[Reason::WrongPassword], 7, 9 * MINUTE_MS, true);
    Ok(())
}

/// Two or three wrong passwords, a reset by code, a new password, a good login.
fn forgotten_password(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    scene.play(Episode::Forgotten);
    Ok(())
}

/// Four typing mistakes in three minutes, then the right password.
fn clumsy_typing(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    own_failures(scene, &[Reason::WrongPassword], 4, 3 * MINUTE_MS, true);
    Ok(())
}

/// Locked by the wallet after wrong passwords, unlocked by support, then a good login.
fn locked_out(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    scene.play(Episode::LockedOut);
    Ok(())
}

/// A source that sends one event for many failures: seven wrong passwords, thirty broken connections.
fn summary(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    own_failures(scene, &[Reason::WrongPassword], 1, MINUTE_MS, false);
    scene.amend(|event| event.count = Some(7));
    let victim = scene.victim;
    let event =
        traffic::login_bad(scene.people, &victim, 0, scene.after(2 * MINUTE_MS), Reason::NetworkError, u64::MAX);
    scene.deed(Draft { count: Some(30), ..event });
    scene.deed(traffic::login_ok(scene.people, &victim, 0, scene.after(4 * MINUTE_MS), u64::MAX));
    Ok(())
}

/// An app behind a VPN that changes its exit tries a stale password nine times from six countries in half an hour;
/// then the VPN is off and the owner types the right one at home.
fn vpn_user(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let device = scene.people.device(scene.victim.number, 0);
    let mut exits = Vec::new();
    for country in ["DE", "GB", "HK", "JP", "NL", "SG"] {
        exits.push(scene.address(|r, c| r.network == Network::Vpn && c.country.code() == country)?);
    }
    for (nth, time) in scene.moments(9, 27 * MINUTE_MS).into_iter().enumerate() {
        if let Some(ip) = exits.get(nth % exits.len().max(1)) {
            scene.guess(time, *ip, device);
        }
    }
    let victim = scene.victim;
    scene.deed(traffic::login_ok(scene.people, &victim, 0, scene.after(30 * MINUTE_MS), u64::MAX));
    (scene.account, scene.device) = (Some(victim.number), Some(device));
    Ok(())
}

/// Five of a family on one line at home: each mistypes once or twice and comes in.
fn family(scene: &mut Scene<'_>) -> Result<(), SimError> {
    let line = scene.victim.home;
    for nth in 0..5 {
        let person = if nth == 0 { scene.victim } else { scene.extra()? };
        scene.known(&person);
        let begin = scene.after(nth * 3 * MINUTE_MS);
        for wrong in 0..scene.random.between(1, 2) {
            let time = begin.plus(wrong * 20 * SECOND_MS);
            scene.deed(traffic::login_bad(scene.people, &person, 0, time, Reason::WrongPassword, u64::MAX));
            scene.amend(|event| event.ip = Some(line));
        }
        scene.deed(traffic::login_ok(scene.people, &person, 0, begin.plus(MINUTE_MS), u64::MAX));
        scene.amend(|event| event.ip = Some(line));
    }
    scene.ip = Some(line);
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

/// The address of a mobile carrier after a tunnel: 14 of 74 mistype.
fn carrier_gateway(scene: &mut Scene<'_>) -> Result<(), SimError> {
    gateway(scene, Network::CarrierNat, 14, 60)
}

/// A large office on Monday morning: 18 of 48 still type the password of before the weekend.
fn office(scene: &mut Scene<'_>) -> Result<(), SimError> {
    gateway(scene, Network::Business, 18, 30)
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

/// A new telephone at home, bound to the account; a little money leaves it.
fn new_telephone(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.victim.home, scene.strange_device());
    scene.enter(scene.at, ip, device);
    let victim = scene.victim;
    scene.deed(traffic::act(scene.people, &victim, EventType::DeviceBound, 0, scene.after(2 * MINUTE_MS), 0));
    scene.come_from(ip, device);
    scene.enter(scene.after(30 * MINUTE_MS), ip, device);
    let minor = scene.random.between(2_000, 45_000);
    let payee = scene.people.payee(victim.number, 0);
    scene.pay(scene.after(34 * MINUTE_MS), minor, payee);
    scene.come_from(ip, device);
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

/// A new device whose traffic leaves through its maker's relay in another country: its country is not the user's.
fn private_relay(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let ip = scene.address(|r, c| r.network == Network::Relay && c.country.code() != HOME_COUNTRY)?;
    let device = scene.strange_device();
    scene.enter(scene.at, ip, device);
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
    Ok(())
}

/// Says that the owner's own telephone is used.
fn tell_own(scene: &mut Scene<'_>) {
    scene.account = Some(scene.victim.number);
    scene.device = Some(scene.people.device(scene.victim.number, 0));
}

/// A large transfer to the landlord, who was paid before.
fn rent(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let minor = scene.random.between(600_000, 900_000);
    let payee = scene.people.payee(scene.victim.number, 0);
    scene.pay(scene.at, minor, payee);
    tell_own(scene);
    Ok(())
}

/// A large payment in a shop: 20 000 to 45 000 to a merchant.
fn shopping(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let victim = scene.victim;
    let amount = (scene.random.between(2_000_000, 4_500_000), traffic::currency(&victim));
    let event = traffic::pay(scene.people, &victim, EventType::Payment, scene.at, amount, 0, u64::MAX);
    let merchant = scene.random.below(4000);
    scene.deed(Draft { payee: None, merchant: Some(merchant), merchant_category: Some("electronics"), ..event });
    tell_own(scene);
    Ok(())
}

/// All bills of a month in one evening, to somebody long known: 20 transfers, 48 000 together at the most.
fn payday(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let payee = scene.people.payee(scene.victim.number, 1);
    for time in scene.moments(20, 50 * MINUTE_MS) {
        let minor = scene.random.between(180_000, 240_000);
        scene.pay(time, minor, payee);
    }
    tell_own(scene);
    Ok(())
}

/// A first transfer to somebody new, a little less than large.
fn first_payee(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let minor = scene.random.between(400_000, 499_999);
    let payee = scene.people.payee(scene.victim.number, 42);
    scene.pay(scene.at, minor, payee);
    tell_own(scene);
    Ok(())
}

/// A new telephone at home, and money from it thirteen hours later.
fn settled_device(scene: &mut Scene<'_>) -> Result<(), SimError> {
    scene.history();
    let (ip, device) = (scene.victim.home, scene.strange_device());
    scene.enter(scene.after(-13 * HOUR_MS), ip, device);
    let minor = scene.random.between(90_000, 300_000);
    let payee = scene.people.payee(scene.victim.number, 0);
    scene.pay(scene.at, minor, payee);
    scene.come_from(ip, device);
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
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
