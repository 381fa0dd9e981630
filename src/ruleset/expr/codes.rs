//! The codes of the problems an expression can have.
//!
//! Guarantees: a code keeps its meaning for ever; `E…` is about how an expression is written, `T…` about
//! what it says, `W…` is doubtful but loads. Documentation is made from [`TABLE`].

/// A code with its meaning in one line.
pub type Entry = (&'static str, &'static str);

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)+) => {
        $(#[doc = $meaning] pub const $name: &str = $code;)+
        /// Every code, in order.
        pub const TABLE: &[Entry] = &[$(($code, $meaning)),+];
    };
}

codes! {
    UNEXPECTED_CHARACTER = "E001", "A character that no expression has.";
    TEXT_NOT_CLOSED = "E002", "A text without its closing quote.";
    UNKNOWN_ESCAPE = "E003", "A backslash before a character that is not escaped.";
    SYMBOL_FOR_WORD = "E004", "A symbol of another language where this one has a word or another symbol.";
    BAD_NUMBER = "E005", "A number that cannot be read, or is too large to be kept exactly.";
    UNKNOWN_UNIT = "E006", "A number with a unit or currency that does not exist.";
    CHAINED = "E007", "Comparisons, or `??`, in a chain.";
    TOO_DEEP = "E008", "An expression nested too deep.";
    TOO_LONG = "E009", "An expression that is too long.";
    EXPECTED_VALUE = "E010", "Something else stands where a value is expected.";
    EXPECTED_SYMBOL = "E011", "A bracket or comma is missing.";
    EXPECTED_OPERATOR = "E012", "Something else stands where an operator is expected.";
    EXPECTED_SET = "E013", "`in` is not followed by a set.";
    EXPECTED_MISSING = "E014", "`is` is not followed by `missing`.";
    BAD_TEMPLATE = "E015", "A template's brace is not closed, or holds more than a name.";

    NOT_BOOL = "T001", "Something that is neither true nor false stands where a condition is needed.";
    OPERAND_TYPES = "T002", "An operator does not take operands of these types.";
    UNKNOWN_NAME = "T003", "A name that means nothing here.";
    LIST_TYPE = "T004", "A list of one type is asked for a value of another.";
    NOT_ON_TYPE = "T005", "A field that the event types in question do not have.";
    UNKNOWN_LIST = "T006", "A list that does not exist.";
    UNKNOWN_FUNCTION = "T007", "A function that does not exist.";
    ARGUMENT_COUNT = "T008", "A function is given too few or too many arguments.";
    ARGUMENT_TYPE = "T009", "A function is given an argument of the wrong type.";
    NEVER_EQUAL = "T010", "A value is compared with something it never is.";
    UNKNOWN_COUNTRY = "T011", "A country that is not in ISO 3166.";
    NOT_AN_ADDRESS = "T012", "A text that is compared with an address and is none.";
    BAD_PATTERN = "T013", "A regular expression that cannot be used.";
    UNKNOWN_ZONE = "T014", "A time zone that does not exist.";
    LIST_ALONE = "T015", "A list that does not stand after `in`.";
    DEF_CYCLE = "T016", "A def that uses itself.";
    PERSONAL_FIELD = "T017", "A personal field in an explanation.";
    NOT_CONSTANT = "T018", "A value where only a literal can stand.";
    TOO_LARGE = "T019", "An expression that is too large with its defs.";
    NOT_SHOWN = "T020", "A name in an explanation that is no single value.";
    ALIAS_BEFORE_STEP = "T030", "The alias of a step is read where that step has not been taken.";

    NULLABLE = "W001", "`!=` or `not` meets a name that can be missing.";
    NEVER_TRUE = "W002", "A condition, or a part of one, that is never true.";
    ALWAYS_TRUE = "W003", "A condition, or a part of one, that is always true.";
    IMPLIED = "W004", "An arm of `and` or `or` that changes nothing beside another one.";
    MIXED = "W005", "`and` and `or` side by side without brackets.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_once_and_in_order() {
        let code = |entry: &Entry| (["E", "T", "W"].iter().position(|p| entry.0.starts_with(p)), entry.0);
        assert!(TABLE.windows(2).all(|pair| code(&pair[0]) < code(&pair[1])));
    }
}
