//! Any order and any split: the state of a stream against those of its parts, merged in any grouping.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::{Banks, Finding, Ids, NO_CEILING, State, StateLimits, fill};
use crate::event::{Country, Currency, Event, EventType, Millis, Money, Outcome, Place};
use crate::ruleset::expr::Ty;
use crate::ruleset::row::Cell;
use crate::ruleset::{Aggregate, HashKey, Name, Part as FeaturePart, Ruleset, Sources, load};

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

/// Loading takes longer than a case.
static RULES: LazyLock<Ruleset> = LazyLock::new(rules);

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

/// A value at an event: its numbers and ids.
type Reading = (Name, Ty, Vec<f64>, Vec<u64>);

/// A state with what it needs to take events.
struct Part<'r> {
    rules: &'r Ruleset,
    state: State,
    banks: Banks,
    ids: Ids,
}

impl<'r> Part<'r> {
    fn new(rules: &'r Ruleset) -> Self {
        let limits = StateLimits {
            entities_max: 1000,
            memory_bytes_max: NO_CEILING,
            resident_bytes_max: NO_CEILING,
            profiles: false,
        };
        Part { rules, state: State::new(rules, limits), banks: Banks::new(&rules.layout), ids: Ids::new(KEY) }
    }

    /// Takes an event and tells the values of all features at it.
    fn take(&mut self, told: &Told, horizon_ms: i64) -> Vec<Reading> {
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

fn assert_same(told: &[Reading], expected: &[Reading], how: &str, is_left_out: &dyn Fn(&Name) -> bool) {
    assert_eq!(told.len(), expected.len());
    for ((name, _, numbers, ids), (_, _, expected, expected_ids)) in told.iter().zip(expected) {
        let same = numbers.iter().zip(expected).all(|(a, b)| near(*a, *b)) && ids == expected_ids;
        assert!(
            same || is_left_out(name),
            "{how}: {name:?} is {numbers:?} {ids:?}, expected {expected:?} {expected_ids:?}"
        );
    }
}

/// Time ahead and back, ms; account, address and device; the rest as in [`Told`].
type Made = (i64, i64, (u8, u8, u8), bool, u32, Option<i64>, bool, bool);

fn told() -> impl Strategy<Value = Made> {
    let who = (0u8..3, 0u8..3, 0u8..3);
    let cents = prop::option::of(1i64..100_000);
    (1i64..2 * MINUTE, 0i64..LATENESS_MS, who, any::<bool>(), 1u32..3, cents, any::<bool>(), any::<bool>())
}

/// One event of a stream, in its order.
#[derive(Debug, Clone)]
struct Came {
    told: Told,
    /// The newest time when it came, ms.
    now: i64,
    /// The part of a split that gets it.
    part: usize,
    /// How far back it comes in another order, ms.
    behind: i64,
}

/// A stream and the events at which everything is asked.
struct Stream {
    events: Vec<Came>,
    asks: Vec<Told>,
    /// No event of it is older.
    horizon_ms: i64,
}

impl Stream {
    /// Times are cut to `grain_ms`: where that is large many are equal.
    fn new(made: Vec<(Made, usize, i64)>, asks: Vec<Made>, grain_ms: i64) -> Self {
        let mut now: i64 = 1_767_225_600_000;
        let mut make = |(ahead, back, (account, ip, device), ok, count, cents, dollars, found): Made| {
            now += ahead;
            let time = (now - back) / grain_ms * grain_ms;
            (Told { time, account, ip, device, ok, count, cents, dollars, found }, now)
        };
        let came = |(made, part, behind)| {
            let (told, now) = make(made);
            Came { told, now, part, behind }
        };
        let events: Vec<Came> = made.into_iter().map(came).collect();
        let horizon_ms = events.last().map_or(0, |came| came.now - LATENESS_MS - grain_ms);
        let asks = asks.into_iter().map(|ask| make(ask).0).collect();
        Stream { events, asks, horizon_ms }
    }

    /// The state after some of the events, in their order.
    fn part(&self, is_in: impl Fn(&Came) -> bool) -> Part<'static> {
        let mut part = Part::new(&RULES);
        self.events
            .iter()
            .filter(|came| is_in(came))
            .for_each(|came| drop(part.take(&came.told, came.now - LATENESS_MS)));
        part
    }

    /// The state after all of them in another order, in which nothing was late.
    fn in_order(&self, key: impl Fn(&Came) -> i64) -> Part<'static> {
        let mut events = self.events.clone();
        events.sort_by_key(key);
        let first = events.iter().map(|came| came.told.time).min().unwrap_or(0);
        let mut part = Part::new(&RULES);
        events.iter().for_each(|came| drop(part.take(&came.told, first - LATENESS_MS)));
        part
    }

