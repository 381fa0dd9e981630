//! Event time: whole milliseconds since 1970, UTC.
//!
//! Guarantees: arithmetic saturates, so no event time can overflow; what `parse` accepts is RFC 3339
//! and nothing wider, and what `rfc3339` writes is read back equal. Never reads a clock.

/// A moment, or a span between two, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

/// The earliest moment an event may name: the start of year 0, where RFC 3339 begins.
pub const TIME_MS_MIN: i64 = -62_167_219_200_000;
/// The latest moment an event may name: the last that every offset can still write.
pub const TIME_MS_MAX: i64 = 253_402_207_200_999;
/// Stands for every moment too late to be counted in 64 bits.
pub(super) const FAR: Millis = Millis(i64::MAX);

impl Millis {
    /// This moment and `ms` more.
    pub fn plus(self, ms: i64) -> Self {
        Millis(self.0.saturating_add(ms))
    }

    /// How many milliseconds lie between `earlier` and this one.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-22T03:09:00.000Z`.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => format!("{t:.3}"),
            Err(_) => self.0.to_string(),
        }
    }

    /// The moment of an RFC 3339 text with its offset, cut to milliseconds; a leap second counts as
    /// the second before it. `None` for anything else, and outside
    /// [`TIME_MS_MIN`]`..=`[`TIME_MS_MAX`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_years_0_to_9999(text)?.checked()
    }

    /// The moment of such a text without a bound above: a year of five digits or more, which some systems
    /// write by ISO 8601 (`+010000-…`) and others by accident (`10000-…`), is [`FAR`].
    pub(super) fn parse_unbounded(text: &str) -> Option<Self> {
        Self::of_years_0_to_9999(text).or_else(|| Self::of_later_years(text))
    }

    fn of_later_years(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (thousands, rest) = text.split_at_checked(digits.checked_sub(4)?)?;
        // A calendar year is like the one 10 000 years before it, so the last four digits say what days it has.
        let is_later = thousands.bytes().any(|digit| digit != b'0');
        if is_later { Self::of_years_0_to_9999(rest).map(|_| FAR) } else { None }
    }

    fn of_years_0_to_9999(text: &str) -> Option<Self> {
        let (head, tail) = text.as_bytes().split_first_chunk::<19>()?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', n1, n2, b':', s1, s2] =
            *head
        else {
            return None;
        };
        let year = two(y1, y2)? * 100 + two(y3, y4)?;
        let (month, day) = (two(m1, m2)?, two(d1, d2)?);
        let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
        if day < 1 || day > days_of_month(year, month)? || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (ms, offset) = fraction(tail)?;
        let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second.min(59);
        Some(Millis((seconds - offset_seconds(offset)?) * 1000 + ms))
    }

    /// This moment, if an event may name it.
    pub(super) fn checked(self) -> Option<Self> {
        (TIME_MS_MIN..=TIME_MS_MAX).contains(&self.0).then_some(self)
    }
}

/// The number of two digits.
#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// The milliseconds of an optional fraction, and what follows it.
fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = tail.strip_prefix(b".") else { return Some((0, tail)) };
    let len = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, offset) = rest.split_at_checked(len).filter(|(digits, _)| !digits.is_empty())?;
    let ms = (0..3).fold(0, |ms, at| ms * 10 + digits.get(at).map_or(0, |digit| i64::from(digit - b'0')));
    Some((ms, offset))
}

