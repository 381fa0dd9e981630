//! The generator's truth against rules written down once more, naively: what is planted to fire does, what looks
//! like it does not, and ordinary people do neither.
//!
//! The checks keep every event and look back over all of it; they know nothing of the engine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use walletwatch::event::{Closed, Event, EventType, Limits, Millis, Network, Outcome, ReasonClass, Status, decode};
use walletwatch::ruleset::{HashKey, Sources, State, load};
use walletwatch::sim::{Generator, Line, Plan, Profile};

const NOW: Millis = Millis(4_000_000_000_000);
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Where an address stands.
#[derive(Debug, Clone, PartialEq)]
struct Stands {
    country: String,
    point: (f64, f64),
    accuracy_km: f64,
    asn: u32,
    network: Network,
}

/// The world, read from its file without the generator's help.
struct World(Vec<(ipnet::IpNet, Stands)>, HashMap<IpAddr, Option<usize>>);

impl World {
    fn read() -> World {
        let rows = include_str!("../../src/sim/world.csv").lines();
        let rows = rows.filter(|l| !l.starts_with('#') && !l.starts_with("prefix"));
        let read = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |at: usize| cells[at].parse::<f64>().expect("a number");
            let network = Network::parse(cells[8]).expect("a kind of network");
            let asn = cells[6].parse().expect("a number");
            let point = (number(3), number(4));
            let stands = Stands { country: cells[1].to_owned(), point, accuracy_km: number(5), asn, network };
            (cells[0].parse().expect("a prefix"), stands)
        };
        World(rows.map(read).collect(), HashMap::new())
    }

    fn find(&mut self, ip: IpAddr) -> Option<&Stands> {
        let World(ranges, known) = self;
        let at = *known.entry(ip).or_insert_with(|| ranges.iter().position(|(net, _)| net.contains(&ip)));
        at.map(|at| &ranges[at].1)
    }
}

fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (lat_a, lat_b) = (a.0.to_radians(), b.0.to_radians());
    let half = |d: f64| (d / 2.0).sin().powi(2);
    let h = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half((b.1 - a.1).to_radians());
    2.0 * 6371.0 * h.sqrt().min(1.0).asin()
}

/// IPv6 addresses of one /64 are one source.
fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// What the checks keep of an event.
#[derive(Debug, Clone)]
struct Seen {
    time: i64,
    stands: Option<Stands>,
    ip: Option<IpAddr>,
    device: Option<String>,
}

#[derive(Default)]
struct Account {
    first: Option<i64>,
    failures: Vec<Seen>,
    good: Vec<Seen>,
    payees: HashMap<String, i64>,
    out: Vec<(i64, i64)>,
}

/// The rules over everything seen so far.
struct Naive {
    world: World,
    accounts: HashMap<String, Account>,
    failed_on: HashMap<IpAddr, Vec<(i64, String)>>,
    good_from: HashMap<IpAddr, Vec<i64>>,
    fired: BTreeMap<&'static str, BTreeSet<String>>,
}

fn since(seen: &[Seen], time: i64, span: i64) -> Vec<&Seen> {
    seen.iter()
        .rev()
        .take_while(|s| s.time > time - span - HOUR)
        .filter(|s| s.time > time - span && s.time <= time)
        .collect()
}

impl Naive {
    fn new() -> Naive {
        let (accounts, failed_on, good_from) = (HashMap::new(), HashMap::new(), HashMap::new());
        Naive { world: World::read(), accounts, failed_on, good_from, fired: BTreeMap::new() }
    }

    fn fire(&mut self, rule: &'static str, event: &Event<'_>) {
        self.fired.entry(rule).or_default().insert(event.id.to_string());
    }

    fn take(&mut self, event: &Event<'_>) {
        let stands = event.ip.and_then(|ip| self.world.find(ip)).cloned();
        let device = event.device.as_deref().map(str::to_owned);
        let seen = Seen { time: event.time.0, stands, ip: event.ip, device };
        match (event.kind, event.result) {
            (EventType::Login, Some(Outcome::Failure)) => self.failed(event, seen),
            (EventType::Login, Some(Outcome::Success)) => self.good(event, seen),
            (EventType::Transfer | EventType::Payment | EventType::Withdrawal, _) => self.money(event, &seen),
            _ => {}
        }
    }

