//! Tests of the expression language: a world of names for them.

mod agree;
mod constant;
mod oracle;
mod problems;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::event::{Event, EventType, Field, Millis};
use crate::ruleset::model::Part;
use crate::ruleset::row::ip_slots;

const KEY: HashKey = HashKey::new([7; 16]);

/// Names for tests: every field, some features, lists, amounts, params and defs.
pub(super) struct World {
    pub on: TypeSet,
    defs: BTreeMap<&'static str, Ast>,
    lists: BTreeMap<&'static str, Arc<ListSet>>,
}

/// Features: name, part, type, and whether it can be missing.
const FEATURES: &[(&str, Name, Ty, bool)] = &[
    ("acct_fail_10m", Name::Feature(0, Part::Value), Ty::Int, false),
    ("acct_last_ok.geo", Name::Feature(1, Part::Field(Field::Geo)), Ty::Geo, true),
    ("acct_last_ok.geo.accuracy_km", Name::Feature(1, Part::Field(Field::GeoAccuracyKm)), Ty::Float, true),
    ("acct_last_ok.device", Name::Feature(1, Part::Field(Field::Device)), Ty::Id(IdKind::Device), true),
    ("acct_last_ok.ip", Name::Feature(1, Part::Field(Field::Ip)), Ty::Ip, true),
    ("acct_last_ok.login_name", Name::Feature(1, Part::Field(Field::LoginName)), Ty::Id(IdKind::LoginName), true),
    ("acct_last_ok.time", Name::Feature(1, Part::Field(Field::Time)), Ty::Time, true),
    ("acct_last_ok.age", Name::Feature(1, Part::Age), Ty::Duration, true),
    ("acct_device.age", Name::Feature(2, Part::Age), Ty::Duration, true),
    ("acct_out_90d.mean", Name::Feature(3, Part::Value), Ty::Money, true),
    ("sp.share(1)", Name::Feature(4, Part::Share), Ty::Float, true),
    ("account.risk", Name::AccountRisk, Ty::Float, true),
    ("account.known_for", Name::AccountKnownFor, Ty::Duration, true),
    ("account.logins", Name::AccountLogins, Ty::Int, true),
    ("amounts.large", Name::Amount(0), Ty::Money, true),
    ("amounts.small", Name::Amount(1), Ty::Money, true),
];

impl World {
    pub fn on(types: &[EventType]) -> Self {
        let mut lists = BTreeMap::new();
        for (name, ty, entries) in [
            ("vip", Ty::Id(IdKind::Account), &["a1", "a2"][..]),
            ("office_ips", Ty::Ip, &["198.51.100.0/24", "2001:db8:1::/48"]),
            ("carrier_nat", Ty::Asn, &["AS9808", "AS4837"]),
            ("sanctioned", Ty::Country, &["KP", "IR"]),
        ] {
            let mut list = ListSet::new(name, ty);
            for entry in entries {
                list.insert(entry).expect("an entry");
            }
            lists.insert(name, Arc::new(list));
        }
        let mut world = World { on: TypeSet::of(types), defs: BTreeMap::new(), lists };
        world.def("new_device", "acct_device.age is missing or acct_device.age < 24h");
        world.def("loud", "acct_fail_10m >= 3 or acct_fail_10m == 2");
        world.def("one", "two or acct_fail_10m > 1");
        world.def("two", "one");
        world.def("wrong", "acct_fail_10m > 5 CNY");
        world
    }

    pub fn def(&mut self, name: &'static str, text: &str) {
        let file = file(&format!("rules/defs/{name}.yaml"), text);
        let ast = parse(&snippet(&file), &mut Vec::new()).expect("a tree");
        self.defs.insert(name, ast);
    }
}

