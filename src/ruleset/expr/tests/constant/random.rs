//! Random conditions: what is said of them is tried against every value on a grid.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::oracle::{V, eval, of_value};
use super::*;
use crate::event::{Closed, Country, Money, Outcome, Reason};

/// Random choices, as in `agree`: when they run out the first alternative is taken.
struct Choices<'c>(std::slice::Iter<'c, u16>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.next().map_or(0, |c| usize::from(*c) % n)
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn atom(&mut self) -> String {
        let op = self.of(&["<", "<=", ">", ">=", "==", "!="]);
        let same = self.of(&["==", "!="]);
        match self.below(20) {
            13 => format!("acct_fail_10m * {} {op} {}", self.of(&["2", "0.5", "-1"]), self.below(6)),
            14 => format!("acct_fail_10m / {} {op} {}", self.of(&["2", "0", "-1", "(1 - 1)"]), self.below(4)),
            15 => format!("{} - acct_fail_10m {op} {}", self.below(5), self.of(&["-1", "0", "3", "5"])),
            16 => format!("abs(acct_fail_10m - {}) {op} {}", self.below(4), self.of(&["-1", "0", "2"])),
            17 => format!(
                "{}(acct_fail_10m, account.logins, {}) {op} {}",
                self.of(&["min", "max"]),
                self.below(4),
                self.of(&["-1", "0", "2"])
            ),
            18 => format!("(account.logins ?? acct_fail_10m) + {} {op} {}", self.below(3), self.of(&["-1", "0", "2"])),
            19 => format!("1 / (acct_fail_10m + {}) {op} {}", self.below(2), self.of(&["-1", "0", "1"])),
            0 | 1 => format!("acct_fail_10m {op} {}", self.below(6)),
            2 => format!("acct_fail_10m {op} {}.5", self.below(5)),
            3 => format!("account.logins {op} {}", self.below(5)),
            4 => format!("(account.logins ?? {}) {op} {}", self.below(5), self.below(5)),
            5 => format!("account.logins is {}missing", self.of(&["", "not "])),
            6 => format!("result {same} \"{}\"", self.of(&["success", "failure"])),
            7 => format!("reason {}in [\"timeout\", \"{}\"]", self.of(&["", "not "]), self.of(&["other", "blocked"])),
            8 => self.of(&["mfa", "mfa == true", "mfa is missing", "(mfa ?? false)"]).to_owned(),
            9 => format!("country {same} \"{}\"", self.of(&["CN", "US"])),
            10 => format!("acct_out_90d.mean {op} {}", self.of(&["0 CNY", "5 CNY", "5 USD"])),
            11 => format!("{} {op} acct_fail_10m", self.below(4)),
            _ => self.of(&["loud", "type == \"login\"", "abs(acct_fail_10m) >= 0", "true", "kmh > 5"]).to_owned(),
        }
    }

    /// About money, most of it the event's own.
    fn money_atom(&mut self) -> String {
        let op = self.of(&["<", "<=", ">", ">=", "==", "!="]);
        let of_event = ["amount", "acct_out_90d.mean", "2 * amount", "amount + acct_out_90d.mean", "-amount"];
        let named = ["amounts.large", "amounts.small", "2 * amounts.large", "amounts.large - amounts.small"];
        match self.below(9) {
            0 => format!("{} {op} {}", self.of(&named), self.of(&named)),
            1 => format!("{} is {}missing", self.of(&["amounts.large", "acct_out_90d.mean"]), self.of(&["", "not "])),
            2 => format!("amount {}in [5 CNY, 9 USD]", self.of(&["", "not "])),
            3 => format!("(amounts.small ?? 5 EUR) {op} {}", self.of(&of_event)),
            4 => format!("acct_fail_10m {op} {}", self.below(3)),
            5 => format!("max(amount, amounts.small) {op} {}", self.of(&["amounts.large", "3 CNY", "9 USD"])),
            6 => format!("{} {op} {}", self.of(&of_event), self.of(&["0 CNY", "5 CNY", "9 USD", "5 EUR"])),
            _ => format!("{} {op} {}", self.of(&of_event), self.of(&named)),
        }
    }

    fn condition(&mut self, level: usize) -> String {
        self.condition_of(level, Self::atom)
    }

    fn condition_of(&mut self, level: usize, atom: fn(&mut Self) -> String) -> String {
        if level == 0 {
            return atom(self);
        }
        match self.below(6) {
            0 => atom(self),
            1 => format!("not ({})", self.condition_of(level - 1, atom)),
            _ => {
                let word = self.of(&[" and ", " or "]);
                let parts: Vec<String> = (0..2 + self.below(2)).map(|_| self.condition_of(level - 1, atom)).collect();
                format!("({})", parts.join(word))
            }
        }
    }
}

