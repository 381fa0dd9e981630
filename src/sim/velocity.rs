//! The bare velocity workload (profiles `w3`, `hot-key`, `key-attack`): accounts and addresses drawn apart,
//! attacks on three velocity rules, no history.
//!
//! The rules, which tests and benches keep in a file of their own: `w3-failed-logins`, more than 5 failed
//! logins of an account in 10 min; `w3-accounts-per-address`, logins of more than 20 accounts from an address
//! in 1 h; `w3-sum`, more than 50 000 CNY from an account in 24 h.
//! Guarantees: planted addresses are used by nobody else. Plants nothing for the hot key, which fires by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::SimError;
use super::draft::Draft;
use super::people::{People, salt};
use super::random::{Random, scale};
use super::script::{Kind, MINUTE_MS, Scene, When, foreign_login};
use super::traffic;
use super::zipf::Zipf;
use crate::event::{EventType, Millis, Outcome, Reason};

/// The scenes, in the order they are planted.
pub const KINDS: [Kind; 6] = [
    Kind {
        name: "w3-guessing",
        expect: &["w3-failed-logins"],
        when: When::Anytime,
        length_ms: 10 * MINUTE_MS,
        play: guessing,
    },
    Kind {
        name: "w3-crowd",
        expect: &["w3-accounts-per-address"],
        when: When::Anytime,
        length_ms: 50 * MINUTE_MS,
        play: crowd,
    },
    Kind { name: "w3-drain", expect: &["w3-sum"], when: When::Anytime, length_ms: 100 * MINUTE_MS, play: drain },
    Kind { name: "w3-five-failures", expect: &[], when: When::Anytime, length_ms: 10 * MINUTE_MS, play: five_failures },
    Kind {
        name: "w3-twenty-accounts",
        expect: &[],
        when: When::Anytime,
        length_ms: 50 * MINUTE_MS,
        play: twenty_accounts,
    },
    Kind { name: "w3-spender", expect: &[], when: When::Anytime, length_ms: 100 * MINUTE_MS, play: spender },
];

/// The part of events that one account makes in the hot-key profile, per million.
const HOT_KEY_PER_MILLION: u64 = 200_000;

/// How ordinary events depart from the plain workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// Not at all.
    None,
    /// One account makes a fifth of all events.
    HotKey,
    /// Each event comes from an address never seen before, each failed login names an invented account.
    KeyAttack,
}

/// One ordinary event: number `index`, at `time`.
pub fn ordinary(
    people: &People,
    accounts: &Zipf,
    addresses: &Zipf,
    twist: Twist,
    index: u64,
    time: Millis,
    random: &mut Random,
) -> Result<Draft, SimError> {
    let hot = twist == Twist::HotKey && random.chance(HOT_KEY_PER_MILLION);
    let number = if hot { 0 } else { u64::from(accounts.rank(random.bits())) };
    let person = people.person(number)?;
    let rank = u64::from(addresses.rank(random.bits()));
    let draw = random.bits();
    let mut event = match random.below(100) {
        0..40 => login(people, &person, time, index, twist, draw),
        _ => {
            let kind = match scale(draw.rotate_left(3), 100) {
                0..40 => EventType::Transfer,
                40..85 => EventType::Payment,
                85..93 => EventType::Withdrawal,
                _ => EventType::TopUp,
            };
            let minor = random.between(100, 12_000);
            let payee = people.payee(number, random.below(super::people::PAYEES));
            traffic::pay(people, &person, kind, time, (minor, "CNY"), payee, draw)
        }
    };
    event.ip = Some(if twist == Twist::KeyAttack { fresh(people, index) } else { address(people, rank) });
    Ok(event)
}

fn login(people: &People, person: &super::people::Person, time: Millis, index: u64, twist: Twist, draw: u64) -> Draft {
    let fails = scale(draw.rotate_left(51), 100) < 15;
    if twist == Twist::KeyAttack && (fails || scale(draw.rotate_left(45), 2) == 0) {
        let event = traffic::login_bad(people, person, 0, time, Reason::UnknownAccount, draw);
        return Draft { account: None, login_name: Some(people.hash(salt::NAME, index)), ..event };
    }
    match fails {
        true => traffic::login_bad(people, person, 0, time, Reason::WrongPassword, draw),
        false => traffic::login_ok(people, person, 0, time, draw),
    }
}

