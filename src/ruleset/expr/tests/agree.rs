//! Closures and the tree walker say the same of random expressions and rows.

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::oracle::{V, eval, of_value, word};
use super::*;
use crate::event::{Closed, Country, Currency, Money, Outcome, Point, Reason};

/// Random choices: when they run out the first alternative is taken, so that everything ends and shrinks.
struct Choices<'c> {
    rest: std::slice::Iter<'c, u16>,
}

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.rest.next().map_or(0, |c| usize::from(*c) % n)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const LEVELS: usize = 5;
const COMPARED: &[&str] = &["==", "!=", "<", "<=", ">", ">="];
const SAME: &[&str] = &["==", "!="];

/// Writes an expression of each type. The first alternatives are leaves.
impl Choices<'_> {
    fn two(&mut self, op: &str, make: fn(&mut Self, usize) -> String, level: usize) -> String {
        let left = make(self, level);
        let right = make(self, level);
        format!("({left} {op} {right})")
    }

    fn boolean(&mut self, level: usize) -> String {
        if level == 0 {
            return self.of(&["mfa", "loud", "new_device", "true", "false"]).to_string();
        }
        let next = level - 1;
        match self.below(24) {
            0 | 1 => self.boolean(0),
            2..=5 => {
                let word = self.of(&[" and ", " or "]);
                let parts: Vec<String> = (0..2 + self.below(4)).map(|_| self.boolean(next)).collect();
                format!("({})", parts.join(word))
            }
            6 | 7 => format!("(not {})", self.boolean(next)),
            8 | 9 => {
                let op = self.of(COMPARED);
                self.two(op, Self::number, next)
            }
            10 => {
                let op = self.of(COMPARED);
                self.two(op, Self::money, next)
            }
            11 => {
                let (op, make) =
                    (self.of(COMPARED), self.of(&[Self::duration as fn(&mut Self, usize) -> String, Self::time]));
                self.two(op, make, next)
            }
            12 => {
                let op = self.of(SAME);
                self.two(op, Self::text, next)
            }
            13 => {
                let (op, make) =
                    (self.of(SAME), self.of(&[Self::device as fn(&mut Self, usize) -> String, Self::ip, Self::place]));
                self.two(op, make, next)
            }
            14 => {
                let op = self.of(SAME);
                self.two(op, Self::boolean, next)
            }
            15 => self.two("??", Self::boolean, next),
            16 => format!("({} is {}missing)", self.anything(next), self.of(&["", "not "])),
            17 => self.closed_values(),
            18 => {
                let not = self.of(&["", "not "]);
                let list = self.of(&["account in", "ip in", "asn in", "country in"]);
                let (left, _) = list.split_once(' ').expect("two words");
                let name = match left {
                    "account" => "vip",
                    "ip" => "office_ips",
                    "asn" => "carrier_nat",
                    _ => "sanctioned",
                };
                format!("({left} {not}in lists.{name})")
            }
            19 => {
                let not = self.of(&["", "not "]);
                let count = 1 + self.below(12);
                let all: Vec<String> = (0..count).map(|n| format!("{}", n * 2)).collect();
                format!("({} {not}in [{}])", self.number(next), all.join(", "))
            }
            // What is in yuan whatever happens is refused where it meets dollars.
            20 if self.below(2) == 0 => {
                format!("({} {}in [5 CNY, 0 CNY, 1 USD])", self.of(&["amount", "balance"]), self.of(&["", "not "]))
            }
            20 => format!("({} {}in [5 CNY, 0 CNY])", self.money(next), self.of(&["", "not "])),
            21 => format!("matches({}, \"{}\")", self.text(next), self.of(&["^a", "b.c", "(?i)A|z"])),
            22 => format!("({} {}in [\"198.51.100.7\", \"2001:db8::1\"])", self.ip(next), self.of(&["", "not "])),
            _ => {
                let function = self.of(&["starts_with", "ends_with", "contains"]);
                format!("{function}({}, {})", self.text(next), self.text(next))
            }
        }
    }

    fn closed_values(&mut self) -> String {
        let question = self.of(&[
            "result == \"success\"",
            "result != \"failure\"",
            "reason in [\"timeout\", \"other\", \"blocked\"]",
            "reason not in [\"timeout\"]",
            "(reason ?? \"other\") == \"other\"",
            "country == \"CN\"",
            "country != payee_country",
            "country not in [\"CN\", \"US\"]",
            "asn == AS9808",
            "asn in [AS1, AS9808]",
            "device in [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\", \"d1\"]",
            "device not in [\"d1\"]",
            "lower(device) == \"d1\"",
        ]);
        format!("({question})")
    }

    fn anything(&mut self, level: usize) -> String {
        let make = self.of(&[
            Self::boolean as fn(&mut Self, usize) -> String,
            Self::number,
            Self::money,
            Self::duration,
            Self::time,
            Self::text,
            Self::device,
            Self::ip,
            Self::place,
        ]);
        make(self, level)
    }

    fn number(&mut self, level: usize) -> String {
        const NAMES: &[&str] = &[
            "acct_fail_10m",
            "account.risk",
            "account.logins",
            "geo.accuracy_km",
            "count",
            "kmh",
            "ratio",
            "sp.share(1)",
        ];
        if level == 0 {
            return match self.below(3) {
                0 => self.of(NAMES).to_string(),
                1 => format!("{}", self.below(5)),
                _ => self.of(&["0.5", "-1", "2.25"]).to_string(),
            };
        }
        let next = level - 1;
        match self.below(14) {
            0..=3 => self.number(0),
            4..=6 => {
                let op = self.of(&["+", "-", "*", "/"]);
                self.two(op, Self::number, next)
            }
            7 => self.two("/", Self::money, next),
            8 => self.two("/", Self::duration, next),
            9 => format!("distance_km({}, {})", self.place(next), self.place(next)),
            10 => format!("speed_kmh({}, {}, {})", self.place(next), self.place(next), self.duration(next)),
            11 => {
                let function = self.of(&["hour", "weekday", "day_of_month"]);
                let zone = self.of(&["zone", "\"Asia/Shanghai\"", "(zone ?? \"UTC\")"]);
                format!("{function}({}, {zone})", self.time(next))
            }
            12 => self.two("??", Self::number, next),
            _ => self.picked(Self::number, next),
        }
    }

    fn picked(&mut self, make: fn(&mut Self, usize) -> String, level: usize) -> String {
        let first = make(self, level);
        match self.below(4) {
            0 => format!("abs({first})"),
            1 => format!("(-{first})"),
            n => {
                let function = if n == 2 { "min" } else { "max" };
                let more: Vec<String> = (0..1 + self.below(2)).map(|_| make(self, level)).collect();
                format!("{function}({first}, {})", more.join(", "))
            }
        }
    }

    fn money(&mut self, level: usize) -> String {
        if level == 0 {
            let all = ["amount", "balance", "amounts.large", "acct_out_90d.mean", "5 CNY", "0 CNY", "0.05 CNY"];
            return self.of(&all).to_string();
        }
        let next = level - 1;
        match self.below(9) {
            0..=2 => self.money(0),
            3 => self.two("+", Self::money, next),
            4 => self.two("-", Self::money, next),
            5 => format!("({} * {})", self.number(next), self.money(next)),
            6 => format!("({} {} {})", self.money(next), self.of(&["*", "/"]), self.number(next)),
            7 => self.two("??", Self::money, next),
            _ => self.picked(Self::money, next),
        }
    }

    fn duration(&mut self, level: usize) -> String {
        if level == 0 {
            return self.of(&["acct_last_ok.age", "acct_device.age", "10m", "24h", "0s"]).to_string();
        }
        let next = level - 1;
        match self.below(8) {
            0..=2 => self.duration(0),
            3 => self.two("+", Self::duration, next),
            4 => self.two("-", Self::time, next),
            5 => format!("({} {} {})", self.duration(next), self.of(&["*", "/"]), self.number(next)),
            6 => self.two("??", Self::duration, next),
            _ => self.picked(Self::duration, next),
        }
    }

    fn time(&mut self, level: usize) -> String {
        if level == 0 {
            return self.of(&["time", "acct_last_ok.time", "until"]).to_string();
        }
        match self.below(4) {
            0 | 1 => self.time(0),
            2 => format!("({} {} {})", self.time(level - 1), self.of(&["+", "-"]), self.duration(level - 1)),
            _ => self.two("??", Self::time, level - 1),
        }
    }

    fn text(&mut self, level: usize) -> String {
        if level == 0 {
            return self.of(&["platform", "city", "user_agent", "\"a\"", "\"a@b.c\""]).to_string();
        }
        match self.below(5) {
            0 | 1 => self.text(0),
            2 => format!("lower({})", self.text(level - 1)),
            3 => format!("domain({})", self.text(level - 1)),
            _ => self.two("??", Self::text, level - 1),
        }
    }

    fn device(&mut self, level: usize) -> String {
        match self.below(if level == 0 { 2 } else { 4 }) {
            0 => "device".into(),
            1 => "acct_last_ok.device".into(),
            2 => format!("({} ?? \"d1\")", self.device(level - 1)),
            _ => self.two("??", Self::device, level - 1),
        }
    }

    fn ip(&mut self, level: usize) -> String {
        match self.below(if level == 0 { 2 } else { 4 }) {
            0 => "ip".into(),
            1 => "acct_last_ok.ip".into(),
            2 => format!("({} ?? \"198.51.100.7\")", self.ip(level - 1)),
            _ => self.two("??", Self::ip, level - 1),
        }
    }

    fn place(&mut self, level: usize) -> String {
        match self.below(if level == 0 { 2 } else { 3 }) {
            0 => "geo".into(),
            1 => "acct_last_ok.geo".into(),
            _ => self.two("??", Self::place, level - 1),
        }
    }
}

