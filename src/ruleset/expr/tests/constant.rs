//! What is called never true, always true or of no use is so for every value that is tried, missing included.

mod random;

use std::cell::Cell as Counter;

use super::*;
use crate::event::Currency;
use crate::ruleset::constant::{Doubt, Judge, covers, findings};
use crate::ruleset::model::NamedAmount;

fn range(name: Name) -> (f64, f64) {
    match name {
        Name::Feature(0, _) | Name::AccountLogins => (0.0, f64::INFINITY),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// `amounts.large` and `amounts.small`.
fn amounts() -> Vec<NamedAmount> {
    let of = |name: &str, values: &[(&str, i64)]| {
        let values = values.iter().map(|(code, minor)| (Currency::parse(code).expect("a currency"), *minor));
        NamedAmount { name: name.to_owned(), values: values.collect() }
    };
    vec![of("large", &[("CNY", 500), ("USD", 900)]), of("small", &[("CNY", 300), ("USD", 500)])]
}

fn tree(world: &World, text: &str) -> (Ast, Typed) {
    let file = file("rules/test.yaml", text);
    let ast = parse(&snippet(&file), &mut Vec::new()).expect("a tree");
    let typed = check_condition(&ast, world, &mut Vec::new()).unwrap_or_else(|| panic!("{text}"));
    (ast, typed)
}

fn judged<R>(on: TypeSet, with: impl FnOnce(&Judge<'_>) -> R) -> R {
    with(&Judge { on, range: &range, amounts: &amounts(), let_in: &Default::default(), effort: &Counter::new(0) })
}

/// `never: text`, `always: text` or `no use: text` for each finding.
fn told(text: &str) -> Vec<String> {
    told_on(EventType::Login, text)
}

fn told_on(on: EventType, text: &str) -> Vec<String> {
    let world = World::on(&[on]);
    let (ast, typed) = tree(&world, text);
    let found = judged(world.on, |judge| findings(judge, &ast, &typed));
    let told = found.iter().map(|finding| match finding.doubt {
        Doubt::Never(_) => format!("never: {}", finding.at.text()),
        Doubt::Always(_) => format!("always: {}", finding.at.text()),
        Doubt::Implied(other) => format!("no use: {} beside {}", finding.at.text(), other.text()),
    });
    told.collect()
}

#[test]
fn what_one_name_decides_is_found() {
    let expected: &[(&str, &[&str])] = &[
        ("acct_fail_10m > 5 and acct_fail_10m < 3", &["never: acct_fail_10m > 5 and acct_fail_10m < 3"]),
        ("acct_fail_10m > 5 or acct_fail_10m > 3", &["no use: acct_fail_10m > 5 beside acct_fail_10m > 3"]),
        ("acct_fail_10m > 5 and acct_fail_10m > 3", &["no use: acct_fail_10m > 3 beside acct_fail_10m > 5"]),
        ("acct_fail_10m > 5 or acct_fail_10m <= 5", &["always: acct_fail_10m > 5 or acct_fail_10m <= 5"]),
        ("account.logins > 5 or account.logins <= 5", &[]),
        (
            "account.logins > 5 or not (account.logins > 5) or account.logins is missing",
            &["always: account.logins > 5 or not (account.logins > 5) or account.logins is missing"],
        ),
        ("acct_fail_10m < 0", &["never: acct_fail_10m < 0"]),
        ("acct_fail_10m >= 0", &["always: acct_fail_10m >= 0"]),
        ("account.logins >= 0", &[]),
        ("acct_fail_10m > 2 and acct_fail_10m < 3", &["never: acct_fail_10m > 2 and acct_fail_10m < 3"]),
        ("type == \"login\" and mfa", &["always: type == \"login\""]),
        ("type != \"login\" or mfa", &["never: type != \"login\""]),
        (
            "result == \"success\" and result == \"failure\"",
            &["never: result == \"success\" and result == \"failure\""],
        ),
        ("result in [\"success\", \"failure\"]", &["always: result in [\"success\", \"failure\"]"]),
        ("result is missing", &["never: result is missing"]),
        ("result is not missing", &["always: result is not missing"]),
        ("mfa is not missing", &[]),
        (
            "country == \"CN\" and country in [\"US\", \"DE\"]",
            &["never: country == \"CN\" and country in [\"US\", \"DE\"]"],
        ),
        ("hour(time, zone) > 23", &["never: hour(time, zone) > 23"]),
        ("mfa and (acct_fail_10m > 3 or mfa) and mfa", &["no use: mfa beside mfa"]),
        ("(mfa or loud) and acct_fail_10m > 3 and (mfa or loud)", &["no use: (mfa or loud) beside (mfa or loud)"]),
        (
            "acct_out_90d.mean > 5 CNY and acct_out_90d.mean < 3 CNY",
            &["never: acct_out_90d.mean > 5 CNY and acct_out_90d.mean < 3 CNY"],
        ),
        (
            "acct_out_90d.mean > 5 CNY and acct_out_90d.mean < 3 USD",
            &["never: acct_out_90d.mean > 5 CNY and acct_out_90d.mean < 3 USD"],
        ),
        ("acct_out_90d.mean > 5 CNY or acct_out_90d.mean > 3 USD", &[]),
        ("acct_device.age is missing or acct_device.age < 24h", &[]),
        ("acct_device.age is not missing and acct_device.age < 24h", &[]),
        (
            "(acct_device.age ?? 1h) < 24h or acct_device.age < 24h",
            &["no use: acct_device.age < 24h beside (acct_device.age ?? 1h) < 24h"],
        ),
        ("true", &[]),
        ("false", &["never: false"]),
        ("mfa and true", &["always: true"]),
        ("acct_fail_10m / 0 > 3", &["never: acct_fail_10m / 0 > 3"]),
        ("acct_fail_10m / (2 - 2) > 3 or mfa", &["never: acct_fail_10m / (2 - 2) > 3"]),
        ("acct_fail_10m / 0 + account.logins > 3", &["never: acct_fail_10m / 0 + account.logins > 3"]),
        ("(acct_fail_10m / 0 ?? 4) > 3", &["always: (acct_fail_10m / 0 ?? 4) > 3"]),
        ("acct_fail_10m * 100 < 0", &["never: acct_fail_10m * 100 < 0"]),
        ("acct_fail_10m - 3 < 0", &[]),
        ("3 - acct_fail_10m > 3", &["never: 3 - acct_fail_10m > 3"]),
        ("abs(acct_fail_10m - 3) < 0", &["never: abs(acct_fail_10m - 3) < 0"]),
        ("max(acct_fail_10m, 5) < 5", &["never: max(acct_fail_10m, 5) < 5"]),
        ("min(acct_fail_10m, 5) > 5", &["never: min(acct_fail_10m, 5) > 5"]),
        ("acct_fail_10m / (acct_fail_10m + 1) < 0", &["never: acct_fail_10m / (acct_fail_10m + 1) < 0"]),
        ("distance_km(geo, acct_last_ok.geo) > 20016", &["never: distance_km(geo, acct_last_ok.geo) > 20016"]),
        ("distance_km(geo, acct_last_ok.geo) > 20015", &[]),
        ("distance_km(geo, acct_last_ok.geo) - 30000 > 0", &["never: distance_km(geo, acct_last_ok.geo) - 30000 > 0"]),
        (
            "speed_kmh(geo, acct_last_ok.geo, acct_last_ok.age) < 0",
            &["never: speed_kmh(geo, acct_last_ok.geo, acct_last_ok.age) < 0"],
        ),
        ("speed_kmh(geo, acct_last_ok.geo, acct_last_ok.age) > 1000000", &[]),
        ("1 < 2 or mfa", &["always: 1 < 2"]),
        (
            "ip in lists.office_ips and ip not in lists.office_ips",
            &["never: ip in lists.office_ips and ip not in lists.office_ips"],
        ),
        ("loud and acct_fail_10m < 2", &["never: loud and acct_fail_10m < 2"]),
        ("not (acct_fail_10m > 5 and acct_fail_10m < 3)", &["never: (acct_fail_10m > 5 and acct_fail_10m < 3)"]),
    ];
    for (text, wanted) in expected {
        assert_eq!(told(text), *wanted, "{text}");
    }
}

#[test]
fn what_is_true_in_no_currency_is_found() {
    for never in [
        "acct_out_90d.mean > 5 CNY and amount > 7 USD",
        "amount > amounts.large and amount < amounts.small",
        "amount > 2 * amounts.large and amount < amounts.large",
        "acct_out_90d.mean > amounts.large and amount > 7 EUR",
        "not (amount > 5 CNY or amount <= 5 CNY)",
        "amounts.large < amounts.small",
        "amount > 5 CNY and amounts.large is missing",
        "(amount > 5 CNY or amount > 8 CNY and loud) and acct_out_90d.mean > 7 USD",
    ] {
        assert_eq!(told_on(EventType::Transfer, never), [format!("never: {never}")]);
    }
    let inner = "acct_fail_10m > 3 or (amount > 5 CNY and acct_out_90d.mean > 7 USD)";
    let part = "(amount > 5 CNY and acct_out_90d.mean > 7 USD)";
    assert_eq!(told_on(EventType::Transfer, inner), [format!("never: {part}")]);
    for sometimes in [
        "acct_out_90d.mean > 5 CNY and amount > 7 CNY",
        "acct_out_90d.mean > 5 CNY or amount > 7 USD",
        "amount > amounts.small and amount < amounts.large",
        "amount > 5 USD and amount < amounts.large",
        "amount > amounts.large and balance > 7 EUR",
        "amounts.large is missing and amount > 5 EUR",
        "(amounts.large ?? 5 EUR) < amount and amount < 6 EUR",
        "amount - acct_out_90d.mean > amounts.large",
    ] {
        assert_eq!(told_on(EventType::Transfer, sometimes), [""; 0], "{sometimes}");
    }
}

#[test]
fn an_exception_that_leaves_nothing() {
    let world = World::on(&[EventType::Login]);
    let covered = |exception: &str, when: &str| {
        let (exception, when) = (tree(&world, exception), tree(&world, when));
        judged(world.on, |judge| covers(judge, (&exception.0, &exception.1), (&when.0, &when.1)))
    };
    assert!(covered("acct_fail_10m >= 0", "mfa"));
    assert!(covered("acct_fail_10m > 3", "mfa and acct_fail_10m > 5"));
    assert!(covered("account in lists.vip or acct_fail_10m > 3", "acct_fail_10m > 5"));
    assert!(covered("country != \"CN\" and acct_fail_10m > 3", "country == \"US\" and acct_fail_10m > 4"));
    assert!(!covered("acct_fail_10m > 6", "acct_fail_10m > 5"));
    assert!(!covered("country != \"CN\"", "acct_fail_10m > 4"));
    assert!(!covered("account in lists.vip", "acct_fail_10m > 5"));
    assert!(!covered("mfa", "acct_fail_10m < 0"), "a rule that never fires is told as such");
}

#[test]
fn hostile_conditions_end_soon() {
    let world = World::on(&[EventType::Login]);
    let arms: Vec<String> = (0..300).map(|n| format!("acct_fail_10m > {n}")).collect();
    let nested = (0..50).fold("mfa".to_owned(), |all, n| format!("(acct_fail_10m > {n} or {all})"));
    for text in [arms.join(" or "), nested] {
        let (ast, typed) = tree(&world, &text);
        let effort = Counter::new(0);
        findings(
            &Judge { on: world.on, range: &range, amounts: &amounts(), let_in: &Default::default(), effort: &effort },
            &ast,
            &typed,
        );
        assert!(effort.get() < 5_000_000, "{} values tried", effort.get());
    }
}