    fn failed(&mut self, event: &Event<'_>, seen: Seen) {
        let Some(name) = event.account.as_deref() else { return };
        if event.reason.map(|r| r.class()) == Some(ReasonClass::Credential) {
            let account = self.accounts.entry(name.to_owned()).or_default();
            // One event for many counts as many.
            (0..event.count).for_each(|_| account.failures.push(seen.clone()));
            let ten = since(&account.failures, seen.time, 10 * MINUTE).len();
            let thirty = since(&account.failures, seen.time, 30 * MINUTE);
            let sources: BTreeSet<_> = thirty.iter().filter_map(|s| s.ip.map(source)).collect();
            let countries: BTreeSet<_> =
                thirty.iter().filter_map(|s| Some(s.stands.as_ref()?.country.clone())).collect();
            let asns: BTreeSet<_> = thirty.iter().filter_map(|s| Some(s.stands.as_ref()?.asn)).collect();
            let many = sources.len() >= 5 && thirty.len() >= 10 && (countries.len() >= 2 || asns.len() >= 3);
            if ten >= 8 {
                self.fire("brute-force-account", event);
            }
            if many {
                self.fire("brute-force-many-sources", event);
            }
        }
        let Some(ip) = event.ip.map(source) else { return };
        let on = self.failed_on.entry(ip).or_default();
        on.push((seen.time, name.to_owned()));
        let recent = |time: i64| time > seen.time - 15 * MINUTE && time <= seen.time;
        let accounts: BTreeSet<_> = on.iter().filter(|(t, _)| recent(*t)).map(|(_, a)| a).collect();
        let good = self.good_from.get(&ip).map_or(0, |g| g.iter().filter(|t| recent(**t)).count());
        let carrier = seen.stands.as_ref().is_some_and(|s| [9808, 4837].contains(&s.asn)) && accounts.len() < 40;
        if accounts.len() >= 10 && (good as f64) < 0.2 * accounts.len() as f64 && !carrier {
            self.fire("password-spray-ip", event);
        }
    }

    fn good(&mut self, event: &Event<'_>, seen: Seen) {
        let anonymous = [Network::Tor, Network::Vpn, Network::Hosting, Network::ResidentialProxy, Network::PublicProxy];
        if seen.stands.as_ref().is_some_and(|s| anonymous.contains(&s.network)) {
            self.fire("anonymiser", event);
        }
        if let Some(ip) = event.ip {
            self.good_from.entry(source(ip)).or_default().push(seen.time);
        }
        let Some(name) = event.account.as_deref() else { return };
        let account = self.accounts.entry(name.to_owned()).or_default();
        let before = account.good.iter().filter(|s| s.time < seen.time).max_by_key(|s| s.time).cloned();
        let known_for = account.first.map_or(0, |first| seen.time - first);
        account.first = account.first.or(Some(seen.time));
        let learned = known_for >= 14 * DAY || account.good.len() >= 10;
        let new_device = account.good.iter().all(|s| s.device != seen.device);
        let country = |s: &Seen| s.stands.as_ref().map(|s| s.country.clone());
        let new_country = account.good.iter().all(|s| country(s) != country(&seen));
        account.good.push(seen.clone());
        // The country of a relay or a satellite is not the user's.
        let elsewhere = |s: &Stands| matches!(s.network, Network::Relay | Network::Satellite);
        if learned && new_device && new_country && !seen.stands.as_ref().is_some_and(elsewhere) {
            self.fire("new-device-new-country", event);
        }
        let Some(before) = before else { return };
        if let (Some(here), Some(there)) = (&seen.stands, &before.stands) {
            let km = distance_km(here.point, there.point);
            let hours = (seen.time - before.time) as f64 / HOUR as f64;
            let far = km > 500.0 + here.accuracy_km + there.accuracy_km && km / hours > 900.0;
            if far && seen.device != before.device {
                self.fire("impossible-travel", event);
            }
        }
    }

    fn money(&mut self, event: &Event<'_>, seen: &Seen) {
        let (Some(name), Some(amount)) = (event.account.as_deref(), event.amount) else { return };
        let account = self.accounts.entry(name.to_owned()).or_default();
        let minor = amount.minor;
        let (mut rules, time) = (Vec::new(), seen.time);
        let completed = event.status == Some(Status::Completed);
        let known_for = account.first.map_or(0, |first| time - first);
        account.first = account.first.or(Some(time));
        let long_known = known_for >= 14 * DAY || account.good.len() >= 10;
        if let Some(payee) = event.payee.as_deref() {
            let first_paid = account.payees.get(payee).copied();
            if event.kind == EventType::Transfer && minor >= 500_000 && long_known && first_paid.is_none() {
                rules.push("new-payee-large");
            }
            if completed {
                account.payees.entry(payee.to_owned()).or_insert(time);
            }
        }
        if completed {
            account.out.push((time, minor));
        }
        let within = |span: i64| -> i64 {
            let recent = account.out.iter().rev().take_while(|(t, _)| *t > time - span - HOUR);
            recent.filter(|(t, _)| *t > time - span && *t <= time).map(|(_, m)| m).sum()
        };
        let dollars = amount.currency.code() == "USD";
        let (an_hour, a_day) = if dollars { (700_000, 1_400_000) } else { (5_000_000, 10_000_000) };
        if completed && (within(HOUR) > an_hour || within(DAY) > a_day) {
            rules.push("velocity-sum");
        }
        let first_login = account.good.iter().filter(|s| s.device == seen.device).map(|s| s.time).min();
        let notable = minor >= if dollars { 7_000 } else { 50_000 };
        let leaves = event.kind != EventType::Payment;
        if leaves && notable && long_known && first_login.is_none_or(|t| time - t < 12 * HOUR) {
            rules.push("first-money-from-new-device");
        }
        for rule in rules {
            self.fire(rule, event);
        }
    }
}

