//! Renders a described rule set as a rule file and a described event as a line of JSON: all that the engine gets.

use serde_json::{Value, json};

use super::describe::*;
use super::probe;

/// The tests that a live rule must have; this test does not run them.
pub const TESTS: &str =
    "[{name: n, given: {type: login, account: a, result: success}, events: [{expect: fire}, {expect: quiet}]}]";

/// The rule file.
pub fn rule_file(set: &RuleSet) -> String {
    let mut text = String::from("version: 1\n");
    let section = |text: &mut String, name: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("{name}:\n{}", lines.concat()));
        }
    };
    section(&mut text, "features", set.features.iter().map(feature).collect());
    section(&mut text, "lists", set.lists.iter().map(list).collect());
    section(&mut text, "amounts", set.amounts.iter().map(amount).collect());
    section(&mut text, "defs", set.defs.iter().map(|(name, e)| format!("  {name}: '{}'\n", expr(e))).collect());
    section(&mut text, "exceptions", set.exceptions.iter().map(|e| format!("  - {}\n", exception(e))).collect());
    text.push_str("defaults: {revision: 1, owner: t, severity: low, audience: [security], runbook: \"https://example.com\", explain: x}\n");
    let probes = if set.has_probes { probe::rules(set) } else { Vec::new() };
    section(&mut text, "rules", set.rules.iter().map(rule).chain(probes).collect());
    text
}

fn feature(f: &Feature) -> String {
    let name = match f.aggregate {
        Aggregate::Count => "count",
        Aggregate::Sum => "sum",
        Aggregate::Rate => "rate",
        Aggregate::Distinct => "distinct",
        Aggregate::Spread => "spread",
        Aggregate::Last => "last",
        Aggregate::FirstSeen => "first_seen",
        Aggregate::Stats => "stats",
        Aggregate::Share => "share",
        Aggregate::Decayed => "decayed",
        Aggregate::Habit => "habit",
        Aggregate::Baseline => "baseline",
    };
    let of: Vec<String> = f.kinds.iter().map(|k| f.field.map_or((*k).into(), |field| format!("{k}.{field}"))).collect();
    let mut text = format!("  {}: {{{name}: {}", f.name, names(&of));
    text += &filter(f.filter.as_ref());
    text += &format!(", by: {}", names(&f.by));
    let window = if f.aggregate == Aggregate::Decayed { "half_life" } else { "over" };
    text += &format!(", {window}: {}", span(f.over));
    if let Some(include) = f.include {
        text += if include { ", include: current" } else { ", include: prior" };
    }
    text + "}\n"
}

fn list(l: &List) -> String {
    let kind = if l.is_of_addresses { "ip" } else { "account" };
    let items: Vec<String> = l.items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("  {}: {{type: {kind}, owner: t, max_age: 3650d, items: [{}]}}\n", l.name, items.join(", "))
}

