//! Any order and any split: the state of a stream against those of its parts, merged in any grouping.

use proptest::prelude::*;

use super::{Banks, Finding, Ids, NO_CEILING, State, StateLimits, fill};
use crate::event::{Country, Currency, Event, EventType, Millis, Money, Outcome, Place};
use crate::ruleset::expr::Ty;
use crate::ruleset::row::Cell;
use crate::ruleset::{HashKey, Name, Ruleset, Sources, load};

const KEY: HashKey = HashKey::new([1; 16]);
const MINUTE: i64 = 60_000;
const LATENESS_MS: i64 = 10 * MINUTE;

/// Every aggregate that has a merge, by an entity and by a pair, with each kind of part.
const FEATURES: &str = r#"
  c:   {count: login, where: result == "failure", by: account, over: 20m}
  cp:  {count: login, by: [account, device], over: 20m, include: prior}
  r:   {rate: login, by: ip, over: 15m}
  s:   {sum: transfer.amount, by: account, over: 30m}
  d:   {distinct: login.ip, by: account, over: 20m}
  sp:  {spread: login.account, by: ip, over: 20m}
  spp: {spread: login.device, by: [ip, account], over: 20m}
  l:   {last: login, by: account, over: 30m}
  lp:  {last: login, by: [account, device], over: 30m}
  f:   {first_seen: login, by: [account, device], over: 30d}
  fa:  {first_seen: login, by: device, over: 30d}
  h:   {habit: login.device, by: account, over: 25m}
  st:  {stats: transfer.amount, by: account, over: 40m}
  sh:  {share: login, where: result == "failure", by: ip, over: 20m}
  de:  {decayed: login, by: account, half_life: 10m}
  fc:  {count: finding, where: score > 3, by: account, over: 30m}
  fl:  {last: finding, by: account, over: 30m}
"#;

const CONDITION: &str = "c > 0 or cp > 0 or r > 0 or s > 1 CNY or d > 0 or sp.keys > 0 or sp.max_per_key > 0 or \
    sp.share(1) > 0 or spp.keys > 0 or l.age > 0s or l.device is missing or l.ip is missing or lp.age > 0s or \
    f.age > 0s or fa.age > 0s or h.share > 0 or h.count > 0 or h.total > 0 or st.mean > 1 CNY or st.stddev > 1 CNY or \
    st.p50 > 1 CNY or st.p95 > 1 CNY or st.max > 1 CNY or st.count > 1 or sh > 0 or de > 0 or fc > 0 or fl.rule is \
    missing or fl.age > 0s or account.risk > 0 or account.logins > 0 or account.known_for > 0s";

fn rules() -> Ruleset {
    let text = format!(
        "version: 1\nfeatures:{FEATURES}rules:\n  - {{id: r1, title: t, owner: t, severity: low, score: 1, on: transfer, \
         audience: [security], when: {CONDITION:?}, runbook: \"https://example.com\", explain: x}}\n"
    );
    let mut sources = Sources::new("rules");
    sources.add("r.yaml", text, None);
    load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset
}

/// A login, or a transfer with its amount; what is 0 is missing.
#[derive(Debug, Clone)]
struct Told {
    time: i64,
    account: u8,
    ip: u8,
    device: u8,
    ok: bool,
    count: u32,
    cents: Option<i64>,
    dollars: bool,
    found: bool,
}

impl Told {
    fn event(&self) -> Event<'static> {
        let kind = if self.cents.is_some() { EventType::Transfer } else { EventType::Login };
        let mut event = Event::new("e", kind, Millis(self.time));
        event.count = self.count;
        event.account = Some(format!("a{}", self.account).into());
        event.ip = (self.ip > 0).then(|| [203, 0, 113, self.ip].into());
        event.device = (self.device > 0).then(|| format!("d{}", self.device).into());
        event.result = self.cents.is_none().then_some(if self.ok { Outcome::Success } else { Outcome::Failure });
        let currency = Currency::parse(if self.dollars { "USD" } else { "CNY" });
        event.amount = self.cents.zip(currency).map(|(minor, currency)| Money { minor, currency });
        event.geo = Place { country: Country::parse("CN"), ..Place::default() };
        event
    }
}

/// A state with what it needs to take events.
struct Part<'r> {
    rules: &'r Ruleset,
    state: State,
    banks: Banks,
    ids: Ids,
}

impl<'r> Part<'r> {
    fn new(rules: &'r Ruleset) -> Self {
        let limits = StateLimits { entities_max: 1000, memory_bytes_max: NO_CEILING, profiles: false };
        Part { rules, state: State::new(rules, limits), banks: Banks::new(&rules.layout), ids: Ids::new(KEY) }
    }