/// The seconds east of Greenwich that `Z` or `±hh:mm` means.
fn offset_seconds(offset: &[u8]) -> Option<i64> {
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = *offset else {
        return matches!(offset, b"Z" | b"z").then_some(0);
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    Some(if sign == b'-' { -seconds } else { seconds })
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => Some(if leap { 29 } else { 28 }),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar: years are counted from March, so that the leap day
/// is the last of its year (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    const DAYS_FROM_MARCH_OF_YEAR_0_TO_1970: i64 = 719_468;
    let march_year = if month <= 2 { year - 1 } else { year };
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_400_YEARS + day_of_era - DAYS_FROM_MARCH_OF_YEAR_0_TO_1970
}

impl serde::Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_with_three_digits() {
        assert_eq!(Millis(1_700_000_000_005).rfc3339(), "2023-11-14T22:13:20.005Z");
    }

    #[test]
    fn read_as_rfc_3339_says() {
        for (text, ms) in [
            ("2026-11-22T03:04:05.678Z", Some(1_795_316_645_678)),
            ("2026-11-22t11:04:05.678999+08:00", Some(1_795_316_645_678)),
            ("2026-11-21 22:34:05.6-04:30", Some(1_795_316_645_600)),
            ("2026-11-22T03:04:05-00:00", Some(1_795_316_645_000)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_799_000)),
            ("2024-02-29T00:00:00z", Some(1_709_164_800_000)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2100-02-29T00:00:00Z", None),
            ("0000-01-01T00:00:00Z", Some(TIME_MS_MIN)),
            ("0000-01-01T00:00:00+00:01", None),
            ("9999-12-30T22:00:00.999Z", Some(TIME_MS_MAX)),
            ("9999-12-30T22:00:01Z", None),
            ("2026-11-22T03:04:05", None),
            ("2026-11-22T03:04Z", None),
            ("2026-11-22T03:04:05.Z", None),
            ("2026-11-22T03:04:05Z ", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T03:04:05+24:00", None),
            ("2026-11-22T03:04:05+0800", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-01T00:00:00Z", None),
            ("2026-01-00T00:00:00Z", None),
            ("２０２６-11-22T03:04:05Z", None),
            ("", None),
        ] {
            assert_eq!(Millis::parse(text), ms.map(Millis), "{text:?}");
        }
    }

    #[test]
    fn a_far_future_is_still_a_time() {
        for (text, ms) in [
            ("9999-12-31T23:59:59Z", Some(Millis(253_402_300_799_000))),
            ("9999-12-31T23:59:59-23:59", Some(Millis(253_402_387_139_000))),
            ("2026-11-22T03:04:05.678Z", Some(Millis(1_795_316_645_678))),
            ("+010000-01-01T00:00:00Z", Some(FAR)),
            ("10000-02-29T00:00:00.5+08:00", Some(FAR)),
            ("+99999999999999999999999999-12-31T23:59:59Z", Some(FAR)),
            ("+010001-02-29T00:00:00Z", None),
            ("+010000-13-01T00:00:00Z", None),
            ("+010000-01-01", None),
            ("+002026-11-22T03:04:05Z", None),
            ("+2026-11-22T03:04:05Z", None),
            ("-010000-01-01T00:00:00Z", None),
            ("-2026-01-01T00:00:00Z", None),
            ("+", None),
            ("", None),
        ] {
            assert_eq!(Millis::parse_unbounded(text), ms, "{text:?}");
            let is_bounded = ms.and_then(Millis::checked);
            assert_eq!(Millis::parse(text), is_bounded, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_moment_is_read_back(ms in TIME_MS_MIN..=TIME_MS_MAX) {
            prop_assert_eq!(Millis::parse(&Millis(ms).rfc3339()), Some(Millis(ms)));
        }

        /// jiff reads more than RFC 3339, so where we read, it reads the same; and a text of our
        /// common form that it reads, we read.
        #[test]
        fn jiff_agrees(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|z|[+-][01][0-9]:[0-5][0-9])"
        ) {
            let theirs = text.parse::<jiff::Timestamp>().ok()
                .map(|t| i64::try_from(t.as_nanosecond().div_euclid(1_000_000)).expect("fits"))
                .and_then(|ms| Millis(ms).checked());
            prop_assert_eq!(Millis::parse(&text), theirs);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Millis::parse_unbounded(&text);
        }
    }
}
