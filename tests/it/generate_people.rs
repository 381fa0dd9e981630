//! Whether the generated wallet is one of people: they sleep, go to work, carry telephones, pay whom they know,
//! travel, and forget passwords. Counted from the events alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use walletwatch::event::{Change, Closed, Event, EventType, Limits, Millis, Network, Outcome, Reason, Stage, decode};
use walletwatch::sim::{Generator, Plan, Profile};

const NOW: Millis = Millis(4_000_000_000_000);

/// One accepted event, as far as the checks need it.
struct Done {
    time: Millis,
    kind: EventType,
    account: String,
    device: Option<String>,
    payee: Option<String>,
    place: Option<(String, Network)>,
    ip: Option<IpAddr>,
    result: Option<Outcome>,
    reason: Option<Reason>,
    stage: Option<Stage>,
    change: Option<Change>,
    /// Hour of the day and day of the week (Monday is 1) on the wall of the account's owner.
    local: Option<(i8, i8)>,
}

/// The ranges of the world's file.
fn world() -> Vec<(ipnet::IpNet, String, Network)> {
    let rows = include_str!("../../src/sim/world.csv").lines();
    let rows = rows.filter(|l| !l.starts_with('#') && !l.starts_with("prefix"));
    let read = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].parse().expect("a prefix"), cells[1].to_owned(), Network::parse(cells[8]).expect("a network"))
    };
    rows.map(read).collect()
}

/// What ordinary people did: everything that is not planted, repeated, damaged or too late.
fn ordinary(plan: &Plan) -> Vec<Done> {
    let mut generator = Generator::new(plan).expect("a plan");
    let planted: HashSet<String> = generator.truth().flat_map(|line| line.events).collect();
    let (world, mut places, mut zones) = (world(), HashMap::new(), HashMap::new());
    let (mut seen, mut done) = (HashSet::new(), Vec::new());
    while let Some(record) = generator.next_record().expect("a record") {
        let Ok(decoded) = decode(Some(record.value), NOW, &Limits::default()) else { continue };
        let event = decoded.event;
        let is_new = seen.insert(event.id.to_string()) && record.stamp.since(event.time) <= 60_000;
        let (true, false, Some(account)) = (is_new, planted.contains(&*event.id), event.account.as_deref()) else {
            continue;
        };
        if let Some(zone) = event.zone.as_deref() {
            zones.entry(account.to_owned()).or_insert_with(|| TimeZone::get(zone).expect("a zone"));
        }
        let place = event.ip.and_then(|ip| {
            let find = || world.iter().find(|(net, ..)| net.contains(&ip)).map(|(_, c, n)| (c.clone(), *n));
            places.entry(ip).or_insert_with(find).clone()
        });
        done.push(tell(&event, account, place, zones.get(account)));
    }
    done
}

fn tell(event: &Event<'_>, account: &str, place: Option<(String, Network)>, zone: Option<&TimeZone>) -> Done {
    let local = zone.map(|zone| {
        let wall = Timestamp::from_millisecond(event.time.0).expect("a time").to_zoned(zone.clone());
        (wall.hour(), wall.weekday().to_monday_one_offset())
    });
    let text = |value: &Option<walletwatch::event::Text<'_>>| value.as_deref().map(str::to_owned);
    Done {
        time: event.time,
        kind: event.kind,
        account: account.to_owned(),
        device: text(&event.device),
        payee: text(&event.payee),
        place,
        ip: event.ip,
        result: event.result,
        reason: event.reason,
        stage: event.stage,
        change: event.change,
        local,
    }
}

fn share(of: &[&Done], which: impl Fn(&Done) -> bool) -> f64 {
    of.iter().filter(|done| which(done)).count() as f64 / of.len().max(1) as f64
}

fn within(what: &str, is: f64, low: f64, high: f64) {
    assert!((low..=high).contains(&is), "{what}: {is:.4} is not {low} to {high}");
}

fn is_on(done: &Done, network: Network) -> bool {
    done.place.as_ref().is_some_and(|(_, n)| *n == network)
}

fn wallet() -> Vec<Done> {
    ordinary(&Plan::new(200_000, 3, Profile::Wallet))
}

#[test]
fn people_sleep_by_their_own_clock_and_work_on_weekdays() {
    let done = wallet();
    let all: Vec<&Done> = done.iter().filter(|d| d.local.is_some()).collect();
    let night = |d: &Done| d.local.is_some_and(|(hour, _)| (1..5).contains(&hour));
    let day = |d: &Done| d.local.is_some_and(|(hour, _)| (8..23).contains(&hour));
    within("events from 1 to 5 at night", share(&all, night), 0.002, 0.03);
    within("events from 8 to 23", share(&all, day), 0.85, 0.97);
    let far: Vec<&Done> = all.iter().copied().filter(|d| d.place.as_ref().is_some_and(|(c, _)| c == "US")).collect();
    assert!(far.len() > 300, "{}", far.len());
    within("nights in America", share(&far, night), 0.0, 0.07);

    // The learning period has three whole weeks.
    let morning = |d: &Done| d.local.is_some_and(|(hour, _)| (6..9).contains(&hour));
    let (working, free): (Vec<&Done>, Vec<&Done>) = all.iter().partition(|d| d.local.is_some_and(|(_, day)| day < 6));
    let (working, free) = (share(&working, morning), share(&free, morning));
    assert!(free < working * 0.7, "early at the weekend {free:.3}, on working days {working:.3}");
}