/// Every value of a name that any of these conditions can tell apart, and more.
fn grid(name: Name, ty: Ty, nullable: bool) -> Vec<V> {
    let ints = |all: std::ops::Range<i64>| all.map(|n| of_value(&Value::Int(n))).collect::<Vec<_>>();
    let mut values = match (name, ty) {
        (Name::Feature(0, _), _) => ints(0..8),
        (_, Ty::Int) => ints(0..7),
        (Name::Field(Field::Type), _) => vec![V::Word(EventType::Login.word())],
        (Name::Field(Field::Result), _) => vec![V::Word(Outcome::Success.word()), V::Word(Outcome::Failure.word())],
        (Name::Field(Field::Reason), _) => {
            [Reason::Timeout, Reason::Other, Reason::Blocked, Reason::AppError].map(|r| V::Word(r.word())).to_vec()
        }
        (_, Ty::Bool) => vec![V::Bool(true), V::Bool(false)],
        (_, Ty::Country) => ["CN", "US", "KP"].map(|c| V::Country(Country::parse(c).expect("a country"))).to_vec(),
        (_, Ty::Money) => {
            let amounts = [
                (0, "CNY"),
                (1, "CNY"),
                (500, "CNY"),
                (501, "CNY"),
                (499, "USD"),
                (500, "USD"),
                (900, "USD"),
                (0, "EUR"),
            ];
            let money = |(minor, currency): (i64, &str)| {
                of_value(&Value::Money(Money { minor, currency: Currency::parse(currency).expect("a currency") }))
            };
            amounts.map(money).to_vec()
        }
        other => panic!("no values for {other:?}"),
    };
    if nullable {
        values.push(V::Missing);
    }
    values
}

/// Whether each name can be missing, where the tree reads it.
fn nullable(typed: &Typed, into: &mut HashMap<Name, bool>) {
    if let Node::Name(name) = typed.node {
        *into.entry(name).or_default() |= typed.nullable;
    }
    typed.parts().into_iter().for_each(|part| nullable(part, into));
}

/// Calls `each` with what the names stand for, for every row of the grid, at most some thousands.
fn rows(trees: &[&Typed], each: &mut dyn FnMut(&HashMap<Name, V>)) {
    let mut names: Vec<(Name, Ty)> = trees.iter().flat_map(|tree| tree.names()).collect();
    names.sort_by_key(|(name, _)| format!("{name:?}"));
    names.dedup();
    let mut can_miss = HashMap::new();
    trees.iter().for_each(|tree| nullable(tree, &mut can_miss));
    let axes: Vec<(Name, Vec<V>)> = names.iter().map(|(name, ty)| (*name, grid(*name, *ty, can_miss[name]))).collect();
    let total: usize = axes.iter().map(|(_, values)| values.len()).product();
    // Of a large grid rows far from each other are taken: the step has no common factor with an axis.
    let step = if total > 4000 { total / 4000 * 2 * 3 * 5 * 7 + 1 } else { 1 };
    for at in 0..total.min(4000) {
        let mut rest = at * step % total;
        let mut row = HashMap::new();
        for (name, values) in &axes {
            row.insert(*name, values[rest % values.len()].clone());
            rest /= values.len();
        }
        each(&row);
    }
}

/// The same where money is in the currency of the event's own amount.
fn rows_of_money(tree: &Typed, each: &mut dyn FnMut(&HashMap<Name, V>)) {
    let mut can_miss = HashMap::new();
    nullable(tree, &mut can_miss);
    let amounts = amounts();
    for code in ["CNY", "USD", "EUR"] {
        let currency = Currency::parse(code).expect("a currency");
        let money = |minor: i64| of_value(&Value::Money(Money { minor, currency }));
        let axis = |name: Name, ty: Ty| match name {
            Name::Amount(at) => {
                let value = amounts[usize::from(at)].values.iter().find(|(of, _)| *of == currency);
                vec![value.map_or(V::Missing, |(_, minor)| money(*minor))]
            }
            _ if ty == Ty::Money => {
                let all =
                    [0, 1, 199, 200, 201, 250, 299, 300, 301, 450, 499, 500, 501, 899, 900, 901, 1000, 1001, 1801];
                let missing = can_miss[&name].then_some(V::Missing);
                all.into_iter().map(money).chain(missing).collect()
            }
            _ => grid(name, ty, can_miss[&name]),
        };
        let axes: Vec<(Name, Vec<V>)> = tree.names().into_iter().map(|(name, ty)| (name, axis(name, ty))).collect();
        let total: usize = axes.iter().map(|(_, values)| values.len()).product();
        for at in 0..total {
            let mut rest = at;
            let mut row = HashMap::new();
            for (name, values) in &axes {
                row.insert(*name, values[rest % values.len()].clone());
                rest /= values.len();
            }
            each(&row);
        }
    }
}

