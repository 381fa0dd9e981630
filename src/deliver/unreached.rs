//! Why nobody was reached: a few words for metric, log and `/readyz`.
//!
//! Guarantees: a closed list of words ([`reason`]), none of which holds an address, a name or a secret: what an
//! error says of itself is never passed on. Does not judge whether a later try helps.

use std::io::{Error, ErrorKind};

/// The name of the other side could not be resolved: there is none, or nobody could be asked.
pub(super) const DNS: &str = "dns";

/// Why a connection failed: `refused` (nobody listens there), `timeout`, `unreachable` (no way there), `broken_off`
/// (by the other side), `connect` for everything else.
pub(super) fn reason(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::TimedOut => "timeout",
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => "unreachable",
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => "broken_off",
        _ => "connect",
    }
}

/// The first I/O error among an error's causes, itself among them.
pub(super) fn io_cause<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_word_and_no_word_says_more() {
        for (kind, word) in [
            (ErrorKind::ConnectionRefused, "refused"),
            (ErrorKind::TimedOut, "timeout"),
            (ErrorKind::NetworkUnreachable, "unreachable"),
            (ErrorKind::ConnectionReset, "broken_off"),
            (ErrorKind::PermissionDenied, "connect"),
        ] {
            assert_eq!(reason(&Error::new(kind, "gateway.example?key=secret")), word);
        }
    }
}
