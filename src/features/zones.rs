//! The hour and the weekday in an event's own zone.
//!
//! Guarantees: an unknown zone gives nothing, never UTC; at most [`ZONES_MAX`] names are kept, whatever comes
//! in. Reads no clock: the zone database is compiled in.

use compact_str::CompactString;
use hashbrown::HashMap;
use jiff::tz::TimeZone;

use crate::event::Millis;

/// Names of zones kept looked up, known and unknown ones.
pub const ZONES_MAX: usize = 1024;

/// Zones by name.
#[derive(Debug, Default)]
pub struct Zones {
    known: HashMap<CompactString, Option<TimeZone>, foldhash::fast::RandomState>,
}

impl Zones {
    /// The hour (0 to 23) and the weekday (1 Monday to 7 Sunday) of a moment in a zone.
    pub fn hour_and_weekday(&mut self, time: Millis, zone: &str) -> Option<(u8, u8)> {
        if !self.known.contains_key(zone) {
            if self.known.len() >= ZONES_MAX {
                self.known.clear();
            }
            self.known.insert(zone.into(), TimeZone::get(zone).ok());
        }
        let zone = self.known.get(zone)?.as_ref()?;
        let local = zone.to_datetime(jiff::Timestamp::from_millisecond(time.0).ok()?);
        Some((local.hour().unsigned_abs(), local.weekday().to_monday_one_offset().unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_in_utc_is_eight_in_shanghai() {
        let mut zones = Zones::default();
        let midnight = Millis(1_767_225_600_000);
        assert_eq!(zones.hour_and_weekday(midnight, "UTC"), Some((0, 4)));
        assert_eq!(zones.hour_and_weekday(midnight, "Asia/Shanghai"), Some((8, 4)));
        assert_eq!(zones.hour_and_weekday(midnight, "Mars/Olympus"), None);
    }
}