#[test]
fn offices_and_gateways_are_shared_and_vpns_are_rare() {
    let done = wallet();
    let all: Vec<&Done> = done.iter().filter(|d| d.ip.is_some()).collect();
    within("carrier NAT", share(&all, |d| is_on(d, Network::CarrierNat)), 0.05, 0.15);
    within("offices", share(&all, |d| is_on(d, Network::Business)), 0.06, 0.20);
    within("home lines", share(&all, |d| is_on(d, Network::Fixed)), 0.45, 0.70);
    within("VPN", share(&all, |d| is_on(d, Network::Vpn)), 0.0003, 0.01);

    let people_at = |network| {
        let mut people: HashMap<IpAddr, BTreeSet<&str>> = HashMap::new();
        for d in all.iter().filter(|d| is_on(d, network)) {
            // One line of IPv6 is a /64.
            let line = match d.ip.expect("an address") {
                IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
                v4 => v4,
            };
            people.entry(line).or_default().insert(&d.account);
        }
        let mut counts: Vec<usize> = people.values().map(BTreeSet::len).collect();
        counts.sort_unstable();
        counts
    };
    for network in [Network::CarrierNat, Network::Business] {
        let counts = people_at(network);
        assert!(counts.len() > 20 && counts[counts.len() / 2] >= 5, "{network:?}: {counts:?}");
    }
    let office: Vec<&Done> = all.iter().copied().filter(|d| is_on(d, Network::Business)).collect();
    let at_work = |d: &Done| d.local.is_some_and(|(hour, day)| day < 6 && (8..19).contains(&hour));
    // Some call a business line their home.
    within("offices in their hours", share(&office, at_work), 0.85, 1.0);
}

#[test]
fn people_have_devices_payees_and_journeys_of_their_own() {
    let done = wallet();
    let mut devices: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut payees: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    let mut countries: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut logins: BTreeMap<&str, u32> = BTreeMap::new();
    for d in &done {
        if let (EventType::Login, Some(device)) = (d.kind, &d.device) {
            devices.entry(&d.account).or_default().insert(device);
            *logins.entry(&d.account).or_default() += 1;
        }
        if let (EventType::Transfer, Some(payee)) = (d.kind, &d.payee) {
            *payees.entry(&d.account).or_default().entry(payee).or_default() += 1;
        }
        if let Some((country, network)) = &d.place
            && *network != Network::Vpn
        {
            countries.entry(&d.account).or_default().insert(country);
        }
    }
    let often: Vec<usize> = devices.iter().filter(|(a, _)| logins[*a] >= 25).map(|(_, d)| d.len()).collect();
    assert!(often.len() > 100, "{}", often.len());
    let one = often.iter().filter(|n| **n == 1).count() as f64 / often.len() as f64;
    within("people with one device", one, 0.45, 0.68);
    assert!(often.contains(&3) && often.iter().all(|n| *n <= 3));

    let (mut regular, mut all, mut new) = (0, 0, 0);
    for paid in payees.values().filter(|paid| paid.values().sum::<u32>() >= 20) {
        let mut times: Vec<u32> = paid.values().copied().collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        regular += times.iter().take(4).sum::<u32>();
        all += times.iter().sum::<u32>();
        new += u32::from(times.len() > 4);
    }
    within("transfers to regular payees", f64::from(regular) / f64::from(all), 0.93, 1.0);
    assert!(new > 10, "{new} people came to pay somebody new");
    let travelled = countries.values().filter(|c| c.len() > 1).count();
    assert!(travelled > 5, "{travelled} people were abroad");
}

#[test]
fn passwords_are_forgotten_codes_are_sent_and_locks_are_opened() {
    let done = wallet();
    let mut of: BTreeMap<&str, Vec<&Done>> = BTreeMap::new();
    for d in &done {
        of.entry(&d.account).or_default().push(d);
    }
    let (mut resets, mut locks, mut codes, mut mistyped, mut left) = (0, 0, 0, 0, 0);
    for events in of.values_mut() {
        events.sort_by_key(|d| d.time);
        let events: &[&Done] = events;
        let after = |at: usize, ms: i64| {
            let from = events[at].time;
            events[at + 1..].iter().take_while(move |d| d.time.since(from) <= ms)
        };
        let enters = |d: &&&Done| d.kind == EventType::Login && d.result == Some(Outcome::Success);
        for (at, d) in events.iter().enumerate() {
            if d.stage == Some(Stage::Completed) && after(at, 120_000).any(|d| d.kind == EventType::PasswordChanged) {
                let before = events[..at].iter().rev().take_while(|b| d.time.since(b.time) <= 360_000);
                let wrong = before.filter(|b| b.reason == Some(Reason::WrongPassword)).count();
                assert!((2..8).contains(&wrong), "{wrong} wrong passwords before a reset");
                resets += u32::from(after(at, 180_000).any(|d| enters(&d)));
            }
            if d.change == Some(Change::Locked) {
                let refused = after(at, 200_000).any(|d| d.reason == Some(Reason::AccountLocked));
                locks += u32::from(refused && after(at, 3_600_000).any(|d| d.change == Some(Change::Unlocked)));
            }
            codes += u32::from(
                d.kind == EventType::Mfa && d.result == Some(Outcome::Sent) && after(at, 240_000).any(|d| enters(&d)),
            );
            mistyped += u32::from(d.reason == Some(Reason::WrongPassword) && after(at, 60_000).any(|d| enters(&d)));
            left += u32::from(d.kind == EventType::Logout);
        }
    }
    assert!(
        resets > 100 && locks > 20 && codes > 500 && mistyped > 3000 && left > 1000,
        "{resets} resets, {locks} locks, {codes} codes, {mistyped} mistyped, {left} logouts"
    );
}
