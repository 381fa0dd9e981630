//! The stable codes of problems in rule files, one constant each with a one-line meaning.
//!
//! Guarantees: a code is never given another meaning; a retired one is not used again. The codes of
//! expressions (`E…`, `T…`) stand beside the code that reports them.

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal;)+) => {
        $($(#[doc = $meaning])+ pub const $name: &str = $code;)+
        /// Every code of this list with its meaning.
        pub const ALL: &[(&str, &str)] = &[$(($code, concat!($($meaning),+))),+];
    };
}

codes! {
    /// A file or directory cannot be read.
    FILE = "R001";
    /// A key that does not exist here.
    UNKNOWN_KEY = "R002";
    /// A key that must be there is not.
    MISSING_KEY = "R003";
    /// A mapping, list or text stands where another of them belongs.
    SHAPE = "R004";
    /// The language version of the file is not one this program knows.
    VERSION = "R005";
    /// A name is not allowed, or is taken already.
    NAME = "R006";
    /// An event type, a field of it or an entity that does not exist.
    UNKNOWN_TYPE = "R007";
    /// A part of the language that this version of walletwatch does not know yet.
    NOT_YET = "R008";
    /// A value that its key does not take.
    VALUE = "R009";
    /// A rule's id stands twice.
    DUPLICATE_ID = "R010";
    /// A rule that is not a draft needs a test that fires and one that stays quiet.
    TESTS_MISSING = "R011";
    /// An exception is not complete.
    EXCEPTION = "R012";
    /// An entry of a list is not of the list's type.
    LIST_ENTRY = "R013";
    /// The entries of a list cannot be read.
    LIST_FILE = "R014";
    /// A test says something that no event can have.
    TEST = "R015";
    /// A feature or a dedup is kept for an entity that its events do not have.
    ENTITY = "R016";
    /// Bands or routes of the policy contradict each other.
    POLICY = "R017";
    /// More of something than this program takes.
    LIMIT = "R018";
    /// An inline test of a rule fails.
    TEST_FAILED = "R019";
    /// An overlay says more than state, score, params and exceptions of a rule.
    OVERLAY = "R030";
    /// An overlay names a rule that the set does not have.
    OVERLAY_RULE = "R031";
    /// An overlay sets a param that the rule does not have, or to a value that the param does not take.
    OVERLAY_PARAM = "R032";
    /// A rule means something else than before and has the same revision.
    REVISION = "R033";
    /// A sequence without steps, or beside what it stands for.
    SEQUENCE = "R034";
    /// A rule that informs says what only suspicions have, or is not for the user.
    INFORM = "R035";

    /// A feature that nothing reads.
    UNUSED_FEATURE = "W101";
    /// A list that nothing reads.
    UNUSED_LIST = "W102";
    /// A def that nothing reads.
    UNUSED_DEF = "W103";
    /// A named amount or a param that nothing reads, or a shared exception that no rule takes.
    UNUSED = "W104";
    /// A list that is older than its `max_age`.
    STALE_LIST = "W105";
    /// A runbook that is not there.
    RUNBOOK = "W106";
    /// An exception that has expired: it is ignored.
    EXPIRED = "W107";
    /// A threshold above what a window counts exactly.
    ABOVE_CAP = "W108";
    /// An exception that is true wherever its rule is, or a `without` wherever a step of its sequence is.
    UNREACHABLE = "W109";
    /// One entity can take more memory than is good.
    STATE_BYTES = "W110";
    /// A currency of the rule set for which a live rule has no amount, or of a rule for which an arm has none.
    CURRENCY = "W111";
    /// The age of a first sighting is compared with more than its feature's window.
    AGE_ABOVE_WINDOW = "W112";
    /// A rule that runs reads the findings of one that is not live, and so has none.
    NO_FINDINGS = "W113";
    /// An inline test that passes with the rule file's own values fails with the overlay's.
    OVERLAY_TEST = "W120";
}

/// What the commands tell that work with rules; loading a set never tells these.
pub mod tools {
    codes! {
        /// A part of a file that `rules fmt` leaves as it is.
        NOT_FORMATTED = "F001";

        /// A change of a rule that no test notices.
        SURVIVOR = "K001";
        /// A change that a rule keeps, and that is none of its own.
        NO_MUTANT = "K002";
        /// A change that a rule keeps, and that a test notices.
        NO_SURVIVOR = "K003";
        /// A change of what a feature keeps that no test notices.
        FEATURE_SURVIVOR = "K004";
        /// A test that fails without any change.
        FAILS_ALREADY = "K005";

        /// A line that is no label.
        LABEL_SHAPE = "L001";
        /// A label that there is not.
        LABEL_WORD = "L002";
        /// A time of a label that is none, or ends before it begins.
        LABEL_TIME = "L003";
        /// Two labels contradict each other.
        LABEL_CONTRADICTION = "L004";
        /// There are too many labels.
        LABEL_LIMIT = "L005";
    }
}

/// Every code that a rule file can be told, with its meaning: those of YAML, of expressions, and these.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = [crate::yaml::codes::ALL, super::expr::codes::TABLE, ALL];
    all.into_iter().flatten().map(|(code, meaning)| (*code, meaning.trim()))
}

/// The same, then the codes of the tools: all that are explained.
pub fn explained() -> impl Iterator<Item = (&'static str, &'static str)> {
    all().chain(tools::ALL.iter().map(|(code, meaning)| (*code, meaning.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_given_twice() {
        let of_mappings = |code: &&str| code.starts_with('M');
        assert!(!explained().any(|(code, _)| of_mappings(&code)), "mapping files have the codes M…");
        let mut codes: Vec<&str> = explained().map(|(code, _)| code).collect();
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
    }
}
