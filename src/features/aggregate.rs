//! One feature of one entity: whichever aggregate it is.
//!
//! Guarantees: the one place where an event updates a feature and a feature fills its slots. Does not know
//! where entities are kept.

use prefetch_index::prefetch_index;

use super::Banks;
use super::baseline::{Baseline, SILENCE_MS_MAX};
use super::codec::{DecodeError, Decoder, Durable, Encoder};
use super::decayed::{Decayed, HALF_LIVES_KEPT};
use super::distinct::Distinct;
use super::first_seen::{Seen, SeenKeys};
use super::habit::Habit;
use super::last::Last;
use super::pairs::Pairs;
use super::reading::{fill_age, fill_baseline, fill_count, fill_habit, fill_number, fill_spread, fill_stats, fill_sum};
use super::shape::{Observation, Shape};
use super::share::Share;
use super::spread::Spread;
use super::stats::Stats;
use super::sum::Sum;
use super::window::{Span, Window};

/// What is kept of one feature.
#[derive(Debug, Clone)]
pub enum Aggregate {
    /// Number of events, for `count` and `rate`.
    Count(Window),
    /// Sum per currency.
    Sum(Sum),
    /// Distinct values.
    Distinct(Distinct),
    /// The newest event.
    Last(Box<Last>),
    /// Since when the entity is known.
    Seen(Seen),
    /// Since when each second key is known.
    SeenKeys(SeenKeys),
    /// How usual values are.
    Habit(Box<Habit>),
    /// How attempts lie over keys.
    Spread(Box<Spread>),
    /// What amounts usually are.
    Stats(Box<Stats>),
    /// Which part of events match.
    Share(Share),
    /// Number of events, fading.
    Decayed(Decayed),
    /// How many events this hour of the week usually has.
    Baseline(Box<Baseline>),
    /// A pair of any of the others.
    Pairs(Box<Pairs>),
}

impl Aggregate {
    /// Takes an event. `captured` holds the event's fields at the slots a `last` keeps.
    pub fn update(&mut self, shape: &Shape, seen: &Observation, span: Span, captured: &mut Banks) {
        match self {
            Aggregate::Count(window) => window.add(seen.time_ms, i64::from(seen.count), span),
            Aggregate::Sum(sum) => {
                if let Some((unit, amount)) = seen.amount {
                    sum.add(unit, amount, seen.count, seen.time_ms, span);
                }
            }
            Aggregate::Distinct(distinct) => {
                if let Some(value) = seen.value {
                    distinct.add(seen.time_ms, value, span);
                }
            }
            Aggregate::Last(last) => last.take(seen.time_ms, &shape.kept, captured),
            Aggregate::Seen(times) => times.add(seen.time_ms, span.over_ms),
            Aggregate::SeenKeys(keys) => keys.add(seen.second, seen.time_ms, span),
            Aggregate::Habit(habit) => {
                if let Some(value) = seen.value {
                    habit.add(seen.time_ms, value, seen.count, span);
                }
            }
            Aggregate::Spread(spread) => {
                if let Some(key) = seen.value {
                    spread.add(seen.time_ms, key, seen.count, span);
                }
            }
            Aggregate::Stats(stats) => {
                if let Some((unit, amount)) = seen.amount {
                    stats.add(unit, amount, seen.count, seen.time_ms, span);
                }
            }
            Aggregate::Share(share) => share.add(seen.time_ms, seen.count, seen.matches, span),
            Aggregate::Decayed(decayed) => decayed.add(seen.time_ms, f64::from(seen.count), span.over_ms),
            Aggregate::Baseline(baseline) => baseline.add(seen.time_ms, seen.count, span),
            Aggregate::Pairs(pairs) => {
                if let Some(kept) = pairs.entry(seen.second, span, || shape.empty_single()) {
                    kept.update(shape, seen, span, captured);
                }
            }
        }
    }

    /// Fills the slots with the value at an event.
    pub fn fill(&self, shape: &Shape, seen: &Observation, banks: &mut Banks, scratch: &mut Vec<u64>) {
        let (time, over) = (seen.time_ms, shape.over_ms);
        match self {
            Aggregate::Count(window) => fill_count(window.sum(time, over), shape, banks),
            Aggregate::Sum(sum) => fill_sum(sum, shape, seen, banks),
            Aggregate::Distinct(distinct) => fill_number(distinct.count(time, over, scratch) as f64, shape, banks),
            Aggregate::Last(last) => {
                if let Some(age) = last.age_ms(time, over) {
                    last.give(&shape.kept, banks);
                    fill_age(Some(age), shape, banks);
                }
            }
            Aggregate::Seen(times) => fill_age(times.age_ms(time, over), shape, banks),
            Aggregate::SeenKeys(keys) => fill_age(keys.age_ms(seen.second, time, over), shape, banks),
            Aggregate::Habit(habit) => fill_habit(habit, shape, seen, banks),
            Aggregate::Spread(spread) => fill_spread(spread, shape, seen, banks, scratch),
            Aggregate::Stats(stats) => fill_stats(stats, shape, seen, banks, scratch),
            Aggregate::Share(share) => {
                if let Some(part) = share.part(time, over) {
                    fill_number(part, shape, banks);
                }
            }
            Aggregate::Decayed(decayed) => fill_number(decayed.value(time, over), shape, banks),
            Aggregate::Baseline(baseline) => fill_baseline(baseline, shape, seen, banks),
            Aggregate::Pairs(pairs) => match pairs.get(seen.second) {
                Some(kept) => kept.fill(shape, seen, banks, scratch),
                None => shape.fill_empty(seen, banks),
            },
        }
    }