/// The address of a rank: benchmark addresses for seven in ten, a /64 of the documentation prefix for the rest.
fn address(people: &People, rank: u64) -> IpAddr {
    let bits = people.hash(salt::ADDRESS, rank);
    if scale(bits, 10) < 3 {
        return v6(0x1_0000 + rank, bits | 1);
    }
    // 198.18.0.0/15: an odd factor is a bijection of its 17 bits.
    let host = rank.wrapping_mul(40_503) & 0x1_ffff;
    IpAddr::V4(Ipv4Addr::from(0xC612_0000 + host as u32))
}

/// An address that no other event has, not even its /64.
fn fresh(people: &People, index: u64) -> IpAddr {
    // An odd factor is a bijection of 31 bits: two thousand million events before one comes again.
    v6(0x8000_0000 | (index.wrapping_mul(1_103_515_245) & 0x7fff_ffff), people.hash(salt::ADDRESS, index) | 1)
}

/// An address of 2001:db8::/32 by the low 32 bits of its /64 and its host part.
fn v6(net: u64, host: u64) -> IpAddr {
    let prefix = 0x2001_0db8u128 << 96;
    IpAddr::V6(Ipv6Addr::from(prefix | (u128::from(net & 0xffff_ffff) << 64) | u128::from(host)))
}

/// An address that ordinary events never have: 203.0.113.0/24, 192.0.2.0/24, 198.51.100.0/24 in turn.
fn own_address(scene: &Scene<'_>) -> IpAddr {
    let bases = [0xCB00_7100u32, 0xC000_0200, 0xC633_6400];
    let nth = scene.nth;
    let base = bases.get((nth / 254 % 3) as usize).copied().unwrap_or(0xCB00_7100);
    IpAddr::V4(Ipv4Addr::from(base + 1 + (nth % 254) as u32))
}

/// Eight failures of one account in 8 min.
fn guessing(scene: &mut Scene<'_>) -> Result<(), SimError> {
    failures(scene, 8)
}

/// Five: exactly what is allowed.
fn five_failures(scene: &mut Scene<'_>) -> Result<(), SimError> {
    failures(scene, 5)
}

fn failures(scene: &mut Scene<'_>, n: i64) -> Result<(), SimError> {
    let (ip, device) = (own_address(scene), scene.strange_device());
    for time in scene.moments(n, 8 * MINUTE_MS) {
        scene.guess(time, ip, device);
    }
    (scene.account, scene.ip, scene.device) = (Some(scene.victim.number), Some(ip), Some(device));
    Ok(())
}

/// Thirty accounts log in from one address in 45 min.
fn crowd(scene: &mut Scene<'_>) -> Result<(), SimError> {
    accounts(scene, 30)
}

/// Twenty: exactly what is allowed.
fn twenty_accounts(scene: &mut Scene<'_>) -> Result<(), SimError> {
    accounts(scene, 20)
}

fn accounts(scene: &mut Scene<'_>, n: i64) -> Result<(), SimError> {
    let ip = own_address(scene);
    for time in scene.moments(n, 45 * MINUTE_MS) {
        let person = scene.extra()?;
        let event = foreign_login(&person, time, ip, scene.people.device(person.number, 0));
        scene.deed(Draft { result: Some(Outcome::Success), ..event });
    }
    scene.ip = Some(ip);
    Ok(())
}

/// Twelve transfers, 72 000 and more together.
fn drain(scene: &mut Scene<'_>) -> Result<(), SimError> {
    spend(scene, 600_000, 900_000)
}

/// Twelve transfers, less than 49 000 together.
fn spender(scene: &mut Scene<'_>) -> Result<(), SimError> {
    spend(scene, 300_000, 400_000)
}

fn spend(scene: &mut Scene<'_>, low: i64, high: i64) -> Result<(), SimError> {
    let victim = scene.victim;
    for time in scene.moments(12, 90 * MINUTE_MS) {
        let amount = (scene.random.between(low, high), "CNY");
        let payee = scene.people.payee(victim.number, 0);
        let draw = scene.random.bits();
        let event = traffic::pay(scene.people, &victim, EventType::Transfer, time, amount, payee, draw);
        scene.deed(event);
    }
    scene.account = Some(victim.number);
    Ok(())
}
