//! The record as JSON has it: one flat struct that borrows from the bytes.
//!
//! Guarantees: parsing it is what the limit of the performance page measures; nothing is judged here.

/// Every field of the schema as it came.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Raw {}