impl Choices<'_> {
    /// A value of a type, often missing.
    fn value(&mut self, name: Name, ty: Ty) -> Value<'static> {
        if self.below(4) == 0 {
            return Value::Missing;
        }
        match ty {
            Ty::Bool => Value::Bool(self.below(2) == 0),
            Ty::Int => Value::Int(self.of(&[0, 1, 2, 3, 900])),
            Ty::Float => Value::Float(self.of(&[0.0, 0.5, 1.0, 100.0, -3.25])),
            Ty::Money => {
                let currency = Currency::parse(self.of(&["CNY", "CNY", "USD"])).expect("a currency");
                Value::Money(Money { minor: self.of(&[0, 1, 5, 500, 1000]), currency })
            }
            Ty::Duration => Value::Duration(self.of(&[0, 600_000, 86_400_000, 1])),
            Ty::Time => Value::Time(Millis(self.of(&[0, 1_767_227_400_000, 1_767_227_400_001]))),
            Ty::Text if name == Name::Field(Field::Zone) => {
                Value::Text(self.of(&["Asia/Shanghai", "UTC", "Mars"]).into())
            }
            Ty::Text => Value::Text(self.of(&["a", "A@b.C", "zh", "b@", "ÉÀ@É", "a@z@b.C"]).into()),
            Ty::Id(IdKind::Account) => Value::Text(self.of(&["a1", "a9"]).into()),
            Ty::Id(_) => Value::Text(self.of(&["d1", "D1", "c", "x"]).into()),
            Ty::Geo => {
                let (latitude, longitude) = self.of(&[(31.23, 121.47), (6.52, 3.37), (-90.0, 0.0)]);
                Value::Geo(Point { latitude, longitude })
            }
            Ty::Ip => {
                let ip = self.of(&["198.51.100.7", "::ffff:198.51.100.7", "2001:db8::1", "2001:db8:1::9"]);
                Value::Ip(ip.parse().expect("an address"))
            }
            Ty::Asn => Value::Asn(self.of(&[1, 9808, u32::MAX])),
            Ty::Country => Value::Country(Country::parse(self.of(&["CN", "US", "KP"])).expect("a country")),
            Ty::Word(words) if words == Reason::WORDS => {
                word(self.of(&[Reason::Timeout, Reason::Other, Reason::Blocked]))
            }
            Ty::Word(_) => word(self.of(&[Outcome::Success, Outcome::Failure, Outcome::Sent])),
        }
    }
}

