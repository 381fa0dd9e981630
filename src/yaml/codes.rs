//! The stable codes of what is wrong with a file as YAML, whatever it holds.
//!
//! Guarantees: a code is never given another meaning; a retired one is not used again. What is wrong with keys
//! and values has the codes of whoever reads them.

macro_rules! codes {
    ($(#[doc = $meaning:literal] $name:ident = $code:literal;)+) => {
        $(#[doc = $meaning] pub const $name: &str = $code;)+
        /// Every code of this list with its meaning.
        pub const ALL: &[(&str, &str)] = &[$(($code, $meaning)),+];
    };
}

codes! {
    /// The file is not YAML.
    SYNTAX = "Y001";
    /// YAML tags are not allowed: common loaders drop `!x` without a word.
    TAG = "Y002";
    /// YAML anchors and aliases are not allowed.
    ANCHOR = "Y003";
    /// The merge key `<<` is not allowed.
    MERGE_KEY = "Y004";
    /// A key stands in its mapping twice.
    DUPLICATE_KEY = "Y005";
    /// A key is not a plain word.
    KEY = "Y006";
    /// A comma inside `{…}` ends the value, so that it splits `f(a, b)`.
    SPLIT = "Y007";
    /// More than one document, or a directive.
    DOCUMENT = "Y008";
    /// The file is not UTF-8.
    UTF8 = "Y009";
    /// The file is too large or nested too deep.
    LIMIT = "Y010";
}
