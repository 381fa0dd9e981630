//! Any bytes as a record of each shipped mapping, and any text as a mapping file.
//!
//! Holds: nothing panics; the same record has the same end twice; what becomes an event is written and read back
//! natively as the same event; a file loads or is refused with a problem.

#![no_main]

#[path = "../../src/event/mod.rs"]
mod event;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/yaml/mod.rs"]
mod yaml;

use std::sync::LazyLock;

use event::mapping::{Mapped, Mapping, Origin, builtin, load_bytes};
use event::{Decoded, Event, Limits, Millis, RejectReason, Rejection, decode, encode};
use libfuzzer_sys::fuzz_target;

/// Late enough for every time that an event may name.
const NOW: Millis = Millis(253_402_207_200_999);

static SHIPPED: LazyLock<Vec<Mapping>> =
    LazyLock::new(|| builtin().iter().map(|builtin| builtin.load().expect("it loads")).collect());

fn read<'a>(mapping: &'a Mapping, bytes: &'a [u8]) -> Result<Option<Event<'a>>, Rejection> {
    let origin = Origin { topic: "t", partition: 0, offset: 1, stamp: Some(Millis(5)), key: Some(b"k") };
    mapping.decode(Some(bytes), &origin, NOW, &Limits::default()).map(|mapped| match mapped {
        Mapped::Event(Decoded { event, .. }) => Some(event),
        Mapped::Ignored(_) => None,
    })
}

fuzz_target!(|bytes: &[u8]| {
    for mapping in SHIPPED.iter() {
        let first = read(mapping, bytes);
        assert_eq!(first, read(mapping, bytes));
        if let Ok(Some(event)) = first {
            let mut written = Vec::new();
            encode(&event, &mut written).expect("an event is written");
            let again = decode(Some(&written), NOW, &Limits::default());
            let too_long = matches!(&again, Err(refused) if refused.reason == RejectReason::TooLarge);
            assert!(too_long || again.is_ok_and(|again| again.event == event));
        }
    }
    if let Err(problems) = load_bytes("x.yaml", bytes) {
        assert!(!problems.is_empty());
    }
});
