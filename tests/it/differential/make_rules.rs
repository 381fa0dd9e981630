//! Makes rule sets: each value gets a threshold at its edge, each rule one to three arms.

use super::describe::*;
use super::make::Dice;
use super::make_sequence;

/// The day on which most streams begin, days since 1970.
const DAY: i64 = 20_513;
/// Event types that rules look at.
pub const KINDS: [&str; 5] = ["login", "transfer", "payment", "mfa", "password_reset"];
pub const MONEY: [&str; 2] = ["transfer", "payment"];
const WINDOWS: [Ms; 5] = [MINUTE, 90 * SECOND, 5 * MINUTE, 10 * MINUTE, 60 * MINUTE];
/// Where an average lies only by chance, minor units.
const BETWEEN: [f64; 4] = [1337.0, 3713.0, 7319.0, 23_711.0];

pub fn rules(dice: &mut Dice) -> RuleSet {
    let mut set = RuleSet {
        lists: vec![
            List {
                name: "nets".into(),
                is_of_addresses: true,
                items: vec!["2001:db8:1:1::/64".into(), "2001:db8:1:2::5".into(), "198.51.100.0/24".into()],
            },
            List { name: "known".into(), is_of_addresses: false, items: vec!["a1".into()] },
        ],
        amounts: vec![("big".into(), vec![("CNY", 5000), ("USD", 2000)])],
        ..RuleSet::default()
    };
    let ids: Vec<String> = (0..2 + dice.below(5)).map(|i| format!("r{i}")).collect();
    for i in 0..2 + dice.below(6) {
        let feature = feature(dice, format!("f{i}"), &ids);
        set.features.push(feature);
    }
    if dice.once_in(2) {
        let def = condition(dice, &set, &KINDS, &[], 2);
        set.defs.push(("usual".into(), def));
    }
    if dice.once_in(2) {
        let shared = exception(dice, &set, &KINDS, &[], "shared");
        set.exceptions.push(shared);
    }
    for id in ids {
        let rule = rule(dice, &set, id);
        set.rules.push(rule);
    }
    set.has_probes = dice.once_in(6);
    set
}

