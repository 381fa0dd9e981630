//! What is kept of one entity, as people read it: each feature with its values and when it last counted something.
//!
//! Guarantees: a value is what the next event of the entity at that time would read; every value is shown that a
//! feature of this kind can have without an event to ask about, whether a rule reads it or not; a second key of a
//! pair is known by its hash alone, so it is shown by its values unless it was asked for. Changes nothing.

use serde::Serialize;

use super::account::Account;
use super::aggregate::Aggregate;
use super::plan::Plan;
use super::shape::{KeptField, KeptValue, Observation, Scale, Shape};
use super::slots::Slots;
use super::sum::NO_CURRENCY;
use super::{Banks, LastLogin};
use crate::event::{Closed, Country, Currency, Event, EventType, Millis, Value};
use crate::ruleset::expr::Ty;
use crate::ruleset::row::Layout;
use crate::ruleset::{Feature, KeyField, Name, Part, Ruleset, written_part};

/// Second keys of a pair that are shown, the newest.
pub const PAIRS_SHOWN_MAX: usize = 5;

/// Whose state is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The kind of the entity.
    pub kind: KeyField,
    /// Its hash.
    pub hash: u64,
    /// The second of pairs, where one was asked for: else the newest are shown.
    pub with: Option<(KeyField, u64)>,
    /// The time at which values are read, ms: the newest event's.
    pub at_ms: i64,
}

/// One value of a feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueShown {
    /// Which, as rules write it after the point; empty of a feature with one value.
    pub part: String,
    /// The value.
    pub value: Value<'static>,
}

/// What is kept of one second key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairShown {
    /// When it was last counted.
    pub newest: Millis,
    /// Its values.
    pub values: Vec<ValueShown>,
}

/// What is kept of a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairsShown {
    /// What the second is.
    pub second: &'static str,
    /// How many second keys are kept.
    pub kept: usize,
    /// The one that was asked for, else the newest of them.
    pub shown: Vec<PairShown>,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureShown {
    /// Its name in the rules.
    pub name: String,
    /// What it keeps, as rules write it.
    pub aggregate: &'static str,
    /// The events it looks at: their types, or `findings`.
    pub of: Vec<&'static str>,
    /// Its window, or its half-life.
    pub over: Value<'static>,
    /// When it last counted something.
    pub newest: Millis,
    /// Its values; of a pair they stand there.
    pub values: Vec<ValueShown>,
    /// What is kept by a second entity.
    pub pairs: Option<PairsShown>,
}

/// The last good login.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each is named after the event's field")]
pub struct LoginShown {
    pub time: Millis,
    pub device: Option<String>,
    pub city: Option<String>,
    pub country: Option<Country>,
    pub asn: Option<u32>,
    pub network: Option<&'static str>,
}

/// What is kept of an account besides features.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct AccountShown {
    /// Since when it is known.
    pub known_since: Option<Millis>,
    /// How many good logins it had.
    pub logins: Option<u64>,
    /// `account.risk`, where it ever had a score.
    pub risk: Option<f64>,
    /// When it last had a score.
    pub scored: Option<Millis>,
    /// The last good login.
    pub last_login: Option<LoginShown>,
    /// Countries it usually logs in from.
    pub countries: Vec<Country>,
    /// Devices it logged in from.
    pub devices: Option<u32>,
    /// The first and last hour of the day in which it usually logs in.
    pub hours: Option<[u8; 2]>,
}

/// What is kept of one entity.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct KeptShown {
    /// Features that something is kept of, in the order of their names.
    pub features: Vec<FeatureShown>,
    /// Features of this kind that nothing is kept of.
    pub features_empty: usize,
    /// Of an account.
    pub account: Option<AccountShown>,
}

impl KeptShown {
    /// Of the features of an entity.
    pub fn of(plan: &Plan, rules: &Ruleset, slots: &Slots, asked: &Asked) -> Self {
        let mut view = View::default();
        let mut shown = KeptShown::default();
        for (at, feature) in (0u16..).zip(&rules.features) {
            if feature.by.first != asked.kind {
                continue;
            }
            let number = plan.number_of(feature);
            match number.and_then(|number| Some((number, slots.get(number)?))) {
                Some((number, kept)) => {
                    let held = plan.features.get(usize::from(number)).map(|planned| planned.shape.kept.as_slice());
                    shown.features.push(view.feature(at, feature, held.unwrap_or_default(), kept, asked));
                }
                None => shown.features_empty += 1,
            }
        }
        shown.features.sort_by(|a, b| a.name.cmp(&b.name));
        shown
    }
}

impl AccountShown {
    /// Of an account, at a time.
    pub fn of(account: &Account, at_ms: i64) -> Self {
        let profile = account.profile.as_deref();
        let login = |LastLogin { time_ms, device, city, country, asn, network, .. }: LastLogin<'_>| LoginShown {
            time: Millis(time_ms),
            device: device.map(str::to_owned),
            city: city.map(str::to_owned),
            country,
            asn,
            network: network.map(Closed::word),
        };
        let logins = u64::try_from(account.logins(at_ms)).unwrap_or(u64::MAX);
        AccountShown {
            known_since: account.first_ms().map(Millis),
            logins: (logins > 0).then_some(logins),
            risk: account.scored_ms().map(|_| account.risk(at_ms)),
            scored: account.scored_ms().map(Millis),
            last_login: profile.map(|profile| login(profile.last())),
            countries: profile.map(|profile| profile.countries()).unwrap_or_default(),
            devices: profile.map(|profile| profile.devices()),
            hours: profile.and_then(|profile| profile.hours()),
        }
    }
}