/// What an expression is made from.
fn any_expression() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..120)
}

/// As the random expressions write them; the names of functions stand in their catalogue.
const OPERATORS: &[&str] = &[
    " == ",
    " != ",
    " < ",
    " <= ",
    " > ",
    " >= ",
    " + ",
    " - ",
    " * ",
    " / ",
    "(-",
    " ?? ",
    " and ",
    " or ",
    "(not ",
    " in [",
    " not in [",
    " in lists.",
    " not in lists.",
    " is missing",
    " is not missing",
];
/// In how many of `CASES` expressions each occurs, at least.
const OCCURS_MIN: usize = 80;

/// Without it a function that is added is agreed on by nobody having asked.
#[test]
fn every_operator_and_function_is_among_the_random_expressions() {
    let mut runner = TestRunner::deterministic();
    let texts: Vec<String> = (0..CASES)
        .map(|_| any_expression().new_tree(&mut runner).expect("choices").current())
        .map(|choices| Choices { rest: choices.iter() }.boolean(LEVELS))
        .collect();
    let calls: Vec<String> = functions::names().map(|name| format!("{name}(")).collect();
    for wanted in OPERATORS.iter().copied().chain(calls.iter().map(String::as_str)) {
        let count = texts.iter().filter(|text| text.contains(wanted)).count();
        assert!(count >= OCCURS_MIN, "`{wanted}` is in {count} of {CASES} expressions");
    }
}

