//! Records that cannot be used: a good one, damaged in one way, so that exactly one reason fits.
//!
//! Guarantees: one line each, no line end inside. `no_value` is missing on purpose: a file has no line for it.

use super::draft::Draft;
use super::names::{Names, write_time};
use crate::event::{Limits, Millis, RejectReason};

/// The ways, in the order they are planted.
pub const REASONS: [RejectReason; 11] = [
    RejectReason::NotJson,
    RejectReason::MissingField,
    RejectReason::BadValue,
    RejectReason::UnknownType,
    RejectReason::TimeInFuture,
    RejectReason::NotObject,
    RejectReason::DuplicateField,
    RejectReason::TooDeep,
    RejectReason::TooLong,
    RejectReason::NotUtf8,
    RejectReason::TooLarge,
];

/// A moment no test will live to see: 2199-12-31T23:59:59.999Z.
const FUTURE: Millis = Millis(7_258_118_399_999);

/// Writes `event` damaged so that it is refused for `reason`.
pub fn write(event: &Draft, reason: RejectReason, names: &Names, out: &mut Vec<u8>) {
    let limits = Limits::default();
    let mut line = Vec::new();
    event.write(names, &mut line);
    let id_end = b"{\"id\":\"".len() + 26;
    let (head, tail) = line.split_at(id_end.min(line.len()));
    match reason {
        // The rest of the object is lost on the way.
        RejectReason::NotJson => out.extend_from_slice(line.get(..line.len() * 3 / 5).unwrap_or(&line)),
        // `{"id":"…","type":…` without its id.
        RejectReason::MissingField => {
            out.push(b'{');
            out.extend_from_slice(tail.get(2..).unwrap_or(tail));
        }
        RejectReason::BadValue => extend(&line, ",\"count\":\"many\"", out),
        RejectReason::UnknownType => replace(&line, b"\"type\":\"", b"tele", out),
        RejectReason::TimeInFuture => {
            let mut future = Vec::new();
            write_time(FUTURE, &mut future);
            let mut now = Vec::new();
            write_time(event.time, &mut now);
            let at = line.windows(now.len()).position(|w| w == now).unwrap_or(line.len());
            out.extend_from_slice(line.get(..at).unwrap_or(&line));
            out.extend_from_slice(&future);
            out.extend_from_slice(line.get(at + now.len()..).unwrap_or(&[]));
        }
        RejectReason::NotObject => {
            out.push(b'[');
            out.extend_from_slice(&line);
            out.push(b']');
        }
        RejectReason::DuplicateField => extend(&line, ",\"type\":\"login\"", out),
        RejectReason::TooDeep => {
            let depth = limits.depth_max + 8;
            extend(&line, &format!(",\"extra\":{}{}", "[".repeat(depth), "]".repeat(depth)), out);
        }
        RejectReason::TooLong => {
            out.extend_from_slice(head);
            out.resize(out.len() + limits.id_chars_max, b'0');
            out.extend_from_slice(tail);
        }
        RejectReason::NotUtf8 => replace(&line, b"\"account\":\"", b"\xff", out),
        RejectReason::TooLarge | RejectReason::NoValue => {
            let pad = "x".repeat(limits.value_bytes_max);
            extend(&line, &format!(",\"extra\":\"{pad}\""), out);
        }
    }
}

/// The line with more at the end of its object.
fn extend(line: &[u8], more: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(line.strip_suffix(b"}").unwrap_or(line));
    out.extend_from_slice(more.as_bytes());
    out.push(b'}');
}

/// The line with `with` put in after the first `mark`.
fn replace(line: &[u8], mark: &[u8], with: &[u8], out: &mut Vec<u8>) {
    let at = line.windows(mark.len()).position(|w| w == mark).map_or(line.len(), |at| at + mark.len());
    let (before, after) = line.split_at(at);
    out.extend_from_slice(before);
    out.extend_from_slice(with);
    out.extend_from_slice(after);
}
