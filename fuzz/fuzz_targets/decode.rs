//! Any bytes as a record.
//!
//! Holds: decoding never panics; what passes is written and read back as the same event; and a space
//! or a line end around a record, which only changes the way it is read, changes nothing else.

#![no_main]

#[path = "../../src/event/mod.rs"]
mod event;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/yaml/mod.rs"]
mod yaml;

use event::{Decoded, Limits, Millis, RejectReason, Rejection, decode, encode};
use libfuzzer_sys::fuzz_target;

/// Late enough for every time that an event may name.
const NOW: Millis = Millis(253_402_207_200_999);

fn read(bytes: &[u8]) -> Result<Decoded<'_>, Rejection> {
    decode(Some(bytes), NOW, &Limits::default())
}

fuzz_target!(|bytes: &[u8]| {
    let first = read(bytes);
    // A line end is not plain: the record is read by serde_json.
    let mut slower = bytes.to_vec();
    slower.push(b'\n');
    match (&first, read(&slower)) {
        (Ok(first), Ok(slower)) => {
            assert_eq!(first.event, slower.event);
            assert_eq!(first.unknown_fields, slower.unknown_fields);
        }
        (Err(first), Err(slower)) => {
            let alone = matches!(first.reason, RejectReason::NoValue | RejectReason::NotJson);
            assert!(alone || slower.reason == RejectReason::TooLarge || *first == slower);
        }
        (Ok(_), Err(slower)) => assert_eq!(slower.reason, RejectReason::TooLarge),
        (Err(first), Ok(_)) => panic!("refused only without a line end: {first}"),
    }
    if let Ok(Decoded { event, .. }) = first {
        let mut written = Vec::new();
        encode(&event, &mut written).expect("an event is written");
        let again = read(&written);
        let too_long = matches!(&again, Err(refused) if refused.reason == RejectReason::TooLarge);
        assert!(too_long || again.is_ok_and(|again| again.event == event && again.unknown_fields == 0));
    }
});