fn value(typed: &Typed, row: &HashMap<Name, V>) -> V {
    eval(typed, &|name| row.get(&name).cloned().unwrap_or(V::Missing))
}

/// The arms among which a part stands.
fn arms_with<'t>(whole: &'t Typed, part: &Typed) -> Option<&'t Typed> {
    if let Node::And(parts) | Node::Or(parts) = &whole.node
        && parts.iter().any(|arm| std::ptr::eq(arm, part))
    {
        return Some(whole);
    }
    whole.parts().into_iter().find_map(|inner| arms_with(inner, part))
}

fn without(whole: &Typed, part: &Typed) -> Typed {
    let rest = |parts: &[Typed]| parts.iter().filter(|arm| !std::ptr::eq(*arm, part)).cloned().collect();
    let node = match &whole.node {
        Node::And(parts) => Node::And(rest(parts)),
        Node::Or(parts) => Node::Or(rest(parts)),
        other => panic!("{other:?} has no arms"),
    };
    Typed { node, ..whole.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn a_verdict_holds_for_every_value(choices in prop::collection::vec(any::<u16>(), 0..60)) {
        let world = World::on(&[EventType::Login]);
        let text = Choices(choices.iter()).condition(3);
        let (ast, typed) = tree(&world, &text);
        for finding in judged(world.on, |judge| findings(judge, &ast, &typed)) {
            let part = finding.at.text();
            let around = match finding.doubt {
                Doubt::Implied(_) => arms_with(&typed, finding.at).map(|whole| (whole, without(whole, finding.at))),
                _ => None,
            };
            let mut wrong = None;
            rows(&[&typed], &mut |row| {
                let is_right = match finding.doubt {
                    Doubt::Never(_) => value(finding.at, row) != V::Bool(true),
                    Doubt::Always(_) => value(finding.at, row) == V::Bool(true),
                    Doubt::Implied(_) => around.as_ref().is_some_and(|(whole, less)| value(whole, row) == value(less, row)),
                };
                if !is_right {
                    wrong = Some(row.clone());
                }
            });
            prop_assert!(wrong.is_none(), "{text}\n`{part}` {:?}\n{wrong:?}", std::mem::discriminant(&finding.doubt));
        }
    }

    #[test]
    fn what_is_said_of_money_holds_in_every_currency(choices in prop::collection::vec(any::<u16>(), 0..60)) {
        let world = World::on(&[EventType::Transfer]);
        let text = Choices(choices.iter()).condition_of(2, Choices::money_atom);
        let (ast, typed) = tree(&world, &text);
        for finding in judged(world.on, |judge| findings(judge, &ast, &typed)) {
            let wanted = match finding.doubt {
                Doubt::Never(_) => false,
                Doubt::Always(_) => true,
                Doubt::Implied(_) => continue,
            };
            let mut wrong = None;
            rows_of_money(&typed, &mut |row| {
                if (value(finding.at, row) == V::Bool(true)) != wanted {
                    wrong = Some(row.clone());
                }
            });
            prop_assert!(wrong.is_none(), "{text}\n`{}` {wanted}\n{wrong:?}", finding.at.text());
        }
    }

    #[test]
    fn a_rule_called_unreachable_never_fires(
        one in prop::collection::vec(any::<u16>(), 0..40), other in prop::collection::vec(any::<u16>(), 0..20),
    ) {
        let world = World::on(&[EventType::Login]);
        let (when, exception) = (Choices(one.iter()).condition(2), Choices(other.iter()).condition(1));
        let (rule, eaten) = (tree(&world, &when), tree(&world, &exception));
        if judged(world.on, |judge| covers(judge, (&eaten.0, &eaten.1), (&rule.0, &rule.1))) {
            let mut fires = None;
            rows(&[&rule.1, &eaten.1], &mut |row| {
                if value(&rule.1, row) == V::Bool(true) && value(&eaten.1, row) != V::Bool(true) {
                    fires = Some(row.clone());
                }
            });
            prop_assert!(fires.is_none(), "{when}\nunless {exception}\n{fires:?}");
        }
    }
}

#[test]
fn random_conditions_give_verdicts_to_judge() {
    let world = World::on(&[EventType::Login]);
    let mut counts = [0; 3];
    for seed in 0..1000_u64 {
        let draw = |n: u64| {
            ((seed + 1).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n.wrapping_mul(1_442_695_040_888_963_407))
                >> 40) as u16
        };
        let choices: Vec<u16> = (0..60).map(draw).collect();
        let (ast, typed) = tree(&world, &Choices(choices.iter()).condition(3));
        for finding in judged(world.on, |judge| findings(judge, &ast, &typed)) {
            counts[match finding.doubt {
                Doubt::Never(_) => 0,
                Doubt::Always(_) => 1,
                Doubt::Implied(_) => 2,
            }] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}
