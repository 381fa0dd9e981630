//! Bytes → [`Event`]: pure, bounded, with a reason for every refusal.
//!
//! Guarantees: never panics, whatever the bytes; a good record whose texts hold no escapes is decoded
//! without an allocation (but for a `contact`); a record that is refused is refused for the same reason
//! every time. Does not look anything up and does not read a clock: `now` is an argument.

mod diagnose;
mod judge;
mod plain;

use super::key::Key;
use super::{Event, EventType, Millis, Raw, RejectReason, Rejection};

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
    let text = readable(value, limits)?;
    let mut raw = Raw::default();
    if limits.depth_max < plain::DEPTH_MAX || plain::read_plain(text, &mut raw).is_none() {
        shallow(text, limits)?;
        raw = Raw::default();
        // What serde cannot read is read field by field: it may be a field of another type, which does
        // not count, and if it does count the sender is told which one it is.
        if raw.read(text).is_err() {
            raw = diagnose::read_carefully(text)?;
        }
    }
    judge::judge(&mut raw, text.len(), now, limits)
}

/// Judges what a mapping made of a record.
pub(super) fn judge_mapped<'a>(raw: &mut Raw<'a>, now: Millis, limits: &Limits) -> Result<Decoded<'a>, Rejection> {
    // A text of several may be longer than its record: all of them are measured.
    judge::judge(raw, usize::MAX, now, limits)
}

/// The fields that an event of a type cannot be without, beside `id`, `type` and `time`.
pub(super) fn needed(kind: EventType, is_success: bool) -> &'static [Key] {
    judge::needed(kind, is_success)
}

/// The value as text, not longer than it may be.
pub(super) fn readable<'a>(value: Option<&'a [u8]>, limits: &Limits) -> Result<&'a str, Rejection> {
    let Some(bytes) = value.filter(|v| !v.is_empty()) else {
        return Err(Rejection::new(RejectReason::NoValue, "a JSON object is expected, the record has no value"));
    };
    if bytes.len() > limits.value_bytes_max {
        let detail = format!("at most {} bytes are read", limits.value_bytes_max);
        return Err(Rejection::new(RejectReason::TooLarge, detail));
    }
    std::str::from_utf8(bytes)
        .map_err(|e| Rejection::new(RejectReason::NotUtf8, format!("UTF-8 ends at byte {}", e.valid_up_to())))
}

/// Refuses what is not safe to parse: parsers recurse.
pub(super) fn shallow(text: &str, limits: &Limits) -> Result<(), Rejection> {
    if too_deep(text, limits.depth_max) {
        let detail = format!("objects and arrays nest deeper than {}", limits.depth_max);
        return Err(Rejection::new(RejectReason::TooDeep, detail));
    }
    Ok(())
}

/// Whether objects and arrays nest deeper than `depth_max`. As many brackets must open: few records
/// have them, and only those are looked at byte by byte.
pub(super) fn too_deep(text: &str, depth_max: usize) -> bool {
    let opening = memchr::memchr2_iter(b'{', b'[', text.as_bytes()).take(depth_max.saturating_add(1)).count();
    if opening <= depth_max {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

#[cfg(test)]
pub(super) mod properties;
#[cfg(test)]
mod tests;
