//! When people are awake, at work and at leisure: how busy each hour of their week is, by their own clock.
//!
//! Guarantees: whole numbers and fixed offsets only, so a rhythm is the same on every machine. Knows no person
//! and no event: `people` says whose clock it is, `timeline` how many records an hour has.

use super::people::HOUR_MS;
use crate::event::Millis;

/// Hours of a week.
pub const WEEK_HOURS: usize = 168;
/// How busy each hour of a week is, UTC, from Monday midnight.
pub type Week = [u64; WEEK_HOURS];

/// The weight of the busiest hour.
pub const WEIGHT_MAX: u64 = 72;
/// How busy each hour of a working day is, from midnight: asleep, on the way, at work with a break, the evening.
const WORKDAY: [u64; 24] = [8, 3, 1, 1, 1, 3, 16, 40, 52, 48, 44, 52, 60, 44, 44, 44, 44, 52, 64, 72, 72, 64, 44, 20];
/// … and of Saturday and Sunday: later up, busier from noon on.
const WEEKEND: [u64; 24] = [20, 12, 4, 1, 1, 1, 4, 16, 32, 48, 56, 60, 60, 56, 56, 56, 56, 56, 60, 64, 64, 60, 48, 32];
/// Working hours of an office, from and to.
const OFFICE_HOURS: (u64, u64) = (9, 18);
/// 1970-01-01 was a Thursday.
const EPOCH_WEEKDAY: i64 = 3;

/// Somebody's clock: where its hand stands against UTC, minutes. A late riser's is behind the city's, and that of
/// who works at night half a day away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Minutes ahead of UTC.
    pub ahead_min: i64,
}

/// An hour of somebody's week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// From Monday, 0 to 6.
    pub weekday: u64,
    /// From midnight, 0 to 23.
    pub hour: u64,
}

impl Clock {
    /// The hour at a moment.
    pub fn hour(self, time: Millis) -> Hour {
        let hours = time.0.saturating_add(self.ahead_min * 60_000).div_euclid(HOUR_MS);
        let of_week = hours.saturating_add(EPOCH_WEEKDAY * 24).rem_euclid(WEEK_HOURS as i64).unsigned_abs();
        Hour { weekday: of_week / 24, hour: of_week % 24 }
    }
}

impl Hour {
    /// How busy somebody is in it, 0 to [`WEIGHT_MAX`].
    pub fn weight(self) -> u64 {
        let day = if self.weekday < 5 { &WORKDAY } else { &WEEKEND };
        usize::try_from(self.hour).ok().and_then(|hour| day.get(hour)).copied().unwrap_or(0)
    }

    /// Whether offices are open.
    pub fn is_at_work(self) -> bool {
        self.weekday < 5 && (OFFICE_HOURS.0..OFFICE_HOURS.1).contains(&self.hour)
    }

    /// Whether people are up, so that what they do surprises nobody.
    pub fn is_day(self) -> bool {
        (8..23).contains(&self.hour)
    }

    /// The first working hours of a week, when everybody types the password of before the weekend.
    pub fn is_monday_morning(self) -> bool {
        self.weekday == 0 && (9..11).contains(&self.hour)
    }
}

/// The place of a moment's hour in a [`Week`].
pub fn hour_of_week(time: Millis) -> usize {
    let Hour { weekday, hour } = Clock { ahead_min: 0 }.hour(time);
    usize::try_from(weekday * 24 + hour).unwrap_or(0)
}

/// The week of many people together, by their clocks.
pub fn week_of(clocks: impl Iterator<Item = Clock> + Clone) -> Week {
    let mut week = [0; WEEK_HOURS];
    for (at, weight) in week.iter_mut().enumerate() {
        // The first Monday after 1970-01-01 is four days later; half hours are where zones of half hours meet.
        let time = Millis((at as i64 + 4 * 24) * HOUR_MS + HOUR_MS / 2);
        *weight = clocks.clone().map(|clock| clock.hour(time).weight()).sum::<u64>().max(1);
    }
    week
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_know_the_day() {
        // 2026-01-05 was a Monday.
        let monday = Millis(1_767_571_200_000);
        assert_eq!(Clock { ahead_min: 0 }.hour(monday), Hour { weekday: 0, hour: 0 });
        assert_eq!(Clock { ahead_min: 480 }.hour(monday), Hour { weekday: 0, hour: 8 });
        assert_eq!(Clock { ahead_min: -300 }.hour(monday), Hour { weekday: 6, hour: 19 });
        assert_eq!(hour_of_week(monday.plus(25 * HOUR_MS)), 25);
    }

    #[test]
    fn people_sleep_and_their_week_is_as_busy_as_they_are() {
        let night: u64 = (1..5).map(|hour| Hour { weekday: 2, hour }.weight()).sum();
        let day: u64 = (0..24).map(|hour| Hour { weekday: 2, hour }.weight()).sum();
        assert!(night * 50 < day, "{night} of {day}");
        assert_eq!(WORKDAY.iter().chain(&WEEKEND).max(), Some(&WEIGHT_MAX));
        let week = week_of([Clock { ahead_min: 480 }].into_iter());
        assert_eq!(week[0], Hour { weekday: 0, hour: 8 }.weight());
    }
}