    /// Takes an event and tells the values of all features at it.
    fn take(&mut self, told: &Told, horizon_ms: i64) -> Vec<(Name, Ty, Vec<f64>, Vec<u64>)> {
        let event = told.event();
        self.ids.clear();
        self.banks.clear();
        for (name, _, cell) in self.rules.layout.cells() {
            if let Name::Field(field) = name {
                fill(*field, &event, &mut self.ids, *cell, &mut self.banks);
            }
        }
        self.state.observe(&event, &mut self.ids, &mut self.banks, horizon_ms);
        let mut read = |cell: &Cell| {
            let numbers = self.banks.numbers_at(cell.at, 2).to_vec();
            (numbers, self.banks.ids_at(cell.at, 1).to_vec())
        };
        let mut values = Vec::new();
        for (name, ty, cell) in self.rules.layout.cells() {
            let (numbers, ids) = read(cell);
            use crate::ruleset::row::Rep;
            match cell.rep {
                Rep::Num => values.push((*name, *ty, numbers[..1.min(numbers.len())].to_vec(), Vec::new())),
                Rep::Money | Rep::Geo => values.push((*name, *ty, numbers, Vec::new())),
                Rep::Id | Rep::Ip => values.push((*name, *ty, Vec::new(), ids)),
            }
        }
        if told.found {
            let finding = Finding { rule: "r1", group: "g", score: told.device + 2 };
            self.state.find(&event, finding, &mut self.ids, &mut self.banks, horizon_ms);
            let account = self.ids.of(crate::ruleset::KeyField::Account, &event);
            self.state.add_risk(account, told.time, 10.0);
        }
        values
    }
}

fn near(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

/// The values at some events, asked after all others.
fn asked(part: &mut Part<'_>, asks: &[Told], horizon_ms: i64) -> Vec<(Name, Ty, Vec<f64>, Vec<u64>)> {
    asks.iter().flat_map(|ask| part.take(ask, horizon_ms)).collect()
}

fn assert_same(told: &[(Name, Ty, Vec<f64>, Vec<u64>)], expected: &[(Name, Ty, Vec<f64>, Vec<u64>)], how: &str) {
    assert_eq!(told.len(), expected.len());
    for ((name, _, numbers, ids), (_, _, expected, expected_ids)) in told.iter().zip(expected) {
        let same = numbers.iter().zip(expected).all(|(a, b)| near(*a, *b)) && ids == expected_ids;
        assert!(same, "{how}: {name:?} is {numbers:?} {ids:?}, expected {expected:?} {expected_ids:?}");
    }
}

/// Time ahead and back, ms; account, address and device; the rest as in [`Told`].
type Made = (i64, i64, (u8, u8, u8), bool, u32, Option<i64>, bool, bool);

fn told() -> impl Strategy<Value = Made> {
    let who = (0u8..3, 0u8..3, 0u8..3);
    let cents = prop::option::of(1i64..100_000);
    (1i64..2 * MINUTE, 0i64..LATENESS_MS, who, any::<bool>(), 1u32..3, cents, any::<bool>(), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_order_and_any_split_gives_the_same_reads(
        stream in prop::collection::vec((told(), 0usize..3), 1..80),
        asks in prop::collection::vec(told(), 1..6),
    ) {
        let rules = rules();
        // No two at one time: their order is what a split of the input loses.
        let mut now = 1_767_225_600_000;
        let mut make = |(ahead, back, (account, ip, device), ok, count, cents, dollars, found)| {
            now += ahead;
            let time = (now - back) / 256 * 256;
            (Told { time, account, ip, device, ok, count, cents, dollars, found }, now)
        };
        let mut events: Vec<(Told, i64, usize)> = stream
            .into_iter()
            .map(|(told, part)| {
                let (told, now) = make(told);
                (told, now, part)
            })
            .collect();
        for (at, (told, ..)) in events.iter_mut().enumerate() {
            told.time += at as i64;
        }
        let horizon_ms = events.last().map_or(0, |(_, now, _)| now - LATENESS_MS);
        let asks: Vec<Told> = asks.into_iter().map(|ask| make(ask).0).collect();
        let build = |events: &mut dyn Iterator<Item = &(Told, i64, usize)>| {
            let mut part = Part::new(&rules);
            events.for_each(|(told, now, _)| drop(part.take(told, now - LATENESS_MS)));
            part
        };
        let expected = asked(&mut build(&mut events.iter()), &asks, horizon_ms);
        let mut by_time = events.clone();
        by_time.sort_by_key(|(told, ..)| told.time);
        // Nothing older comes later: what was late is not now.
        let first = by_time.first().map_or(0, |(told, ..)| told.time);
        let mut in_order = Part::new(&rules);
        by_time.iter().for_each(|(told, ..)| drop(in_order.take(told, first - LATENESS_MS)));
        assert_same(&asked(&mut in_order, &asks, horizon_ms), &expected, "by time");
        let split = || [0, 1, 2].map(|at| build(&mut events.iter().filter(|(.., part)| *part == at)));
        let [mut a, b, c] = split();
        assert!(a.state.merge(b.state, horizon_ms) && a.state.merge(c.state, horizon_ms));
        assert_same(&asked(&mut a, &asks, horizon_ms), &expected, "(a b) c");
        let [a, mut b, mut c] = split();
        assert!(b.state.merge(a.state, horizon_ms) && c.state.merge(b.state, horizon_ms));
        assert_same(&asked(&mut c, &asks, horizon_ms), &expected, "c (b a)");
    }
}

#[test]
fn states_of_other_rules_are_not_merged() {
    let rules = rules();
    let mut sources = Sources::new("rules");
    sources.add("r.yaml", "version: 1\nrules: []\n", None);
    let other = load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset;
    let (mut a, b) = (Part::new(&rules), Part::new(&other));
    assert!(!a.state.merge(b.state, 0));
}