impl Scope for World {
    fn name(&self, path: &str) -> Option<Meaning<'_>> {
        match path {
            "kmh" => return Some(Meaning::Constant(Value::Int(900), Ty::Int)),
            "ratio" => return Some(Meaning::Constant(Value::Float(0.5), Ty::Float)),
            "broken_feature" => return Some(Meaning::Broken),
            _ => {}
        }
        if let Some(ast) = self.defs.get(path) {
            return Some(Meaning::Def(ast));
        }
        if let Some((_, name, ty, nullable)) = FEATURES.iter().find(|(n, ..)| *n == path) {
            let types = if matches!(name, Name::Amount(_)) { Field::Amount.types() } else { TypeSet::ALL };
            return Some(Meaning::Value { name: *name, ty: *ty, types, nullable: *nullable });
        }
        let field = Field::parse(path)?;
        let nullable = !matches!(field, Field::Type | Field::Time | Field::Count | Field::Result | Field::Amount);
        Some(Meaning::Value { name: Name::Field(field), ty: Ty::of(field), types: field.types(), nullable })
    }

    fn names(&self) -> Vec<String> {
        let features = FEATURES.iter().map(|(name, ..)| name.to_string());
        features.chain(Field::all().map(|f| f.name().to_string())).chain(["kmh".into(), "ratio".into()]).collect()
    }

    fn list(&self, name: &str) -> Option<&Arc<ListSet>> {
        self.lists.get(name)
    }

    fn lists(&self) -> Vec<&str> {
        self.lists.keys().copied().collect()
    }

    fn on(&self) -> TypeSet {
        self.on
    }
}

pub(super) fn file(path: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { path: path.into(), text: text.into() })
}

/// The whole of a file as a snippet.
pub(super) fn snippet(file: &Arc<SourceFile>) -> Snippet<'_> {
    Snippet { file, text: Cow::Borrowed(&file.text), places: Vec::new(), start: 0 }
}

/// Everything that is wrong with an expression, and its typed tree if nothing is.
pub(super) fn check(world: &World, text: &str) -> (Option<Typed>, Vec<Problem>) {
    let mut problems = Vec::new();
    let file = file("rules/test.yaml", text);
    let typed = parse(&snippet(&file), &mut problems).and_then(|ast| check_condition(&ast, world, &mut problems));
    (typed, problems)
}

/// A typed tree of an expression that must be right.
pub(super) fn typed(world: &World, text: &str) -> Typed {
    let (typed, problems) = check(world, text);
    typed.unwrap_or_else(|| panic!("{text}\n{}", crate::report::render(&problems, false)))
}

/// The banks of a row, filled by name.
#[derive(Debug, Clone)]
pub(super) struct Banks {
    pub numbers: Vec<f64>,
    pub ids: Vec<u64>,
    pub texts: Vec<compact_str::CompactString>,
    event: Event<'static>,
}

impl Banks {
    /// A row of a layout in which everything is missing.
    pub fn empty(layout: &Layout) -> Self {
        Banks {
            numbers: vec![f64::NAN; layout.numbers.into()],
            ids: vec![0; layout.ids.into()],
            texts: vec!["".into(); layout.texts.into()],
            event: Event::new("e1", EventType::Login, Millis(0)),
        }
    }

    /// Puts a value where a name's cell is.
    pub fn set(&mut self, ty: Ty, cell: crate::ruleset::row::Cell, value: &Value<'_>) {
        let at = usize::from(cell.at);
        match (cell.rep, value) {
            (_, Value::Missing) => {}
            (Rep::Num, value) => self.numbers[at] = numbers::of(value, ty),
            (Rep::Money | Rep::Geo, value) => {
                (self.numbers[at], self.numbers[at + 1]) = pairs::pair_of(value);
            }
            (Rep::Id, Value::Text(text)) => {
                self.ids[at] = KEY.text(text);
                self.texts[usize::from(cell.text)] = text.as_ref().into();
            }
            (Rep::Ip, Value::Ip(ip)) => (self.ids[at], self.ids[at + 1]) = ip_slots(*ip),
            (rep, value) => panic!("{value:?} is no {rep:?}"),
        }
    }

    pub fn row(&self) -> Row<'_> {
        Row { event: &self.event, numbers: &self.numbers, ids: &self.ids, texts: &self.texts }
    }
}
