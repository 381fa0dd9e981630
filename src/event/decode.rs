//! Bytes → [`Event`]: pure, bounded, with a reason for every refusal.

use super::{Event, Millis, Rejection};

/// What a record may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Length of a value, bytes.
    pub value_bytes_max: usize,
    /// Nesting of objects and arrays.
    pub depth_max: usize,
    /// Length of an id, characters.
    pub id_chars_max: usize,
    /// Length of any other text, bytes.
    pub text_bytes_max: usize,
    /// How far after now an event's time may lie, ms.
    pub future_ms_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            value_bytes_max: 64 * 1024,
            depth_max: 32,
            id_chars_max: 128,
            text_bytes_max: 4096,
            future_ms_max: 300_000,
        }
    }
}

/// A decoded event.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The event.
    pub event: Event<'a>,
    /// Fields that the schema, or the event's type, does not have: dropped and counted.
    pub unknown_fields: u32,
}

/// Decodes a record's value. `now` is the moment of its batch.
pub fn decode<'a>(value: Option<&'a [u8]>, now: Millis, limits: &Limits) -> Result<Decoded<'a>, Rejection> {
    let _ = (value, now, limits);
    Err(Rejection::new(super::RejectReason::NoValue, "the decoder is being built"))
}
