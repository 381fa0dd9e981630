//! The lanes' times as bytes.
//!
//! Guarantees: what is read back judges the next record as the lanes that were written.

use super::{Lane, Lateness, MEDIAN_OF};
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, encode_all};

impl Durable for Lane {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.filled);
        to.count(self.next);
        to.number(self.last_record);
        let mut before_ms = 0;
        self.times.iter().take(self.filled).for_each(|time_ms| to.time(*time_ms, &mut before_ms));
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut lane =
            Lane { filled: from.narrow()?, next: from.narrow()?, last_record: from.number()?, ..Lane::EMPTY };
        if lane.filled > MEDIAN_OF || lane.next >= MEDIAN_OF {
            return Err(DecodeError::Wrong("the number of times of a lane"));
        }
        let mut before_ms = 0;
        for (time, sorted) in lane.times.iter_mut().zip(&mut lane.sorted).take(lane.filled) {
            *time = from.time(&mut before_ms)?;
            *sorted = *time;
        }
        // Free places are the largest: they stay last.
        lane.sorted.sort_unstable();
        Ok(lane)
    }
}

impl Lateness {
    /// Writes the lanes.
    pub fn encode(&self, to: &mut Encoder) {
        encode_all(self.lanes.iter(), to);
        to.number(self.records);
        to.signed(self.horizon_ms);
    }

    /// Reads them.
    pub fn decode(from: &mut Decoder<'_>, lateness_max_ms: i64) -> Result<Self, DecodeError> {
        let lateness = Lateness {
            lanes: decode_all(from)?,
            records: from.number()?,
            horizon_ms: from.signed()?,
            ..Lateness::new(lateness_max_ms)
        };
        let is_wrong = lateness.lanes.iter().any(|lane| lane.last_record > lateness.records);
        if is_wrong { Err(DecodeError::Wrong("the number of records")) } else { Ok(lateness) }
    }
}
