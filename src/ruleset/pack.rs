//! The shipped pack, compiled in: `rules/` as it was when the program was built.
//!
//! Guarantees: every rule file, list and runbook of `rules/` stands here; a test compares. Does not load it.

/// The texts, by their path below the rules directory.
pub(super) const FILES: &[(&str, &str)] = &[
    ("guessing.yaml", include_str!("../../rules/guessing.yaml")),
    ("lists/tor_exits.txt", include_str!("../../rules/lists/tor_exits.txt")),
    ("logins.yaml", include_str!("../../rules/logins.yaml")),
    ("money.yaml", include_str!("../../rules/money.yaml")),
    ("new-places.yaml", include_str!("../../rules/new-places.yaml")),
    ("policy.yaml", include_str!("../../rules/policy.yaml")),
];

/// The runbooks that are there; people read them in `rules/`.
pub(super) const RUNBOOKS: &[&str] = &[
    "runbooks/anonymiser.md",
    "runbooks/brute-force-many-sources.md",
    "runbooks/brute-force.md",
    "runbooks/first-money-from-new-device.md",
    "runbooks/impossible-travel.md",
    "runbooks/new-device-new-country.md",
    "runbooks/new-payee-large.md",
    "runbooks/password-spray.md",
    "runbooks/velocity-sum.md",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Sources;
    use super::super::files;

    #[test]
    fn what_is_compiled_in_is_what_lies_in_rules() {
        let read = files::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).expect("the directory rules");
        let builtin = Sources::builtin();
        assert_eq!(builtin.digest(), read.digest());
        super::RUNBOOKS.iter().for_each(|path| assert!(read.is_present(path), "{path}"));
    }
}
