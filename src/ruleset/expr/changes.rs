//! The small changes of an expression that its tests should notice: constants by a step, arms and `not` dropped.
//!
//! Guarantees: a change is a span of the file and the text to stand there instead; each says which value would
//! show it. Whether the changed expression still loads is for whoever loads it. Does not change anything.

use std::ops::Range;

use super::ast::{Ast, Comparison, Expr, Kind, Set};
use crate::event::Value;

/// A small change of a file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The bytes that go.
    pub span: Range<usize>,
    /// What stands there instead.
    pub with: String,
    /// What people call it: `8 -> 9` or `without asn is missing`.
    pub what: String,
    /// The value that would show it.
    pub hint: String,
    /// Why probably nothing shows it, where its place tells.
    pub doubt: Option<String>,
}

/// The two texts next to a constant: a step down and a step up. A whole number's step is 1, others' a tenth.
pub fn steps(value: &Value<'_>) -> Vec<String> {
    match value {
        Value::Int(n) => [n.checked_sub(1), n.checked_add(1)].into_iter().flatten().map(|n| n.to_string()).collect(),
        Value::Float(n) => [n * 0.9, n * 1.1].into_iter().filter(|n| n.is_finite()).map(decimal).collect(),
        Value::Duration(ms) => tenth(*ms).into_iter().map(duration).collect(),
        Value::Money(money) => {
            let step = |minor| crate::event::Money { minor, currency: money.currency };
            tenth(money.minor).into_iter().map(|minor| short_money(&step(minor).to_string())).collect()
        }
        _ => Vec::new(),
    }
}

/// A tenth less and more, at least 1.
fn tenth(n: i64) -> Vec<i64> {
    let step = (n / 10).abs().max(1);
    [n.checked_sub(step), n.checked_add(step)].into_iter().flatten().filter(|n| *n >= 0).collect()
}