const CASES: u32 = 10_000;
/// Of each expression: 120 000 cases in all.
const ROWS: usize = 12;

/// Fills a row and tells the walker the same.
fn fill(choices: &mut Choices<'_>, layout: &Layout) -> (Banks, HashMap<Name, V>) {
    let mut banks = Banks::empty(layout);
    let mut values = HashMap::new();
    for (name, ty, cell) in layout.cells() {
        let value = choices.value(*name, *ty);
        banks.set(*ty, *cell, &value);
        values.insert(*name, of_value(&value));
    }
    (banks, values)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn closures_and_walker_agree(
        expression in any_expression(),
        rows in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..80), ROWS),
    ) {
        // On no type every field exists.
        let world = World::on(&[]);
        let text = Choices { rest: expression.iter() }.boolean(LEVELS);
        let tree = typed(&world, &text);
        let opposite = Typed { node: Node::Not(Box::new(tree.clone())), ..tree.clone() };
        let mut layout = Layout::default();
        let is_true = compile(&tree, &mut layout, KEY);
        let is_false = compile(&opposite, &mut layout, KEY);
        for choices in &rows {
            let (banks, values) = fill(&mut Choices { rest: choices.iter() }, &layout);
            let walked = eval(&tree, &|name| values.get(&name).cloned().unwrap_or(V::Missing));
            let compiled = (is_true.is_true(&banks.row()), is_false.is_true(&banks.row()));
            let expected = (walked == V::Bool(true), walked == V::Bool(false));
            let shown = || {
                let mut shown = String::new();
                for (name, value) in &values {
                    writeln!(shown, "  {name:?} = {value:?}").expect("a string");
                }
                shown
            };
            if compiled != expected {
                prop_assert_eq!(compiled, expected, "{}\n{}", text, shown());
            }
            // What cannot be missing is not.
            if !tree.nullable && walked == V::Missing && values.values().all(|v| *v != V::Missing) {
                prop_assert!(false, "not nullable, yet missing: {text}\n{}", shown());
            }
        }
    }
}