    fn read(&self, mut part: Part<'_>) -> Vec<Reading> {
        self.asks.iter().flat_map(|ask| part.take(ask, self.horizon_ms)).collect()
    }

    /// The reads after merging the three parts of its split, in each of some groupings.
    fn merged(&self) -> [(&'static str, Vec<Reading>); 3] {
        let split = || [0, 1, 2].map(|at| self.part(|came| came.part == at));
        let merge = |into: &mut Part<'_>, from: Part<'_>| assert!(into.state.merge(from.state, self.horizon_ms));
        let [mut ab, b, c] = split();
        merge(&mut ab, b);
        merge(&mut ab, c);
        let [a, mut cb, c] = split();
        merge(&mut cb, c);
        let mut a_cb = a;
        merge(&mut a_cb, cb);
        let [a, mut ba, mut c] = split();
        merge(&mut ba, a);
        merge(&mut c, ba);
        [("(a b) c", self.read(ab)), ("a (b c)", self.read(a_cb)), ("c (b a)", self.read(c))]
    }

    /// Whatever the order and the split, the reads are the same. Of events at one time `last` keeps the one that
    /// came last, which another order or a split of the input loses: then only its age is asked, and that every
    /// grouping of the merges keeps the same one.
    fn check(&self, has_equal_times: bool) {
        let rests_on_order = |name: &Name| match name {
            Name::Feature(at, part) => {
                let is_last = RULES.features.get(usize::from(*at)).is_some_and(|f| f.aggregate == Aggregate::Last);
                has_equal_times && is_last && *part != FeaturePart::Age
            }
            _ => false,
        };
        let whole = self.read(self.part(|_| true));
        for (how, other) in [
            ("by time", self.in_order(|came| came.told.time)),
            ("shuffled", self.in_order(|came| came.told.time + came.behind)),
        ] {
            assert_same(&self.read(other), &whole, how, &rests_on_order);
        }
        let merged = self.merged();
        for (how, merged) in &merged {
            assert_same(merged, &whole, how, &rests_on_order);
        }
        let [(_, first), others @ ..] = &merged;
        for (how, other) in others {
            assert_same(other, first, how, &|_| false);
        }
    }
}
/// Events in their order, each with its part of a split and how far back it comes in another order.
fn stream(most: usize) -> impl Strategy<Value = Vec<(Made, usize, i64)>> {
    prop::collection::vec((told(), 0usize..3, 0i64..LATENESS_MS), 1..most)
}

/// So many events of one account within its shortest window, from two addresses, on so many devices.
fn full(events: usize, devices: u8) -> impl Strategy<Value = Vec<(Made, usize, i64)>> {
    let one = (told(), 0usize..3, 0i64..LATENESS_MS, 0..devices, 1u8..3);
    let one = one.prop_map(|((_, back, _, ok, count, cents, dollars, found), part, behind, device, ip)| {
        ((300, back / 4, (0, ip, device), ok, count, cents, dollars, found), part, behind)
    });
    prop::collection::vec(one, events)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_order_and_any_split_gives_the_same_reads(
        made in stream(60),
        asks in prop::collection::vec(told(), 1..4),
    ) {
        let mut stream = Stream::new(made, asks, 256);
        // No two at one time: their order is what a split of the input loses.
        stream.events.iter_mut().zip(0..).for_each(|(came, at)| came.told.time += at);
        stream.check(false);
    }

    #[test]
    fn any_order_and_any_split_of_equal_times_gives_the_same_reads(
        made in stream(60),
        asks in prop::collection::vec(told(), 1..4),
        grain_ms in prop::sample::select(vec![1000i64, MINUTE, 5 * MINUTE]),
    ) {
        Stream::new(made, asks, grain_ms).check(true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    /// As many as each keeps apart: 1024 entries of one entity, 64 values of a habit.
    #[test]
    fn any_order_and_any_split_at_the_caps_gives_the_same_reads(
        made in full(1024, 64),
        asks in prop::collection::vec(told(), 1..4),
        grain_ms in prop::sample::select(vec![1i64, 1000]),
    ) {
        Stream::new(made, asks, grain_ms).check(true);
    }
}

#[test]
fn states_of_other_rules_are_not_merged() {
    let rules = &*RULES;
    let mut sources = Sources::new("rules");
    sources.add("r.yaml", "version: 1\nrules: []\n", None);
    let other = load(&sources, KEY, None).unwrap_or_else(|problems| panic!("{problems:#?}")).ruleset;
    let (mut a, b) = (Part::new(rules), Part::new(&other));
    assert!(!a.state.merge(b.state, 0));
}