fn amount((name, parts): &(String, Vec<(&'static str, i64)>)) -> String {
    let parts: Vec<String> =
        parts.iter().map(|(currency, minor)| format!("{currency}: {}", decimal(*minor as f64))).collect();
    format!("  {name}: {{{}}}\n", parts.join(", "))
}

fn exception(e: &Exception) -> String {
    let day = jiff::Timestamp::from_second(e.expires * 86_400).expect("a day").strftime("%Y-%m-%d").to_string();
    format!("{{name: {}, when: '{}', reason: r, owner: t, expires: {day}}}", e.name, expr(&e.when))
}

fn rule(r: &Rule) -> String {
    let mut text = format!("  - id: {}\n    title: t\n    state: {}\n", r.id, r.state);
    let mut put = |key: &str, value: String| text += &format!("    {key}: {value}\n");
    match r.informs {
        true => put("inform", "true".into()),
        false => put("score", r.score.to_string()),
    }
    if let Some(group) = &r.group {
        put("group", group.clone());
    }
    if !r.params.is_empty() {
        let params: Vec<String> = r
            .params
            .iter()
            .map(|(name, value)| format!("{name}: {{value: {}, min: 0, max: 100}}", literal(value)))
            .collect();
        put("params", format!("{{{}}}", params.join(", ")));
    }
    match &r.trigger {
        Trigger::When(on, when) => {
            put("on", names(on));
            put("when", format!("'{}'", expr(when)));
        }
        Trigger::Sequence(s) => put("sequence", sequence(s)),
    }
    if !r.unless.is_empty() {
        let each: Vec<String> = r
            .unless
            .iter()
            .map(|u| match u {
                Unless::Shared(name) => name.clone(),
                Unless::Own(e) => exception(e),
            })
            .collect();
        put("unless", format!("[{}]", each.join(", ")));
    }
    if let Some(dedup) = &r.dedup {
        put("dedup", format!("{{by: {}, for: {}}}", names(&dedup.by), span(dedup.lasts)));
    }
    put("tests", TESTS.into());
    text
}

fn sequence(s: &Sequence) -> String {
    let arm = |a: &Arm, more: String| format!("{{on: {}{more}{}}}", names(&a.kinds), filter(a.filter.as_ref()));
    let steps: Vec<String> = s.steps.iter().map(|(alias, a)| arm(a, format!(", as: {alias}"))).collect();
    let mut text = format!("{{by: {}, within: {}, steps: [{}]", names(&s.by), span(s.within), steps.join(", "));
    if !s.without.is_empty() {
        let without: Vec<String> = s.without.iter().map(|a| arm(a, String::new())).collect();
        text += &format!(", without: [{}]", without.join(", "));
    }
    if !s.absent.is_empty() {
        let absent: Vec<String> = s.absent.iter().map(|(a, w)| arm(a, format!(", within: {}", span(*w)))).collect();
        text += &format!(", absent: [{}]", absent.join(", "));
    }
    text + "}"
}

fn filter(filter: Option<&Expr>) -> String {
    filter.map_or(String::new(), |e| format!(", where: '{}'", expr(e)))
}

fn names<N: AsRef<str>>(names: &[N]) -> String {
    match names {
        [one] => one.as_ref().to_owned(),
        more => format!("[{}]", more.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")),
    }
}

fn expr(e: &Expr) -> String {
    let join = |arms: &[Expr], word: &str| {
        let arms: Vec<String> = arms.iter().map(expr).collect();
        format!("({})", arms.join(word))
    };
    let not = |n: bool| if n { "not " } else { "" };
    match e {
        Expr::All(arms) => join(arms, " and "),
        Expr::Any(arms) => join(arms, " or "),
        Expr::Not(arm) => format!("not ({})", expr(arm)),
        Expr::Compare(a, op, b) => {
            let op = match op {
                Op::Eq => "==",
                Op::Ne => "!=",
                Op::Lt => "<",
                Op::Le => "<=",
                Op::Gt => ">",
                Op::Ge => ">=",
            };
            format!("{} {op} {}", term(a), term(b))
        }
        Expr::In(a, n, values) => {
            let values: Vec<String> = values.iter().map(literal).collect();
            format!("{} {}in [{}]", term(a), not(*n), values.join(", "))
        }
        Expr::InList(a, n, list) => format!("{} {}in lists.{list}", term(a), not(*n)),
        Expr::IsMissing(a) => format!("{} is missing", term(a)),
        Expr::IsNotMissing(a) => format!("{} is not missing", term(a)),
        Expr::Def(name) => name.clone(),
    }
}

pub fn term(t: &Term) -> String {
    match t {
        Term::Field(name) => (*name).into(),
        Term::Feature(name, part) if part.is_empty() => name.clone(),
        Term::Feature(name, part) => format!("{name}.{part}"),
        Term::Account(part) => format!("account.{part}"),
        Term::Alias(alias, field) => format!("{alias}.{field}"),
        Term::Literal(value) => literal(value),
        Term::Param(name, _) => name.clone(),
        Term::Amount(name) => format!("amounts.{name}"),
        Term::Else(a, b) => format!("({} ?? {})", term(a), term(b)),
        Term::Times(n, a) => format!("{n} * {}", term(a)),
    }
}

fn literal(value: &Val) -> String {
    match value {
        Val::Missing => unreachable!("no literal is missing"),
        Val::Number(n) => n.to_string(),
        Val::Money(minor, currency) => format!("{} {currency}", decimal(*minor)),
        Val::Span(ms) => span(*ms as Ms),
        Val::Word(word) => format!("\"{word}\""),
    }
}

fn span(ms: Ms) -> String {
    assert_eq!(ms % SECOND, 0, "the language's smallest unit");
    if ms % MINUTE == 0 { format!("{}m", ms / MINUTE) } else { format!("{}s", ms / SECOND) }
}

/// Minor units as a decimal; every currency used here has two places.
pub fn decimal(minor: f64) -> String {
    let minor = minor as i64;
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// The line of a record.
pub fn line(record: &Record) -> String {
    let (event, is_refused) = match record {
        Record::Event(event) => (event, false),
        Record::Refused(event) => (event, true),
    };
    let mut json = json!({"id": event.id, "type": event.kind, "time": event.time});
    if event.count != 1 {
        json["count"] = event.count.into();
    }
    for (name, value) in &event.fields {
        match (*name, value) {
            // These follow from others.
            ("hour" | "weekday" | "reason_class", _) => {}
            ("country", Val::Word(country)) => json["geo"] = json!({"country": country}),
            (name, Val::Word(word)) => json[name] = word.as_str().into(),
            (name, Val::Money(minor, currency)) => {
                json[name] = decimal(*minor).into();
                json["currency"] = Value::from(*currency);
            }
            (name, other) => unreachable!("{name} is {other:?}"),
        }
    }
    if is_refused {
        json["count"] = 0.into();
    }
    json.to_string()
}
