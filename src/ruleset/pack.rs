//! The shipped pack, compiled in: `rules/` as it was when the program was built.
//!
//! Guarantees: every rule file, list and runbook of `rules/` stands here; a test compares. Does not load it.

/// The texts, by their path below the rules directory.
pub const FILES: &[(&str, &str)] = &[
    ("factors.yaml", include_str!("../../rules/factors.yaml")),
    ("flows.yaml", include_str!("../../rules/flows.yaml")),
    ("guessing-many-accounts.yaml", include_str!("../../rules/guessing-many-accounts.yaml")),
    ("guessing-one-account.yaml", include_str!("../../rules/guessing-one-account.yaml")),
    ("guessing.yaml", include_str!("../../rules/guessing.yaml")),
    ("habits.yaml", include_str!("../../rules/habits.yaml")),
    ("journeys.yaml", include_str!("../../rules/journeys.yaml")),
    ("lists/tor_exits.txt", include_str!("../../rules/lists/tor_exits.txt")),
    ("locks.yaml", include_str!("../../rules/locks.yaml")),
    ("logins.yaml", include_str!("../../rules/logins.yaml")),
    ("money.yaml", include_str!("../../rules/money.yaml")),
    ("new-places.yaml", include_str!("../../rules/new-places.yaml")),
    ("payments.yaml", include_str!("../../rules/payments.yaml")),
    ("policy.yaml", include_str!("../../rules/policy.yaml")),
    ("resets.yaml", include_str!("../../rules/resets.yaml")),
    ("sessions.yaml", include_str!("../../rules/sessions.yaml")),
    ("takeover.yaml", include_str!("../../rules/takeover.yaml")),
];

/// The runbooks. Rules name them; people read them in `rules/`, or where `rules eject` has put them.
pub const RUNBOOKS: &[(&str, &str)] = &[
    ("runbooks/amount-above-habit.md", include_str!("../../rules/runbooks/amount-above-habit.md")),
    ("runbooks/anonymiser.md", include_str!("../../rules/runbooks/anonymiser.md")),
    ("runbooks/brute-force-many-sources.md", include_str!("../../rules/runbooks/brute-force-many-sources.md")),
    ("runbooks/brute-force.md", include_str!("../../rules/runbooks/brute-force.md")),
    ("runbooks/card-testing.md", include_str!("../../rules/runbooks/card-testing.md")),
    ("runbooks/codes.md", include_str!("../../rules/runbooks/codes.md")),
    ("runbooks/device-many-accounts.md", include_str!("../../rules/runbooks/device-many-accounts.md")),
    ("runbooks/distributed-spray.md", include_str!("../../rules/runbooks/distributed-spray.md")),
    ("runbooks/dormant-wakes.md", include_str!("../../rules/runbooks/dormant-wakes.md")),
    ("runbooks/emptying.md", include_str!("../../rules/runbooks/emptying.md")),
    ("runbooks/first-money-from-new-device.md", include_str!("../../rules/runbooks/first-money-from-new-device.md")),
    ("runbooks/guessing-many-accounts.md", include_str!("../../rules/runbooks/guessing-many-accounts.md")),
    ("runbooks/guessing-one-account.md", include_str!("../../rules/runbooks/guessing-one-account.md")),
    ("runbooks/impossible-travel.md", include_str!("../../rules/runbooks/impossible-travel.md")),
    ("runbooks/laundering.md", include_str!("../../rules/runbooks/laundering.md")),
    ("runbooks/limit-raised-used.md", include_str!("../../rules/runbooks/limit-raised-used.md")),
    ("runbooks/locks.md", include_str!("../../rules/runbooks/locks.md")),
    ("runbooks/mfa-bombing.md", include_str!("../../rules/runbooks/mfa-bombing.md")),
    ("runbooks/mfa-removed.md", include_str!("../../rules/runbooks/mfa-removed.md")),
    ("runbooks/new-device-new-country.md", include_str!("../../rules/runbooks/new-device-new-country.md")),
    ("runbooks/new-payee-large.md", include_str!("../../rules/runbooks/new-payee-large.md")),
    ("runbooks/password-spray.md", include_str!("../../rules/runbooks/password-spray.md")),
    ("runbooks/resets.md", include_str!("../../rules/runbooks/resets.md")),
    ("runbooks/same-amount-burst.md", include_str!("../../rules/runbooks/same-amount-burst.md")),
    ("runbooks/session-moves.md", include_str!("../../rules/runbooks/session-moves.md")),
    ("runbooks/success-after-attack.md", include_str!("../../rules/runbooks/success-after-attack.md")),
    ("runbooks/takeover-chain.md", include_str!("../../rules/runbooks/takeover-chain.md")),
    ("runbooks/test-then-take.md", include_str!("../../rules/runbooks/test-then-take.md")),
    ("runbooks/unlike-the-owner.md", include_str!("../../rules/runbooks/unlike-the-owner.md")),
    ("runbooks/user-enumeration.md", include_str!("../../rules/runbooks/user-enumeration.md")),
    ("runbooks/user-reports.md", include_str!("../../rules/runbooks/user-reports.md")),
    ("runbooks/velocity-count.md", include_str!("../../rules/runbooks/velocity-count.md")),
    ("runbooks/velocity-sum.md", include_str!("../../rules/runbooks/velocity-sum.md")),
];

/// Whether the pack has a rule of this id.
pub(super) fn has_rule(id: &str) -> bool {
    let is_it = |line: &str| line.trim_start().strip_prefix("- id:").is_some_and(|rest| rest.trim() == id);
    FILES.iter().any(|(_, text)| text.lines().any(is_it))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Sources;
    use super::super::files;

    #[test]
    fn every_rule_of_the_pack_is_known_by_its_id() {
        let pack = crate::ruleset::load(&Sources::builtin(), crate::ruleset::HashKey::new([1; 16]), None);
        for rule in &pack.expect("the pack loads").ruleset.rules {
            assert!(super::has_rule(&rule.id), "{}", rule.id);
        }
        assert!(!super::has_rule("mine"));
    }

    #[test]
    fn what_is_compiled_in_is_what_lies_in_rules() {
        let read = files::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).expect("the directory rules");
        let builtin = Sources::builtin();
        assert_eq!(builtin.digest(), read.digest());
        let lying =
            |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(path));
        for (path, text) in super::RUNBOOKS {
            assert_eq!(lying(path).ok().as_deref(), Some(*text), "{path}");
        }
        let present: Vec<&str> = read.present().collect();
        assert_eq!(present, super::RUNBOOKS.iter().map(|(path, _)| *path).collect::<Vec<_>>());
    }
}
