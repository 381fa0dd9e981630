//! The shipped pack: it loads without a word, and each detection it is to have is a rule with tests.

use walletwatch::event::Millis;
use walletwatch::report;
use walletwatch::ruleset::{self, HashKey, Loaded, Sources};

/// What the pack is to find at logins and with money, and the rules that do.
const ROWS: &[(&str, &[&str])] = &[
    ("brute-force-account", &["brute-force-account", "brute-force-quick"]),
    ("brute-force-slow", &["brute-force-slow"]),
    ("brute-force-many-sources", &["brute-force-many-sources"]),
    ("spray-one-source", &["spray-one-source"]),
    ("stuffing-one-source", &["stuffing-one-source"]),
    ("stuffing-carrier-nat", &["stuffing-carrier-nat"]),
    ("slow-one-source", &["slow-one-source"]),
    ("distributed-spray", &["distributed-spray"]),
    ("user-enumeration", &["user-enumeration", "user-enumeration-device"]),
    ("success-after-attack", &["success-after-attack"]),
    ("impossible-travel", &["impossible-travel", "impossible-travel-guarded"]),
    ("new-country / new-asn / new-device / new-subnet", &["new-country", "new-asn", "new-device", "new-subnet"]),
    ("anonymiser", &["anonymiser"]),
    ("unusual-hour", &["unusual-hour"]),
    ("dormant-wakes", &["dormant-wakes"]),
    ("device-many-accounts", &["device-many-accounts"]),
    ("session-moves", &["session-moves"]),
    ("mfa-bombing", &["mfa-bombing", "mfa-bombing-accepted"]),
    ("code-guessing", &["code-guessing"]),
    ("code-flood", &["code-flood", "code-flood-address"]),
    ("mfa-removed", &["mfa-removed"]),
    ("reset-abuse", &["reset-abuse", "reset-abuse-address"]),
    ("reset-then-takeover", &["reset-then-takeover"]),
    ("lockout-storm", &["lockout-storm", "lockout-again"]),
    ("locked-by-another", &["locked-by-another"]),
    ("user-reports", &["user-reports"]),
    ("takeover-drain", &["takeover-drain", "takeover-drain-reset"]),
    ("amount-above-habit", &["amount-above-habit"]),
    ("velocity-count / velocity-sum", &["velocity-count", "velocity-sum"]),
    ("emptying", &["emptying"]),
    ("new-payee-large", &["new-payee-large"]),
    ("limit-raised-used", &["limit-raised-used"]),
    ("first-money-from-new-device", &["first-money-from-new-device"]),
    ("test-then-take", &["test-then-take"]),
    ("structuring", &["structuring"]),
    ("fan-in", &["fan-in"]),
    ("pass-through", &["pass-through", "pass-through-again"]),
    ("card-testing", &["card-testing", "card-testing-merchant"]),
    ("same-amount-burst", &["same-amount-burst"]),
];

fn pack() -> Loaded {
    ruleset::load(&Sources::builtin(), HashKey::new([7; 16]), None)
        .unwrap_or_else(|problems| panic!("{}", report::render(&problems, false)))
}