/// A number with a fraction as an expression writes it.
fn decimal(n: f64) -> String {
    let text = format!("{n:.9}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

/// A span of time in the largest unit that gives a whole number.
pub fn duration(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.iter().find(|(unit_ms, _)| ms != 0 && ms % unit_ms == 0);
    unit.map_or_else(|| format!("{ms}ms"), |(unit_ms, unit)| format!("{}{unit}", ms / unit_ms))
}

/// A span of time that a change writes, as people read it: from 100 of a unit on in the next one, where one decimal
/// says it exactly: `648m` is `10.8h`. Any other text as it is.
pub fn spoken(text: &str) -> String {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (factor, larger) = match unit {
        "ms" => (1000, "s"),
        "s" => (60, "m"),
        "m" => (60, "h"),
        "h" => (24, "d"),
        _ => return text.to_owned(),
    };
    match number.parse::<i64>().ok().and_then(|n| n.checked_mul(10)) {
        Some(tenfold) if tenfold >= 1000 && tenfold % factor == 0 && tenfold / factor >= 10 => {
            let tenths = tenfold / factor;
            format!("{}.{}{larger}", tenths / 10, tenths % 10)
        }
        _ => text.to_owned(),
    }
}

/// `5500.00 CNY` is `5500 CNY`.
fn short_money(text: &str) -> String {
    match text.split_once(' ') {
        Some((amount, currency)) if amount.contains('.') => {
            format!("{} {currency}", amount.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text.to_owned(),
    }
}

/// A text of a file in one line, without its comments.
pub fn one_line(text: &str) -> String {
    let words = text.lines().flat_map(|line| line.split(" #").next().unwrap_or_default().split_whitespace());
    words.collect::<Vec<_>>().join(" ")
}

impl Ast {
    /// Its changes, in the order of the text.
    pub fn changes(&self) -> Vec<Change> {
        let mut walk = Walk { ast: self, found: Vec::new() };
        walk.expr(&self.root, None);
        walk.found
    }

    /// The change after which it is never true.
    pub fn never(&self, what: String, hint: String) -> Change {
        Change { span: self.root.span.clone(), with: "false".to_owned(), what, hint, doubt: None }
    }

    /// The value of a name that would show a change of what it is compared with: where a name stands alone on
    /// one side of a comparison.
    pub fn hint_for(&self, name: &str, old: &str, new: &str) -> Option<String> {
        let walk = Walk { ast: self, found: Vec::new() };
        hint_below(&walk, &self.root, name, old, new)
    }

    fn text(&self, span: &Range<usize>) -> String {
        one_line(self.file.text.get(span.clone()).unwrap_or_default())
    }
}

fn hint_below(walk: &Walk<'_>, expr: &Expr, name: &str, old: &str, new: &str) -> Option<String> {
    if let Kind::Compare(_, left, right) = &expr.kind
        && let Some(side) = [left, right].into_iter().find(|side| matches!(&side.kind, Kind::Name(n) if n == name))
    {
        return Some(walk.boundary(expr, side, old, new));
    }
    expr.below().into_iter().find_map(|below| hint_below(walk, below, name, old, new))
}

impl Expr {
    /// What stands below a node, in the order of the text.
    pub(super) fn below(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Not(a) | Kind::Negate(a) | Kind::IsMissing(a, _) => vec![a],
            Kind::In(a, _, Set::Literals(all)) => std::iter::once(&**a).chain(all).collect(),
            Kind::In(a, ..) => vec![a],
            Kind::Compare(_, a, b) | Kind::Arithmetic(_, a, b) | Kind::Coalesce(a, b) => vec![a, b],
            Kind::And(all) | Kind::Or(all) | Kind::Broken(all) | Kind::Call { arguments: all, .. } => {
                all.iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

struct Walk<'a> {
    ast: &'a Ast,
    found: Vec<Change>,
}

impl Walk<'_> {
    /// `compared`: the comparison around the node.
    fn expr(&mut self, expr: &Expr, compared: Option<&Expr>) {
        match &expr.kind {
            Kind::And(arms) => self.arms(arms, "true", "false"),
            Kind::Or(arms) => self.arms(arms, "false", "true"),
            Kind::Not(inner) => self.not(expr, expr.span.start, &inner.span),
            Kind::In(left, true, _) | Kind::IsMissing(left, true) => self.not(expr, left.span.end, &expr.span),
            Kind::Int(n) => self.constant(expr, &Value::Int(*n), compared),
            Kind::Float(n) => self.constant(expr, &Value::Float(*n), compared),
            Kind::Duration(ms) => self.constant(expr, &Value::Duration(*ms), compared),
            Kind::Money(money) => self.constant(expr, &Value::Money(*money), compared),
            Kind::Name(path) if path.ends_with(')') => self.share_of(expr, path),
            _ => {}
        }
        let compared = match &expr.kind {
            Kind::Compare(..) | Kind::In(..) => Some(expr),
            Kind::And(_) | Kind::Or(_) | Kind::Not(_) => None,
            _ => compared,
        };
        expr.below().into_iter().for_each(|below| self.expr(below, compared));
    }

    /// Each arm dropped: what `and` asks no more is true, what `or` offers no more is false.
    fn arms(&mut self, arms: &[Expr], dropped: &str, shows: &str) {
        for arm in arms {
            let text = self.ast.text(&arm.span);
            let hint = format!("an event on which `{text}` alone is {shows} would show it");
            self.change(arm.span.clone(), dropped.to_owned(), format!("without {text}"), hint);
        }
    }

    /// A `not` dropped: the first one of the file's text from `from` on.
    fn not(&mut self, expr: &Expr, from: usize, until: &Range<usize>) {
        let Some(text) = self.ast.file.text.get(from..until.end.max(from)) else { return };
        let Some(at) = text.find("not") else { return };
        let blanks = text.get(at + 3..).map_or(0, |rest| rest.len() - rest.trim_start().len());
        let span = from + at..from + at + 3 + blanks;
        let whole = self.ast.text(&expr.span);
        let hint = format!("an event on which `{whole}` decides would show it");
        let turned = match (span.start.checked_sub(expr.span.start), self.ast.file.text.get(expr.span.clone())) {
            (Some(start), Some(raw)) => {
                let (before, after) = (raw.get(..start), raw.get(start + span.len()..));
                one_line(&format!("{}{}", before.unwrap_or_default(), after.unwrap_or_default()))
            }
            _ => return,
        };
        self.change(span, String::new(), format!("{whole} -> {turned}"), hint);
    }

    fn constant(&mut self, expr: &Expr, value: &Value<'_>, compared: Option<&Expr>) {
        let old = self.ast.text(&expr.span);
        for new in steps(value) {
            let said = spoken(&new);
            let hint = match compared {
                Some(comparison) => self.boundary(comparison, expr, &old, &said),
                None => format!("a value that tells {old} from {said} would show it"),
            };
            let what = format!("{old} -> {said}");
            self.change(expr.span.clone(), new, what, hint);
        }
    }

    /// The number in `NAME.share(n)`.
    fn share_of(&mut self, expr: &Expr, path: &str) {
        let Some(raw) = self.ast.file.text.get(expr.span.clone()) else { return };
        let (Some(open), Some(close)) = (raw.rfind('('), raw.rfind(')')) else { return };
        let Some(inner) = raw.get(open + 1..close) else { return };
        let Ok(n) = inner.trim().parse::<i64>() else { return };
        let start = expr.span.start + open + 1 + (inner.len() - inner.trim_start().len());
        for new in steps(&Value::Int(n)) {
            let hint = format!("a source with a key of {new} attempts, and one of {n}, would show it");
            let what = format!("{path}: {n} -> {new}");
            self.change(start..start + inner.trim().len(), new, what, hint);
        }
    }

    /// The value at which a comparison with `new` in the place of `old` comes out differently.
    fn boundary(&self, comparison: &Expr, constant: &Expr, old: &str, new: &str) -> String {
        let whole = self.ast.text(&comparison.span);
        let Kind::Compare(op, left, right) = &comparison.kind else {
            return format!("an event that tells `{whole}` with {old} from the same with {new} would show it");
        };
        let (op, other) = match (left.span == constant.span, right.span == constant.span) {
            (true, _) => (op.mirrored(), right),
            (_, true) => (*op, left),
            _ => return format!("an event between `{whole}` with {old} and the same with {new} would show it"),
        };
        let grows = grows(old, new);
        let value = match op {
            Comparison::Equal | Comparison::NotEqual => old,
            Comparison::GreaterOrEqual | Comparison::Less => {
                if grows {
                    old
                } else {
                    new
                }
            }
            Comparison::Greater | Comparison::LessOrEqual => {
                if grows {
                    new
                } else {
                    old
                }
            }
        };
        format!("an event on which `{}` is {value} would show it", self.ast.text(&other.span))
    }

    fn change(&mut self, span: Range<usize>, with: String, what: String, hint: String) {
        // Where a quoted text could not be followed byte by byte, nothing is known of its parts' places.
        if !span.is_empty() {
            self.found.push(Change { span, with, what, hint, doubt: None });
        }
    }
}

/// Whether the second of two constants, as they are written, is the larger one.
fn grows(old: &str, new: &str) -> bool {
    let size = |text: &str| -> Option<f64> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 6e4,
            "h" => 3.6e6,
            "d" => 8.64e7,
            _ => 1.0,
        };
        number.parse::<f64>().ok().map(|n| n * unit)
    };
    size(old) < size(new)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::SourceFile;
    use crate::ruleset::expr::{self, Snippet};

    fn told(text: &str) -> String {
        let file = Arc::new(SourceFile { path: "x".to_owned(), text: text.to_owned() });
        let snippet = Snippet { file: &file, text: text.into(), places: Vec::new(), start: 0 };
        let mut problems = Vec::new();
        let ast = expr::parse(&snippet, &mut problems).expect("an expression");
        assert_eq!(problems, []);
        let line = |c: &Change| {
            let changed = format!("{}{}{}", &text[..c.span.start], c.with, &text[c.span.end..]);
            format!("{}\n    {}\n    {}\n", c.what, one_line(&changed), c.hint)
        };
        ast.changes().iter().map(line).collect()
    }

    #[test]
    fn every_constant_arm_and_not_is_changed_and_nothing_else() {
        insta::assert_snapshot!(told(
            "fails >= 8 and (0.2 * n > ok or not (asn in lists.nat))   # a comment\n\
             and device is not missing and asn not in lists.x and 5000 CNY <= amount\n\
             and s.share(2) > 0.5 and geo.accuracy_km ?? 100 < 24 and seen.age < 24h"
        ));
    }

    #[test]
    fn a_long_time_is_said_in_a_larger_unit() {
        let pairs = [("648m", "10.8h"), ("810s", "13.5m"), ("1584m", "26.4h"), ("54m", "54m"), ("99s", "99s")];
        for (text, said) in pairs.into_iter().chain([("101s", "101s"), ("500 CNY", "500 CNY"), ("450ms", "450ms")]) {
            assert_eq!(spoken(text), said);
        }
    }

    #[test]
    fn steps_are_one_of_whole_numbers_and_a_tenth_of_others() {
        use crate::event::{Currency, Money};
        assert_eq!(steps(&Value::Int(0)), ["-1", "1"]);
        assert_eq!(steps(&Value::Float(0.2)), ["0.18", "0.22"]);
        assert_eq!(steps(&Value::Float(3.0)), ["2.7", "3.3"]);
        assert_eq!(steps(&Value::Duration(36_000_000)), ["9h", "11h"]);
        assert_eq!(steps(&Value::Duration(1)), ["0ms", "2ms"]);
        let yen = Money { minor: 10_000, currency: Currency::parse("JPY").expect("a currency") };
        assert_eq!(steps(&Value::Money(yen)), ["9000 JPY", "11000 JPY"]);
        let cents = Money { minor: 123, currency: Currency::parse("USD").expect("a currency") };
        assert_eq!(steps(&Value::Money(cents)), ["1.11 USD", "1.35 USD"]);
        assert_eq!(steps(&Value::Bool(true)), Vec::<String>::new());
    }
}