    /// Takes in what is kept of the same feature and entity elsewhere. Below the caps of each it does not matter
    /// in which order or grouping parts are merged; a `baseline`, which has no merge, stays the one that knows
    /// the newer event.
    pub fn merge(&mut self, other: Aggregate, span: Span) {
        match (self, other) {
            (Aggregate::Count(a), Aggregate::Count(b)) => a.merge(b, span),
            (Aggregate::Sum(a), Aggregate::Sum(b)) => a.merge(b, span),
            (Aggregate::Distinct(a), Aggregate::Distinct(b)) => a.merge(b),
            (Aggregate::Last(a), Aggregate::Last(b)) => a.merge(*b),
            (Aggregate::Seen(a), Aggregate::Seen(b)) => a.merge(b, span.over_ms),
            (Aggregate::SeenKeys(a), Aggregate::SeenKeys(b)) => a.merge(b, span),
            (Aggregate::Habit(a), Aggregate::Habit(b)) => a.merge(*b, span),
            (Aggregate::Spread(a), Aggregate::Spread(b)) => a.merge(*b),
            (Aggregate::Stats(a), Aggregate::Stats(b)) => a.merge(*b, span),
            (Aggregate::Share(a), Aggregate::Share(b)) => a.merge(b, span),
            (Aggregate::Decayed(a), Aggregate::Decayed(b)) => a.merge(b, span.over_ms),
            (Aggregate::Pairs(a), Aggregate::Pairs(b)) => a.merge(*b, |known, kept| known.merge(kept, span)),
            (kept, other) => {
                if kept.newest_ms() < other.newest_ms() {
                    *kept = other;
                }
            }
        }
    }

    /// Memory it points to, bytes.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Aggregate::Count(window) => window.heap_bytes(),
            Aggregate::Sum(sum) => sum.heap_bytes(),
            Aggregate::Distinct(distinct) => distinct.heap_bytes(),
            Aggregate::Last(last) => size_of::<Last>() + last.heap_bytes(),
            Aggregate::Seen(_) => 0,
            Aggregate::SeenKeys(keys) => keys.heap_bytes(),
            Aggregate::Habit(habit) => size_of::<Habit>() + habit.heap_bytes(),
            Aggregate::Spread(spread) => size_of::<Spread>() + spread.heap_bytes(),
            Aggregate::Stats(stats) => size_of::<Stats>() + stats.heap_bytes(),
            Aggregate::Share(share) => share.heap_bytes(),
            Aggregate::Decayed(_) => 0,
            Aggregate::Baseline(baseline) => size_of::<Baseline>() + baseline.heap_bytes(),
            Aggregate::Pairs(pairs) => size_of::<Pairs>() + pairs.heap_bytes(),
        }
    }

    /// Gives back memory that is not needed now, where that is what velocity rules keep.
    pub fn shrink(&mut self) {
        match self {
            Aggregate::Count(window) => window.shrink(),
            Aggregate::Sum(sum) => sum.shrink(),
            Aggregate::Distinct(distinct) => distinct.shrink(),
            Aggregate::Spread(spread) => spread.shrink(),
            Aggregate::Share(share) => share.shrink(),
            _ => {}
        }
    }

    /// Whether nothing in it can be asked for any more.
    pub fn is_dead(&self, span: Span) -> bool {
        match self {
            Aggregate::Count(window) => window.is_dead(span),
            Aggregate::Sum(sum) => sum.is_dead(span),
            Aggregate::Distinct(distinct) => distinct.is_dead(span),
            Aggregate::Pairs(pairs) => pairs.is_dead(span),
            Aggregate::Decayed(decayed) => decayed.is_dead(span.over_ms, span.horizon_ms),
            Aggregate::Baseline(baseline) => baseline.is_dead(span.horizon_ms),
            other => other.newest_ms() <= span.dead(),
        }
    }

    /// The first horizon at which it is dead, ms.
    pub fn ends_ms(&self, over_ms: i64) -> i64 {
        let newest_ms = self.newest_ms();
        match self {
            _ if newest_ms == i64::MIN => i64::MIN,
            Aggregate::Decayed(_) => newest_ms.saturating_add(over_ms.saturating_mul(HALF_LIVES_KEPT)),
            Aggregate::Baseline(_) => newest_ms.saturating_add(SILENCE_MS_MAX),
            Aggregate::Pairs(pairs) => pairs.ends_ms(over_ms),
            _ => newest_ms.saturating_add(over_ms),
        }
    }

    /// Asks for the memory it points to, where that is what most events change. Reads only what stands here.
    pub fn bring_near(&self) {
        match self {
            Aggregate::Count(window) => window.bring_near(),
            Aggregate::Sum(sum) => sum.bring_near(),
            Aggregate::Distinct(distinct) => distinct.bring_near(),
            Aggregate::Last(last) => prefetch_index(std::slice::from_ref(last.as_ref()), 0),
            Aggregate::Habit(habit) => prefetch_index(std::slice::from_ref(habit.as_ref()), 0),
            Aggregate::Pairs(pairs) => prefetch_index(std::slice::from_ref(pairs.as_ref()), 0),
            Aggregate::Spread(spread) => prefetch_index(std::slice::from_ref(spread.as_ref()), 0),
            Aggregate::Stats(stats) => prefetch_index(std::slice::from_ref(stats.as_ref()), 0),
            Aggregate::Baseline(baseline) => prefetch_index(std::slice::from_ref(baseline.as_ref()), 0),
            Aggregate::Share(share) => share.bring_near(),
            Aggregate::Seen(_) | Aggregate::SeenKeys(_) | Aggregate::Decayed(_) => {}
        }
    }

    /// The newest time in it.
    pub fn newest_ms(&self) -> i64 {
        match self {
            Aggregate::Count(window) => window.newest_ms(),
            Aggregate::Sum(sum) => sum.newest_ms(),
            Aggregate::Distinct(distinct) => distinct.newest_ms(),
            Aggregate::Last(last) => last.newest_ms(),
            Aggregate::Seen(times) => times.newest_ms(),
            Aggregate::SeenKeys(keys) => keys.newest_ms(),
            Aggregate::Habit(habit) => habit.newest_ms(),
            Aggregate::Spread(spread) => spread.newest_ms(),
            Aggregate::Stats(stats) => stats.newest_ms(),
            Aggregate::Share(share) => share.newest_ms(),
            Aggregate::Decayed(decayed) => decayed.newest_ms(),
            Aggregate::Baseline(baseline) => baseline.newest_ms(),
            Aggregate::Pairs(pairs) => pairs.newest_ms(),
        }
    }
}

