//! What conditions mean, one sentence each.

use std::net::IpAddr;

use super::*;
use crate::event::{Closed, Country, Currency, Money, Point};

fn money(minor: i64, code: &str) -> Value<'static> {
    Value::Money(Money { minor, currency: Currency::parse(code).expect("a currency") })
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_string().into())
}

/// (is true, is false) of a condition on a row with these values; everything else is missing.
fn both(on: &[EventType], expression: &str, values: &[(&str, Value<'static>)]) -> (bool, bool) {
    let world = World::on(on);
    let mut layout = Layout::default();
    let condition = compile(&typed(&world, expression), &mut layout, KEY);
    let opposite = compile(&typed(&world, &format!("not ({expression})")), &mut layout, KEY);
    let mut banks = Banks::empty(&layout);
    for (path, value) in values {
        let Some(Meaning::Value { name, ty, .. }) = world.name(path) else { panic!("{path}") };
        if let Some((_, _, cell)) = layout.cells().to_vec().iter().find(|(n, ..)| *n == name) {
            banks.set(ty, *cell, value);
        }
    }
    (condition.is_true(&banks.row()), opposite.is_true(&banks.row()))
}

const TRUE: (bool, bool) = (true, false);
const FALSE: (bool, bool) = (false, true);
const UNKNOWN: (bool, bool) = (false, false);

fn login(expression: &str, values: &[(&str, Value<'static>)]) -> (bool, bool) {
    both(&[EventType::Login], expression, values)
}

fn transfer(expression: &str, values: &[(&str, Value<'static>)]) -> (bool, bool) {
    both(&[EventType::Transfer], expression, values)
}

#[test]
fn unknown_is_neither_true_nor_false() {
    assert_eq!(login("device == \"d1\"", &[]), UNKNOWN);
    assert_eq!(login("device != \"d1\"", &[]), UNKNOWN);
    assert_eq!(login("not (device == \"d1\")", &[]), UNKNOWN);
    assert_eq!(login("device == \"d1\" or acct_fail_10m >= 0", &[("acct_fail_10m", Value::Int(1))]), TRUE);
    assert_eq!(login("device == \"d1\" and acct_fail_10m > 1", &[("acct_fail_10m", Value::Int(1))]), FALSE);
    assert_eq!(login("mfa", &[]), UNKNOWN);
    assert_eq!(login("(mfa == true) is missing", &[]), TRUE);
    assert_eq!(login("asn not in lists.carrier_nat", &[]), UNKNOWN);
    assert_eq!(login("device is missing", &[]), TRUE);
    assert_eq!(login("device is not missing", &[]), FALSE);
    assert_eq!(login("geo is missing and ip is missing and city is missing and asn is missing", &[]), TRUE);
}

#[test]
fn coalesce_decides_on_purpose() {
    assert_eq!(login("(geo.accuracy_km ?? 100) > 50", &[]), TRUE);
    assert_eq!(login("(geo.accuracy_km ?? 100) > 50", &[("geo.accuracy_km", Value::Float(20.0))]), FALSE);
    assert_eq!(login("(mfa ?? false)", &[]), FALSE);
    assert_eq!(login("(device ?? acct_last_ok.device) == \"x\"", &[]), UNKNOWN);
    assert_eq!(login("(country ?? \"GB\") == \"GB\"", &[]), TRUE);
    assert_eq!(login("(ip ?? \"192.0.2.1\") == \"192.0.2.1\"", &[]), TRUE);
    assert_eq!(transfer("(amount ?? 5 CNY) == 5.00 CNY", &[]), TRUE);
}

#[test]
fn amounts_of_two_currencies_do_not_compare() {
    let yuan = [("amount", money(500_000, "CNY"))];
    let dollars = [("amount", money(500_001, "USD"))];
    assert_eq!(transfer("amount >= 5000 CNY", &yuan), TRUE);
    assert_eq!(transfer("amount > 5000 CNY", &yuan), FALSE);
    assert_eq!(transfer("amount > 5000 CNY", &dollars), UNKNOWN);
    assert_eq!(transfer("amount != 5000 CNY", &dollars), UNKNOWN);
    assert_eq!(transfer("amount in [5000 CNY, 1 CNY]", &yuan), TRUE);
    assert_eq!(transfer("amount in [5000 CNY, 1 CNY]", &dollars), UNKNOWN);
    assert_eq!(transfer("amount not in [1 CNY]", &yuan), TRUE);
    assert_eq!(transfer("amount + 1 USD > 0 USD", &yuan), UNKNOWN);
    assert_eq!(transfer("amount - 5000 CNY == 0 CNY", &yuan), TRUE);
    assert_eq!(
        transfer("0.5 * amount == 2500 CNY and amount * 2 == 10000 CNY and amount / 2 == 2500 CNY", &yuan),
        TRUE
    );
    assert_eq!(transfer("amount / 2500 CNY == 2", &yuan), TRUE);
    assert_eq!(transfer("amount >= amounts.large", &[("amount", money(9, "EUR"))]), UNKNOWN);
    assert_eq!(transfer("min(amount, 1 CNY) == 1 CNY and max(amount, 1 CNY) == amount", &yuan), TRUE);
    assert_eq!(transfer("min(amount, 1 USD) == 1 USD", &yuan), UNKNOWN);
    assert_eq!(transfer("abs(0 CNY - amount) == amount and -amount < 0 CNY", &yuan), TRUE);
}

#[test]
fn a_constant_may_stand_first() {
    for (number, below, same) in [(2, FALSE, FALSE), (3, FALSE, TRUE), (4, TRUE, FALSE)] {
        let values = [("acct_fail_10m", Value::Int(number))];
        let above = if below == FALSE && same == FALSE { TRUE } else { FALSE };
        let or_same = |order: (bool, bool)| if same == TRUE { TRUE } else { order };
        assert_eq!(login("3 < acct_fail_10m", &values), below);
        assert_eq!(login("3 <= acct_fail_10m", &values), or_same(below));
        assert_eq!(login("3 > acct_fail_10m", &values), above);
        assert_eq!(login("3 >= acct_fail_10m", &values), or_same(above));
        assert_eq!(login("3 == acct_fail_10m", &values), same);
        assert_eq!(login("3 != acct_fail_10m", &values), (same.1, same.0));
    }
}

#[test]
fn division_by_zero_is_missing() {
    assert_eq!(
        transfer("amount / balance >= 0", &[("amount", money(1, "CNY")), ("balance", money(0, "CNY"))]),
        UNKNOWN
    );
    assert_eq!(login("1 / acct_fail_10m > 0", &[("acct_fail_10m", Value::Int(0))]), UNKNOWN);
    assert_eq!(login("(1 / acct_fail_10m) is missing", &[("acct_fail_10m", Value::Int(0))]), TRUE);
}

#[test]
fn speed_over_no_time_is_infinite_unless_at_rest() {
    let shanghai = Value::Geo(Point { latitude: 31.23, longitude: 121.47 });
    let lagos = Value::Geo(Point { latitude: 6.52, longitude: 3.37 });
    let trip = |to: &Value<'static>, hours: i64| {
        [
            ("geo", shanghai.clone()),
            ("acct_last_ok.geo", to.clone()),
            ("acct_last_ok.age", Value::Duration(hours * 3_600_000)),
        ]
    };
    let expression = "speed_kmh(geo, acct_last_ok.geo, acct_last_ok.age) > kmh";
    assert_eq!(login(expression, &trip(&lagos, 1)), TRUE);
    assert_eq!(login(expression, &trip(&lagos, 18)), FALSE);
    assert_eq!(login(expression, &trip(&lagos, 0)), TRUE);
    assert_eq!(login("speed_kmh(geo, acct_last_ok.geo, acct_last_ok.age) == 0", &trip(&shanghai, 0)), TRUE);
    assert_eq!(login(expression, &trip(&Value::Missing, 1)), UNKNOWN);
    assert_eq!(login("distance_km(geo, acct_last_ok.geo) > 11000", &trip(&lagos, 1)), TRUE);
    assert_eq!(login("geo != acct_last_ok.geo", &trip(&lagos, 1)), TRUE);
    assert_eq!(login("geo == acct_last_ok.geo", &trip(&shanghai, 1)), TRUE);
}

#[test]
fn a_def_is_one_value_and_not_text() {
    assert_eq!(login("loud and mfa", &[("acct_fail_10m", Value::Int(4)), ("mfa", Value::Bool(false))]), FALSE);
    assert_eq!(login("loud and mfa", &[("acct_fail_10m", Value::Int(2)), ("mfa", Value::Bool(true))]), TRUE);
    assert_eq!(login("new_device", &[]), TRUE);
    assert_eq!(login("new_device", &[("acct_device.age", Value::Duration(86_400_000))]), FALSE);
}

#[test]
fn lists_and_sets() {
    let ip = |ip: &str| [("ip", Value::Ip(ip.parse::<IpAddr>().expect("an address")))];
    assert_eq!(login("ip in lists.office_ips", &ip("198.51.100.7")), TRUE);
    assert_eq!(login("ip in lists.office_ips", &ip("198.51.101.7")), FALSE);
    assert_eq!(login("ip not in lists.office_ips", &ip("2001:db8:1:2::5")), FALSE);
    assert_eq!(login("ip in [\"198.51.100.7\", \"::1\"]", &ip("198.51.100.7")), TRUE);
    assert_eq!(login("ip != \"198.51.100.7\"", &ip("::ffff:198.51.100.7")), FALSE);
    assert_eq!(login("account in lists.vip", &[("account", text("a2"))]), TRUE);
    assert_eq!(login("account in lists.vip", &[("account", text("a3"))]), FALSE);
    assert_eq!(login("asn in lists.carrier_nat and asn == AS9808", &[("asn", Value::Asn(9808))]), TRUE);
    let iran = Value::Country(Country::parse("IR").expect("a country"));
    assert_eq!(login("country in lists.sanctioned and country in [\"IR\", \"kp\"]", &[("country", iran)]), TRUE);
    assert_eq!(login("reason in [\"timeout\", \"other\"]", &[("reason", Value::Word("other"))]), TRUE);
    let nine = "acct_fail_10m in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10.5]";
    assert_eq!(login(nine, &[("acct_fail_10m", Value::Int(9))]), TRUE);
    assert_eq!(login(nine, &[("acct_fail_10m", Value::Int(11))]), FALSE);
    assert_eq!(login(nine, &[]), UNKNOWN);
    let many = "device in [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\"]";
    assert_eq!(login(many, &[("device", text("i"))]), TRUE);
    assert_eq!(login(many, &[("device", text("j"))]), FALSE);
}

#[test]
fn texts() {
    let agent = [("user_agent", text("Mozilla/5.0 (iPhone) ÉTÉ"))];
    assert_eq!(login("starts_with(user_agent, \"Mozilla\")", &agent), TRUE);
    assert_eq!(login("ends_with(lower(user_agent), \"été\")", &agent), TRUE);
    assert_eq!(login("contains(user_agent, \"Android\")", &agent), FALSE);
    assert_eq!(login("contains(user_agent, \"Android\")", &[]), UNKNOWN);
    assert_eq!(login("matches(user_agent, \"iP(hone|ad)\")", &agent), TRUE);
    assert_eq!(login("matches(user_agent, \"^iP\")", &agent), FALSE);
    assert_eq!(login("lower(user_agent) == \"mozilla/5.0 (iphone) été\"", &agent), TRUE);
    assert_eq!(login("domain(login_name) == \"example.org\"", &[("login_name", text("a@b@EXAMPLE.org"))]), TRUE);
    assert_eq!(login("domain(login_name) is missing", &[("login_name", text("ann"))]), TRUE);
    assert_eq!(
        login("device == acct_last_ok.device", &[("device", text("d")), ("acct_last_ok.device", text("d"))]),
        TRUE
    );
    assert_eq!(login("device != acct_last_ok.device", &[("device", text("d"))]), UNKNOWN);
}

#[test]
fn clocks_on_the_wall() {
    // Thursday 2026-01-01T00:30:00Z is 08:30 in Shanghai and still Wednesday in New York.
    let values = |zone: &str| [("time", Value::Time(Millis(1_767_227_400_000))), ("zone", text(zone))];
    assert_eq!(login("hour(time, zone) == 8 and weekday(time, zone) == 4", &values("Asia/Shanghai")), TRUE);
    assert_eq!(login("weekday(time, zone) == 3 and day_of_month(time, zone) == 31", &values("America/New_York")), TRUE);
    assert_eq!(login("hour(time, zone) >= 0", &values("Mars/Olympus")), UNKNOWN);
    assert_eq!(login("hour(time, \"Asia/Shanghai\") == 8", &values("UTC")), TRUE);
    assert_eq!(login("time - acct_last_ok.time > 10m", &values("UTC")), UNKNOWN);
    assert_eq!(login("time - 30m < time and 2 * 15m == 30m and 1h / 2 == 30m and 1h / 30m == 2", &values("UTC")), TRUE);
}

#[test]
fn one_condition_may_hold_another() {
    let success = Value::Word(crate::event::Outcome::Success.word());
    assert_eq!(
        login("(result == \"success\") == mfa", &[("result", success.clone()), ("mfa", Value::Bool(true))]),
        TRUE
    );
    assert_eq!(login("(result == \"success\") != mfa", &[("result", success.clone())]), UNKNOWN);
    assert_eq!(login("((device is missing) == true) == (result == \"success\")", &[("result", success)]), TRUE);
}

#[test]
fn names_are_told_once_in_the_order_of_the_text() {
    let world = World::on(&[EventType::Login]);
    let tree = typed(&world, "ip == acct_last_ok.ip and (new_device or ip is missing) and ip in lists.office_ips");
    let names: Vec<Name> = tree.names().into_iter().map(|(name, _)| name).collect();
    let expected = [Name::Field(Field::Ip), Name::Feature(1, Part::Field(Field::Ip)), Name::Feature(2, Part::Age)];
    assert_eq!(names, expected);
    assert!(tree.reads_state() && tree.lists().len() == 1);
    assert!(!typed(&world, "ip in lists.office_ips").reads_state());
}

#[test]
fn the_deepest_tree_that_loads_is_evaluated() {
    let mut world = World::on(&[EventType::Login]);
    world.def("d1", &format!("{}mfa", "not ".repeat(60)));
    world.def("d2", &format!("{}d1", "not ".repeat(60)));
    world.def("d3", &format!("{}d2", "not ".repeat(60)));
    let mut layout = Layout::default();
    let condition = compile(&typed(&world, &format!("{}d3 == true", "not ".repeat(60))), &mut layout, KEY);
    let mut banks = Banks::empty(&layout);
    banks.set(Ty::Bool, layout.cells()[0].2, &Value::Bool(true));
    assert!(condition.is_true(&banks.row()));
}

#[test]
fn the_least_of_two_currencies_is_missing_and_said_to_be() {
    assert_eq!(transfer("min(amount, 1 USD) is missing", &[("amount", money(5, "CNY"))]), TRUE);
    let world = World::on(&[EventType::Transfer]);
    let can_be_missing = |text: &str| match typed(&world, text).node {
        Node::IsMissing(inner) => inner.nullable,
        other => panic!("{other:?}"),
    };
    assert!(can_be_missing("min(amount, 1 USD) is missing"));
    assert!(!can_be_missing("abs(amount) is missing"));
}