/// Reads values; memory used again.
#[derive(Default)]
struct View {
    scratch: Vec<u64>,
}

impl View {
    /// `held`: the fields that a `last` holds, in their order.
    fn feature(
        &mut self,
        at: u16,
        feature: &Feature,
        held: &[KeptField],
        kept: &Aggregate,
        asked: &Asked,
    ) -> FeatureShown {
        let (shape, layout) = shape(at, feature, held);
        let of = match feature.of_findings {
            true => vec!["findings"],
            false => feature.types.iter().map(EventType::word).collect(),
        };
        let mut shown = FeatureShown {
            name: feature.name.clone(),
            aggregate: feature.aggregate.word(),
            of,
            over: Value::Duration(feature.over_ms),
            newest: Millis(kept.newest_ms()),
            values: Vec::new(),
            pairs: None,
        };
        match feature.by.second {
            None => shown.values = self.values(&shape, &layout, kept, 0, asked.at_ms),
            Some(second) => shown.pairs = Some(self.pairs(second, &shape, &layout, kept, asked)),
        }
        shown
    }

    fn pairs(
        &mut self,
        second: KeyField,
        shape: &Shape,
        layout: &Layout,
        kept: &Aggregate,
        asked: &Asked,
    ) -> PairsShown {
        let mut keys: Vec<(u64, i64)> = match kept {
            Aggregate::Pairs(pairs) => pairs.iter().map(|(key, kept)| (key, kept.newest_ms())).collect(),
            Aggregate::SeenKeys(keys) => keys.newest().collect(),
            _ => Vec::new(),
        };
        let count = keys.len();
        keys.sort_by_key(|(key, newest)| (std::cmp::Reverse(*newest), *key));
        match asked.with.filter(|(kind, _)| *kind == second) {
            Some((_, wanted)) => keys.retain(|(key, _)| *key == wanted),
            None => keys.truncate(PAIRS_SHOWN_MAX),
        }
        let mut pair = |(key, newest): (u64, i64)| PairShown {
            newest: Millis(newest),
            values: self.values(shape, layout, kept, key, asked.at_ms),
        };
        PairsShown { second: second.name(), kept: count, shown: keys.into_iter().map(&mut pair).collect() }
    }

    /// Every value; of money one of each currency.
    fn values(
        &mut self,
        shape: &Shape,
        layout: &Layout,
        kept: &Aggregate,
        second: u64,
        time_ms: i64,
    ) -> Vec<ValueShown> {
        let own = match kept {
            Aggregate::Pairs(pairs) => pairs.get(second),
            kept => Some(kept),
        };
        if let Some(Aggregate::Habit(habit)) = own {
            let (total, values) = habit.known(time_ms, shape.over_ms);
            let value = |part: &str, n: u64| ValueShown {
                part: part.to_owned(),
                value: Value::Int(i64::try_from(n).unwrap_or(i64::MAX)),
            };
            return vec![value("total", total), value("values", values as u64)];
        }
        let mut shown = Vec::new();
        for unit in units(shape, own) {
            let seen = Observation { time_ms, count: 1, second, value: None, amount: None, unit, matches: false };
            let mut banks = Banks::new(layout);
            kept.fill(shape, &seen, &mut banks, &mut self.scratch);
            let event = Event::new("", EventType::Login, Millis(time_ms));
            let row = banks.row(&event);
            for (name, ty, cell) in layout.cells() {
                let Name::Feature(_, part) = name else { continue };
                let value = row.value(*ty, *cell).into_owned();
                // A field that the newest event lacked, or that no rule read when it came.
                let is_field = matches!(part, Part::Field(_) | Part::Finding(_));
                if !(is_field && value == Value::Missing) {
                    shown.push(ValueShown { part: written_part(*part), value });
                }
            }
        }
        shown
    }
}

/// The currencies that amounts were of; one reading without any where they have none.
fn units(shape: &Shape, kept: Option<&Aggregate>) -> Vec<Option<Currency>> {
    if shape.scale != Scale::Money {
        return vec![None];
    }
    let known: Vec<u8> = match kept {
        Some(Aggregate::Sum(sum)) => sum.units().collect(),
        Some(Aggregate::Stats(stats)) => stats.units().collect(),
        _ => return vec![None],
    };
    known.into_iter().filter(|unit| *unit != NO_CURRENCY).map(Currency::from_number).filter(Option::is_some).collect()
}

/// A feature with a slot for every part, in a row of its own.
fn shape(at: u16, feature: &Feature, held: &[KeptField]) -> (Shape, Layout) {
    let mut layout = Layout::default();
    let mut parts = Vec::new();
    for (part, ty) in feature.shown_parts() {
        let cell = layout.cell(Name::Feature(at, part), ty);
        parts.push((part, ty, cell));
    }
    let mut shape = Shape::new(feature, &[]);
    shape.parts = parts;
    shape.kept = held
        .iter()
        .map(|field| {
            let (part, ty) = match field.value {
                KeptValue::Field(field) => (Part::Field(field), Ty::of(field)),
                KeptValue::Finding(field) => (Part::Finding(field), field.ty()),
            };
            KeptField { cell: Some(layout.cell(Name::Feature(at, part), ty)), ..*field }
        })
        .collect();
    (shape, layout)
}