#[test]
fn the_shipped_pack_loads_without_a_warning() {
    let loaded = pack();
    assert_eq!(report::render(&loaded.ruleset.warnings, false), "");
    // Their age is a metric, and an alert when they are stale.
    for list in &loaded.ruleset.lists {
        assert!(list.as_of.is_some(), "`{}` says no `# as of`", list.name);
    }
    let later = Millis::parse("2026-12-31T00:00:00Z");
    let old = ruleset::load(&Sources::builtin(), HashKey::new([7; 16]), later).expect("the pack");
    assert_eq!(report::render(&old.ruleset.warnings, false), "", "nobody can renew what is compiled in");
    let running = loaded.ruleset.rules.iter().filter(|rule| rule.state != ruleset::State::Draft);
    let ids: Vec<&str> = running.map(|rule| rule.id.as_str()).collect();
    let shipped = [
        "anonymiser",
        "brute-force-account",
        "brute-force-many-sources",
        "first-money-from-new-device",
        "impossible-travel",
        "new-device-new-country",
        "new-payee-large",
        "password-spray-ip",
        "velocity-sum",
    ];
    assert_eq!(ids, shipped);
    for rule in &loaded.ruleset.rules {
        assert!(!rule.attack.is_empty() && !rule.owner.is_empty() && !rule.tests.is_empty(), "{}", rule.id);
        let for_user = rule.audience.contains(&ruleset::Audience::User);
        let band = loaded.policy.bands.of(rule.score);
        assert!(!for_user || band >= Some(ruleset::Band::Medium), "{} is told to users", rule.id);
    }
}

#[test]
fn every_detection_at_logins_and_with_money_is_a_rule_with_tests() {
    let loaded = pack();
    for (row, ids) in ROWS {
        for id in *ids {
            let rule = loaded.ruleset.rules.iter().find(|rule| rule.id == *id);
            let rule = rule.unwrap_or_else(|| panic!("{row}: there is no rule `{id}`"));
            let expects = |wanted: &[ruleset::Expect]| {
                let mut entries = rule.tests.iter().filter(|test| !test.todo).flat_map(|test| &test.entries);
                entries.any(|entry| entry.expect.is_some_and(|expect| wanted.contains(&expect)))
            };
            assert!(expects(&[ruleset::Expect::Fire, ruleset::Expect::FireLast]), "{id}: no test that fires");
            assert!(expects(&[ruleset::Expect::Quiet]), "{id}: no test that stays quiet");
        }
    }
    let known = |id: &str| ROWS.iter().any(|(_, ids)| ids.contains(&id));
    let besides: Vec<&str> = loaded.ruleset.rules.iter().map(|rule| rule.id.as_str()).filter(|id| !known(id)).collect();
    // The first form of spray-one-source, and one that is stronger than two of the news together.
    assert_eq!(besides, ["new-device-new-country", "password-spray-ip"]);
}

#[test]
fn what_looks_like_laundering_is_never_told_to_the_user() {
    let loaded = pack();
    let laundering: Vec<_> = loaded.ruleset.rules.iter().filter(|rule| rule.group == "laundering").collect();
    assert_eq!(laundering.len(), 4);
    assert!(laundering.iter().all(|rule| rule.audience == [ruleset::Audience::Security]));
}

#[test]
fn the_designs_three_rules_are_shipped_unchanged_but_for_params_and_more_tests() {
    // A param has the value that stood in its place.
    let shipped = include_str!("../../rules/logins.yaml")
        .lines()
        .filter(|line| *line != "    params:" && !(line.starts_with("      ") && line.contains(": {value: ")))
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .replace("acct_fail_10m >= failures", "acct_fail_10m >= 8")
        .replace("ip_fail_accounts_15m >= accounts", "ip_fail_accounts_15m >= 10")
        .replace("ip_fail_accounts_15m >= carrier_accounts", "ip_fail_accounts_15m >= 40")
        .replace("> far_km +", "> 500 +")
        .replace("> kmh\n", "> 900\n");
    let shipped = shipped.as_str();
    let example = include_str!("../data/rules/takeover.yaml");
    let rules = |text: &str| -> Vec<String> {
        let (_, rules) = text.split_once("\nrules:\n").expect("rules");
        rules.split("\n  - id: ").map(|rule| rule.trim().to_owned()).collect()
    };
    assert_eq!(rules(shipped).len(), 3);
    for (shipped, example) in rules(shipped).iter().zip(rules(example)) {
        let more = shipped.strip_prefix(&example).expect("the rule and its tests come first");
        assert!(more.starts_with("\n      - name: "), "tests, and nothing but tests, follow: {more}");
    }
}