/// One to three types that can stand together; all with a payee where the key needs one.
fn some_kinds(dice: &mut Dice, from: &[&'static str]) -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> = from.iter().copied().filter(|_| dice.once_in(2)).collect();
    if kinds.is_empty() {
        kinds.push(dice.pick(from));
    }
    kinds
}

fn feature(dice: &mut Dice, name: String, rules: &[String]) -> Feature {
    use Aggregate::*;
    let aggregate = dice
        .pick(&[Count, Count, Sum, Rate, Distinct, Spread, Last, FirstSeen, Stats, Share, Decayed, Habit, Baseline]);
    if matches!(aggregate, Count | Last | Decayed | FirstSeen) && dice.once_in(4) {
        return of_findings(dice, name, aggregate, rules);
    }
    let by = dice.pick(&[
        vec!["account"],
        vec!["account"],
        vec!["account"],
        vec!["ip"],
        vec!["device"],
        vec!["subnet"],
        vec!["all"],
        vec!["payee"],
        vec!["account", "payee"],
        vec!["account", "device"],
        vec!["country"],
        vec!["account", "ip"],
    ]);
    // It is large, so only what there are few of may have one.
    let by = if aggregate == Baseline { dice.pick(&[vec!["all"], vec!["country"]]) } else { by };
    let of_money = matches!(aggregate, Sum | Stats) || by.contains(&"payee");
    let kinds = some_kinds(dice, if of_money { &MONEY } else { &KINDS });
    let field = match aggregate {
        Sum | Stats => Some("amount"),
        Distinct => Some(dice.pick(&["ip", "device", "country", "account", "hour", "weekday", "channel", "session"])),
        Spread => Some(dice.pick(&["account", "device", "ip", "channel", "session"])),
        Habit => Some(dice.pick(&["ip", "device", "country", "hour", "weekday", "channel", "session"])),
        _ => None,
    };
    let is_filtered = aggregate == Share || dice.once_in(2);
    let filter = is_filtered.then(|| combine(dice, |dice| field_atom(dice, &kinds), 2));
    let include = dice.once_in(4).then(|| dice.once_in(2));
    Feature { name, aggregate, kinds, field, filter, by, over: dice.pick(&WINDOWS), include }
}

fn of_findings(dice: &mut Dice, name: String, aggregate: Aggregate, rules: &[String]) -> Feature {
    let rule = |id: String| Expr::Compare(Term::Field("rule"), Op::Eq, Term::Literal(Val::word(id)));
    let score = |n: f64| Expr::Compare(Term::Field("score"), Op::Ge, Term::Literal(Val::Number(n)));
    let filter = match dice.below(3) {
        0 => None,
        1 => Some(rule(dice.pick(rules))),
        _ => Some(score(dice.pick(&[10.0, 30.0, 50.0]))),
    };
    let by = dice.pick(&[vec!["account"], vec!["ip"], vec!["account", "device"], vec!["all"]]);
    Feature {
        name,
        aggregate,
        kinds: vec!["finding"],
        field: None,
        filter,
        by,
        over: dice.pick(&WINDOWS),
        include: None,
    }
}

/// One to so many arms under `and`, `or`, `not`.
fn combine(dice: &mut Dice, mut atom: impl FnMut(&mut Dice) -> Expr, most: usize) -> Expr {
    let mut arms: Vec<Expr> = Vec::new();
    for _ in 0..1 + dice.below(most) {
        let arm = atom(dice);
        arms.push(if dice.once_in(6) { Expr::Not(Box::new(arm)) } else { arm });
    }
    match (arms.len(), dice.once_in(2)) {
        (1, _) => arms.remove(0),
        (_, true) => Expr::All(arms),
        (_, false) => Expr::Any(arms),
    }
}

/// A condition over fields, features, `account.…`, defs and aliases.
pub fn condition(dice: &mut Dice, set: &RuleSet, kinds: &[&'static str], aliases: &[String], most: usize) -> Expr {
    // A feature whose entity a type does not have is an error.
    let has_payee = kinds.iter().all(|kind| MONEY.contains(kind));
    let has_money = has_payee;
    let usable: Vec<Feature> = set
        .features
        .iter()
        .filter(|f| has_payee || !f.by.contains(&"payee"))
        .filter(|f| has_money || !matches!(f.aggregate, Aggregate::Sum | Aggregate::Stats))
        .cloned()
        .collect();
    combine(
        dice,
        |dice| match dice.below(10) {
            0..=5 if !usable.is_empty() => {
                let feature = dice.pick(&usable);
                feature_atom(dice, &feature, has_money)
            }
            6 => account_atom(dice),
            7 if !set.defs.is_empty() => Expr::Def("usual".into()),
            8 | 9 if !aliases.is_empty() => make_sequence::alias_atom(dice, aliases),
            _ => field_atom(dice, kinds),
        },
        most,
    )
}

fn any_op(dice: &mut Dice) -> Op {
    dice.pick(&[Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::Ge, Op::Ge])
}

fn word(field: &'static str, word: &str) -> Expr {
    Expr::Compare(Term::Field(field), Op::Eq, Term::Literal(Val::word(word)))
}

/// A condition over fields that all these types have.
pub fn field_atom(dice: &mut Dice, kinds: &[&'static str]) -> Expr {
    let all = |of: &[&str]| kinds.iter().all(|kind| of.contains(kind));
    if all(&MONEY) && dice.once_in(2) {
        return money_atom(dice);
    }
    if all(&["login", "mfa"]) && dice.once_in(2) {
        return word("result", dice.pick(&["success", "failure"]));
    }
    if all(&["login"]) && dice.once_in(4) {
        return word("reason_class", "credential");
    }
    if all(&["password_reset"]) && dice.once_in(2) {
        return if dice.once_in(2) { word("stage", "completed") } else { word("via", "call_center") };
    }
    let text = |values: &[&str]| values.iter().map(|v| Val::word(*v)).collect();
    match dice.below(8) {
        0 => Expr::IsMissing(Term::Field(dice.pick(&["device", "ip", "country"]))),
        1 => Expr::InList(Term::Field("ip"), dice.once_in(2), "nets".into()),
        2 => Expr::InList(Term::Field("account"), dice.once_in(2), "known".into()),
        3 => Expr::In(Term::Field("channel"), dice.once_in(2), text(&["app", "web"])),
        4 => word("country", dice.pick(&["CN", "NO"])),
        5 => Expr::In(Term::Field("country"), dice.once_in(2), text(&["CN", "NG"])),
        6 => Expr::Compare(Term::Field("count"), dice.pick(&[Op::Ge, Op::Lt]), Term::Literal(Val::Number(2.0))),
        _ => word("channel", dice.pick(&["app", "api"])),
    }
}

fn money_atom(dice: &mut Dice) -> Expr {
    let amount = || Term::Field("amount");
    match dice.below(5) {
        0 => Expr::Compare(
            amount(),
            any_op(dice),
            Term::Literal(Val::Money(dice.pick(&[2000.0, 5000.0, 10_000.0]), dice.pick(&["CNY", "USD"]))),
        ),
        1 => Expr::Compare(amount(), dice.pick(&[Op::Ge, Op::Lt]), Term::Amount("big".into())),
        2 => Expr::Compare(amount(), Op::Gt, Term::Times(2.0, Box::new(Term::Field("balance")))),
        3 => Expr::In(Term::Field("status"), dice.once_in(3), vec![Val::word("requested"), Val::word("completed")]),
        _ => Expr::IsMissing(Term::Field("payee")),
    }
}

fn account_atom(dice: &mut Dice) -> Expr {
    match dice.below(4) {
        0 => Expr::Compare(
            Term::Account("risk"),
            dice.pick(&[Op::Gt, Op::Lt]),
            Term::Literal(Val::Number(dice.pick(&[9.37, 31.7, 61.3, 121.3]))),
        ),
        1 => Expr::Compare(
            Term::Account("known_for"),
            any_op(dice),
            Term::Literal(Val::Span(dice.pick(&WINDOWS) as f64)),
        ),
        2 => Expr::IsMissing(Term::Account("known_for")),
        _ => Expr::Compare(Term::Account("logins"), any_op(dice), Term::Literal(Val::Number(dice.below(4) as f64))),
    }
}

/// A part of a feature against a threshold where it matters.
fn feature_atom(dice: &mut Dice, f: &Feature, has_money: bool) -> Expr {
    use Aggregate::*;
    let part = |part: &str| Term::Feature(f.name.clone(), part.into());
    let than = |a: Term, op: Op, value: Val| Expr::Compare(a, op, Term::Literal(value));
    let either = |dice: &mut Dice| dice.pick(&[Op::Gt, Op::Lt]);
    let few = |dice: &mut Dice| Val::Number(dice.below(5) as f64);
    let some_part = |dice: &mut Dice| Val::Number(dice.pick(&[0.2137, 0.3713, 0.6137]));
    let age = |dice: &mut Dice, part: Term| match dice.below(4) {
        0 => Expr::IsMissing(part),
        1 => Expr::IsNotMissing(part),
        2 => than(Term::Else(Box::new(part), Box::new(Term::Literal(Val::Span(0.0)))), Op::Ge, Val::Span(60_000.0)),
        _ => than(part, any_op(dice), Val::Span(dice.pick(&WINDOWS) as f64)),
    };
    match f.aggregate {
        Count | Distinct => than(part(""), any_op(dice), few(dice)),
        Rate => {
            let times = dice.below(4) as f64 + 0.37;
            than(part(""), either(dice), Val::Number(times * MINUTE as f64 / f.over as f64))
        }
        Sum if dice.once_in(4) => Expr::Compare(part(""), Op::Ge, Term::Amount("big".into())),
        Sum => than(
            part(""),
            any_op(dice),
            Val::Money(dice.pick(&[2000.0, 5000.0, 10_000.0, 12_000.0, 20_000.0]), dice.pick(&["CNY", "CNY", "USD"])),
        ),
        Share if dice.once_in(4) => Expr::IsMissing(part("")),
        Share => than(part(""), either(dice), some_part(dice)),
        Decayed => than(part(""), either(dice), Val::Number(dice.pick(&[0.0137, 0.4937, 1.0137, 1.4937, 2.7137]))),
        Spread => match dice.below(3) {
            0 => than(part("keys"), any_op(dice), few(dice)),
            1 => than(part("max_per_key"), any_op(dice), few(dice)),
            _ => than(part(&format!("share({})", 1 + dice.below(2))), either(dice), some_part(dice)),
        },
        FirstSeen => age(dice, part("age")),
        Last if f.kinds == ["finding"] => match dice.below(3) {
            0 => Expr::Compare(part("device"), Op::Eq, Term::Field("device")),
            1 => than(part("score"), any_op(dice), Val::Number(30.0)),
            _ => age(dice, part("age")),
        },
        Last => match dice.below(5) {
            0 => Expr::Compare(part("device"), dice.pick(&[Op::Eq, Op::Ne]), Term::Field("device")),
            1 => Expr::Compare(part("ip"), dice.pick(&[Op::Eq, Op::Ne]), Term::Field("ip")),
            2 if has_money && f.kinds.iter().all(|kind| MONEY.contains(kind)) => {
                Expr::Compare(part("amount"), Op::Lt, Term::Field("amount"))
            }
            3 => Expr::IsMissing(part("country")),
            _ => age(dice, part("age")),
        },
        Stats => match dice.below(6) {
            0 => than(part("count"), any_op(dice), Val::Number(1.0 + dice.below(3) as f64)),
            1 => Expr::Compare(Term::Field("amount"), Op::Gt, Term::Times(1.37, Box::new(part("mean")))),
            2 => Expr::IsMissing(part("mean")),
            n => {
                let part = part(dice.pick(&[["mean", "stddev"], ["p50", "p95"], ["max", "mean"]][n - 3]));
                than(part, either(dice), Val::Money(dice.pick(&BETWEEN), dice.pick(&["CNY", "USD"])))
            }
        },
        Baseline => match dice.below(4) {
            0 => than(part("now"), any_op(dice), few(dice)),
            1 => Expr::IsMissing(part("mean")),
            2 => than(part("mean"), either(dice), Val::Number(dice.pick(&[0.137, 0.737, 1.37]))),
            _ => {
                than(part(dice.pick(&["ratio", "stddev"])), either(dice), Val::Number(dice.pick(&[0.737, 1.37, 2.37])))
            }
        },
        Habit => match dice.below(4) {
            0 => than(part("share"), either(dice), some_part(dice)),
            1 => than(part("count"), any_op(dice), few(dice)),
            2 => than(part("total"), any_op(dice), few(dice)),
            _ => Expr::IsMissing(part("share")),
        },
    }
}

fn exception(dice: &mut Dice, set: &RuleSet, kinds: &[&'static str], aliases: &[String], name: &str) -> Exception {
    let when = match dice.once_in(2) {
        true => condition(dice, set, kinds, aliases, 1),
        false => field_atom(dice, kinds),
    };
    Exception { name: name.into(), when, expires: dice.pick(&[DAY - 1, DAY, 25_000]) }
}

fn rule(dice: &mut Dice, set: &RuleSet, id: String) -> Rule {
    let mut params = Vec::new();
    let (trigger, kinds) = if dice.once_in(3) {
        make_sequence::sequence(dice, set)
    } else {
        let on = some_kinds(dice, &KINDS);
        let mut when = condition(dice, set, &on, &[], 3);
        if dice.once_in(4) {
            let value = Val::Number(dice.below(3) as f64);
            params.push(("least".into(), value.clone()));
            let arm = Expr::Compare(Term::Account("logins"), Op::Ge, Term::Param("least".into(), value));
            when = Expr::Any(vec![when, arm]);
        }
        (Trigger::When(on.clone(), when), on)
    };
    let aliases: Vec<String> = match &trigger {
        Trigger::Sequence(s) => s.steps.iter().map(|(alias, _)| alias.clone()).collect(),
        Trigger::When(..) => Vec::new(),
    };
    let mut unless = Vec::new();
    if dice.once_in(3) {
        unless.push(Unless::Own(exception(dice, set, &kinds, &aliases, "own")));
    }
    if !set.exceptions.is_empty() && dice.once_in(3) {
        unless.push(Unless::Shared("shared".into()));
    }
    let dedup = dice.once_in(2).then(|| {
        let by = dice.pick(&[vec!["account"], vec!["account"], vec!["ip"], vec!["account", "device"], vec!["device"]]);
        Dedup { by, lasts: dice.pick(&WINDOWS) }
    });
    let informs = dice.once_in(10);
    Rule {
        id,
        informs,
        state: dice.pick(&["live", "live", "live", "live", "live", "shadow", "draft", "off"]),
        score: if informs { 0 } else { dice.pick(&[0, 10, 29, 30, 45, 50, 65, 70, 95, 100]) },
        group: dice.pick(&[None, Some("g1"), Some("g2")]).map(Into::into),
        trigger,
        unless,
        dedup,
        params,
    }
}