impl Aggregate {
    /// The number under which it stands in stored state: it keeps its meaning for ever.
    fn number(&self) -> u8 {
        match self {
            Aggregate::Count(_) => 1,
            Aggregate::Sum(_) => 2,
            Aggregate::Distinct(_) => 3,
            Aggregate::Last(_) => 4,
            Aggregate::Seen(_) => 5,
            Aggregate::SeenKeys(_) => 6,
            Aggregate::Habit(_) => 7,
            Aggregate::Spread(_) => 8,
            Aggregate::Stats(_) => 9,
            Aggregate::Share(_) => 10,
            Aggregate::Decayed(_) => 11,
            Aggregate::Baseline(_) => 12,
            Aggregate::Pairs(_) => PAIRS,
        }
    }

    /// Reads one that is not a pair: a pair holds none.
    pub fn decode_single(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Self::decode_numbered(from.byte()?, from)
    }

    fn decode_numbered(number: u8, from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match number {
            1 => Aggregate::Count(Window::decode(from)?),
            2 => Aggregate::Sum(Sum::decode(from)?),
            3 => Aggregate::Distinct(Distinct::decode(from)?),
            4 => Aggregate::Last(Box::decode(from)?),
            5 => Aggregate::Seen(Seen::decode(from)?),
            6 => Aggregate::SeenKeys(SeenKeys::decode(from)?),
            7 => Aggregate::Habit(Box::decode(from)?),
            8 => Aggregate::Spread(Box::decode(from)?),
            9 => Aggregate::Stats(Box::decode(from)?),
            10 => Aggregate::Share(Share::decode(from)?),
            11 => Aggregate::Decayed(Decayed::decode(from)?),
            12 => Aggregate::Baseline(Box::decode(from)?),
            found => return Err(DecodeError::Unknown { what: "aggregate", found: found.into() }),
        })
    }
}

/// The number of a pair.
const PAIRS: u8 = 13;

impl Durable for Aggregate {
    fn encode(&self, to: &mut Encoder) {
        to.byte(self.number());
        match self {
            Aggregate::Count(window) => window.encode(to),
            Aggregate::Sum(sum) => sum.encode(to),
            Aggregate::Distinct(distinct) => distinct.encode(to),
            Aggregate::Last(last) => last.encode(to),
            Aggregate::Seen(times) => times.encode(to),
            Aggregate::SeenKeys(keys) => keys.encode(to),
            Aggregate::Habit(habit) => habit.encode(to),
            Aggregate::Spread(spread) => spread.encode(to),
            Aggregate::Stats(stats) => stats.encode(to),
            Aggregate::Share(share) => share.encode(to),
            Aggregate::Decayed(decayed) => decayed.encode(to),
            Aggregate::Baseline(baseline) => baseline.encode(to),
            Aggregate::Pairs(pairs) => pairs.encode(to),
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match from.byte()? {
            PAIRS => Ok(Aggregate::Pairs(Box::decode(from)?)),
            number => Self::decode_numbered(number, from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_takes_no_more_room_for_aggregates_it_is_not() {
        assert_eq!(size_of::<Aggregate>(), 64);
    }
}