/// Each planted scene with the rules that fire on its events, and how often each fires on everybody else's.
type Judged = (Vec<(Line, BTreeSet<&'static str>)>, BTreeMap<&'static str, usize>);

/// The findings on each planted scene's events, and on everybody else's.
fn judge(plan: &Plan) -> Judged {
    let mut generator = Generator::new(plan).expect("a plan");
    let mut naive = Naive::new();
    let mut ids = BTreeSet::new();
    while let Some(record) = generator.next_record().expect("a record") {
        let Ok(decoded) = decode(Some(record.value), NOW, &Limits::default()) else { continue };
        // Repeats and late events update nothing.
        let late = record.stamp.since(decoded.event.time) > 10 * MINUTE;
        if ids.insert(decoded.event.id.to_string()) && !late {
            naive.take(&decoded.event);
        }
    }
    let mut fired = naive.fired;
    let mut scenes = Vec::new();
    for line in generator.truth() {
        let of_scene = |ids: &BTreeSet<String>| line.events.iter().any(|id| ids.contains(id));
        let rules = fired.iter().filter(|(_, ids)| of_scene(ids)).map(|(rule, _)| *rule).collect();
        scenes.push((line, rules));
    }
    for (line, _) in &scenes {
        assert!(line.events.iter().all(|id| ids.contains(id)), "{}: events that are not in the stream", line.kind);
        for ids in fired.values_mut() {
            line.events.iter().for_each(|id| {
                ids.remove(id);
            });
        }
    }
    (scenes, fired.into_iter().map(|(rule, ids)| (rule, ids.len())).filter(|(_, n)| *n > 0).collect())
}

/// Every rule of the shipped pack that judges: all but drafts and those that are off.
fn rules() -> BTreeSet<String> {
    let pack = load(&Sources::builtin(), HashKey::new([3; 16]), None).expect("the shipped pack");
    let judges = pack.ruleset.rules.iter().filter(|rule| matches!(rule.state, State::Live | State::Shadow));
    judges.map(|rule| rule.id.clone()).collect()
}

/// Each attack fires its rules, each look-alike none.
fn agree(scenes: &[(Line, BTreeSet<&'static str>)], told: &str) -> BTreeMap<&'static str, u32> {
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for (line, fired) in scenes {
        *kinds.entry(line.kind).or_default() += 1;
        let expected: BTreeSet<&str> = line.expect.iter().copied().collect();
        assert!(expected.is_subset(fired), "{} ({told}): only {fired:?} of {expected:?}", line.kind);
        assert!(!expected.is_empty() || fired.is_empty(), "{} ({told}) fires {fired:?}", line.kind);
    }
    kinds
}

#[test]
fn each_attack_satisfies_its_rules_and_each_lookalike_none() {
    let rules = rules();
    assert!(rules.len() >= 9, "{rules:?}");
    for (events, seed) in [(20_000, 1), (100_000, 8), (150_000, 9)] {
        let (scenes, _) = judge(&Plan::new(events, seed, Profile::Wallet));
        let kinds = agree(&scenes, &format!("seed {seed}"));
        assert_eq!(kinds.len(), 36, "{kinds:?}");
        let at_least = if events >= 100_000 { 2 } else { 1 };
        assert!(kinds.values().all(|n| *n >= at_least), "{events}: {kinds:?}");
        let attacked: BTreeSet<String> =
            scenes.iter().flat_map(|(line, _)| line.expect).map(|rule| (*rule).to_owned()).collect();
        let alone: Vec<&String> = rules.difference(&attacked).collect();
        assert!(alone.is_empty(), "no attacker for {alone:?}: src/sim needs a scene that expects each");
        let unknown: Vec<&String> = attacked.difference(&rules).collect();
        assert!(unknown.is_empty(), "attackers for {unknown:?}, which the pack does not judge by");
    }
}

/// Half an hour without logins looks like guessing to nobody, and hides no guessing.
#[test]
fn an_outage_is_no_attack_and_hides_none() {
    for seed in [3, 4] {
        let plan = Plan::new(100_000, seed, Profile::Outage);
        let (scenes, _) = judge(&plan);
        let kinds = agree(&scenes, &format!("outage, seed {seed}"));
        assert_eq!((kinds["outage"], kinds["guessing-in-outage"], kinds["impatience"]), (1, 1, 1));
        let find = |kind: &str| scenes.iter().find(|(line, _)| line.kind == kind).map(|(line, _)| line).expect("one");
        let (outage, within) = (find("outage"), find("guessing-in-outage"));
        assert!(outage.first < within.first && within.last < outage.last);
        assert!(outage.last.since(outage.first) >= 25 * MINUTE);
        // What everybody meets in the meantime.
        let (mut failed, mut logins) = (BTreeMap::new(), 0);
        let mut generator = Generator::new(&plan).expect("a plan");
        while let Some(record) = generator.next_record().expect("a record") {
            let Ok(decoded) = decode(Some(record.value), NOW, &Limits::default()) else { continue };
            let event = decoded.event;
            if event.kind == EventType::Login && (outage.first..outage.last).contains(&event.time) {
                logins += 1;
                *failed.entry(event.reason.map(|reason| reason.class().word())).or_insert(0) += 1;
            }
        }
        let of = |class| failed.get(&Some(class)).copied().unwrap_or(0);
        assert!(logins > 500 && (of("service") + of("client")) * 10 > logins * 7, "{logins}: {failed:?}");
        assert!(of("client") > 0);
    }
}

/// Who plays a stream can ask for a takeover at its beginning, and nothing comes before it.
#[test]
fn a_first_attack_comes_as_soon_as_it_is_asked_for() {
    for seed in 1..6 {
        let plan = Plan { first_attack_within_ms: Some(2 * HOUR), ..Plan::new(60_000, seed, Profile::Wallet) };
        let (scenes, _) = judge(&plan);
        agree(&scenes, &format!("first attack, seed {seed}"));
        let from = Generator::new(&plan).expect("a plan").watched_from();
        let attacks: Vec<&Line> = scenes.iter().map(|(line, _)| line).filter(|l| !l.expect.is_empty()).collect();
        assert_eq!((attacks[0].kind, attacks[0].events.len()), ("takeover", 3));
        assert!(attacks[0].first >= from && attacks[0].last.since(from) <= 2 * HOUR);
        assert!(attacks[1].first > attacks[0].last);
    }
    let soon = |ms| Plan { first_attack_within_ms: Some(ms), ..Plan::new(60_000, 1, Profile::Wallet) };
    assert!(Generator::new(&soon(MINUTE)).is_err() && Generator::new(&soon(25 * HOUR)).is_err());
}

#[test]
fn ordinary_people_do_nothing_suspicious() {
    for (events, seed, profile) in
        [(200_000, 7, Profile::Wallet), (100_000, 9, Profile::Outage), (100_000, 10, Profile::Wallet)]
    {
        let (_, mut rest) = judge(&Plan::new(events, seed, profile));
        // One in a hundred uses a VPN now and then: evidence, and a rule in shadow.
        let vpn = rest.remove("anonymiser").unwrap_or(0) as u64;
        assert!((1..events / 1000).contains(&vpn), "{vpn} logins through a VPN");
        assert!(rest.is_empty(), "{events} events, seed {seed}, {profile:?}: {rest:?}");
    }
}

/// A planted event is never repeated, late or damaged, and comes after its account's history.
#[test]
fn planted_events_come_once_and_in_time() {
    let mut generator = Generator::new(&Plan::new(100_000, 7, Profile::Wallet)).expect("a plan");
    let planted: BTreeMap<String, usize> = {
        let lines: Vec<Line> = generator.truth().collect();
        lines.into_iter().enumerate().flat_map(|(at, line)| line.events.into_iter().map(move |id| (id, at))).collect()
    };
    let mut times: HashMap<String, u32> = HashMap::new();
    let mut contacts: BTreeSet<String> = BTreeSet::new();
    while let Some(record) = generator.next_record().expect("a record") {
        let Ok(decoded) = decode(Some(record.value), NOW, &Limits::default()) else { continue };
        let event = decoded.event;
        if let (Some(account), Some(_)) = (&event.account, &event.contact) {
            contacts.insert(account.to_string());
        }
        if planted.contains_key(&*event.id) {
            *times.entry(event.id.to_string()).or_default() += 1;
            assert!(record.stamp.since(event.time) <= 1_000, "planted and late");
        }
    }
    assert_eq!(times.len(), planted.len());
    assert!(times.values().all(|n| *n == 1));
    for line in generator.truth() {
        assert!(line.first <= line.last);
        if let Some(account) = &line.account {
            assert!(contacts.contains(account), "{}: {account} cannot be told", line.kind);
        }
    }
}
