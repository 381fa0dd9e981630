//! The stable codes of problems in mapping files.
//!
//! Guarantees: a code is never given another meaning; a retired one is not used again. What is wrong with the
//! file as YAML has the codes of the YAML reader.

/// The file cannot be read.
pub const FILE: &str = "M001";
/// A key that does not exist here.
pub const UNKNOWN_KEY: &str = "M002";
/// A key that must be there is not.
pub const MISSING_KEY: &str = "M003";
/// A mapping, list or text stands where another of them belongs.
pub const SHAPE: &str = "M004";
/// The version of the file is not one this program knows.
pub const VERSION: &str = "M005";
/// A name is not allowed.
pub const NAME: &str = "M006";
/// An event type, or a field, that does not exist, or that the event's type does not have.
pub const FIELD: &str = "M007";
/// A part that this version of walletwatch does not know yet.
pub const NOT_YET: &str = "M008";
/// A value that its key does not take.
pub const VALUE: &str = "M009";
/// A pointer that is none.
pub const POINTER: &str = "M010";
/// A constant that its field never has.
pub const CONSTANT: &str = "M011";
/// A field without which an event of this type is refused has no source.
pub const REQUIRED: &str = "M012";
/// An entry that no record can reach.
pub const UNREACHABLE: &str = "M013";
/// More of something than this program takes.
pub const LIMIT: &str = "M014";
/// A test says something that no event can have.
pub const TEST: &str = "M015";
/// A test of the file fails.
pub const TEST_FAILED: &str = "M016";

/// An entry that no test of the file takes.
pub const UNTESTED: &str = "W201";
