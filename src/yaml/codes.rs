//! The stable codes of what is wrong with a file as YAML, whatever it holds.
//!
//! Guarantees: a code is never given another meaning; a retired one is not used again. What is wrong with keys
//! and values has the codes of whoever reads them.

/// The file is not YAML.
pub const SYNTAX: &str = "Y001";
/// YAML tags are not allowed: common loaders drop `!x` without a word.
pub const TAG: &str = "Y002";
/// YAML anchors and aliases are not allowed.
pub const ANCHOR: &str = "Y003";
/// The merge key `<<` is not allowed.
pub const MERGE_KEY: &str = "Y004";
/// A key stands in its mapping twice.
pub const DUPLICATE_KEY: &str = "Y005";
/// A key is not a plain word.
pub const KEY: &str = "Y006";
/// A comma inside `{…}` ends the value, so that it splits `f(a, b)`.
pub const SPLIT: &str = "Y007";
/// More than one document, or a directive.
pub const DOCUMENT: &str = "Y008";
/// The file is not UTF-8.
pub const UTF8: &str = "Y009";
/// The file is too large or nested too deep.
pub const LIMIT: &str = "Y010";
