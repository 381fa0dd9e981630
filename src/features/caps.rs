//! What each aggregate takes at its caps, against what the loader tells whoever writes a feature.
//!
//! Guarantees: the loader never tells less, and not much more. Fills one feature of one entity, as somebody could
//! who makes up events.

use super::Banks;
use super::shape::{Observation, Scale, Shape};
use super::window::Span;
use crate::event::Limits;
use crate::ruleset::Aggregate;
use crate::ruleset::row::Layout;
use crate::ruleset::state_bytes::bytes_max;

const HOUR_MS: i64 = 3_600_000;
const LATENESS_MS: i64 = HOUR_MS / 2;

/// What an entity's feature takes after events of these times, values and amounts, bytes.
fn bytes(aggregate: Aggregate, pair: bool, over_ms: i64, events: impl Iterator<Item = (i64, u64, (u8, i64))>) -> usize {
    let shape = Shape { aggregate, pair, over_ms, scale: Scale::Whole, parts: Vec::new(), kept: Vec::new() };
    let (mut kept, mut banks) = (shape.empty(), Banks::new(&Layout::default()));
    let mut bytes = 0;
    for (time_ms, value, amount) in events {
        let seen = Observation {
            time_ms,
            count: 1,
            // A pair's second keys one after the other, each with as many events as it keeps.
            second: if aggregate == Aggregate::FirstSeen { value } else { value / 1300 },
            value: Some(value),
            amount: Some(amount),
            unit: None,
            matches: true,
        };
        kept.update(&shape, &seen, Span { over_ms, horizon_ms: time_ms - LATENESS_MS }, &mut banks);
        if value.is_multiple_of(64) {
            bytes = bytes.max(kept.heap_bytes());
        }
    }
    bytes.max(kept.heap_bytes()) + size_of_val(&kept)
}

/// An amount of each size that a histogram tells apart, one after the other.
fn amount_of_each_size(n: u64, octaves: u64) -> i64 {
    let octave = n / 64 % octaves;
    ((1u64 << octave) | (((n % 64) << octave) >> 6)) as i64
}

fn assert_told(aggregate: Aggregate, is_money: bool, is_pair: bool, bytes: usize) {
    let told = bytes_max(aggregate, is_money, is_pair);
    assert!(bytes <= told, "{aggregate:?}, money {is_money}, pair {is_pair}: {bytes} bytes, and {told} are told");
    assert!(told <= 2 * bytes + 1024, "{aggregate:?}, money {is_money}, pair {is_pair}: {bytes} bytes of {told} told");
}

#[test]
fn no_aggregate_takes_more_than_the_loader_tells() {
    use Aggregate::{Count, Decayed, Distinct, FirstSeen, Habit, Rate, Share, Spread, Sum};
    for (aggregate, is_money, is_pair, events) in [
        (Count, false, false, 5_000),
        (Rate, false, false, 5_000),
        (Share, false, false, 5_000),
        (Sum, false, false, 5_000),
        (Sum, true, false, 20_000),
        (Distinct, false, false, 5_000),
        (Spread, false, false, 5_000),
        (Habit, false, false, 20_000),
        (FirstSeen, false, false, 5_000),
        (Decayed, false, false, 5_000),
        (FirstSeen, false, true, 5_000),
        (Count, false, true, 1300 * 300),
        (Distinct, false, true, 1300 * 300),
    ] {
        let over_ms = 1000 * HOUR_MS;
        let apart_ms = over_ms / events as i64;
        let units = if is_money { 4 } else { 1 };
        let event = |n: u64| (n as i64 * apart_ms, n, ((n % units) as u8, 1));
        assert_told(aggregate, is_money, is_pair, bytes(aggregate, is_pair, over_ms, (0..events).map(event)));
    }
}

#[test]
fn histograms_of_amounts_take_no_more_than_the_loader_tells() {
    let over_ms = 1000 * HOUR_MS;
    for (is_money, units, octaves) in [(true, 4, 54), (false, 1, 63)] {
        let sizes = octaves * 64 * if is_money { 1 } else { 2 };
        let events = 70 * sizes * units;
        let apart_ms = over_ms * 70 / 64 / events as i64;
        let event = |n: u64| {
            let sign = if !is_money && n.is_multiple_of(2) { -1 } else { 1 };
            let amount = amount_of_each_size(n / units / if is_money { 1 } else { 2 }, octaves);
            (n as i64 * apart_ms, n, ((n % units) as u8, sign * amount))
        };
        let taken = bytes(Aggregate::Stats, false, over_ms, (0..events).map(event));
        assert_told(Aggregate::Stats, is_money, false, taken);
    }
}

#[test]
fn a_baseline_takes_no_more_than_the_loader_tells() {
    let hourly = (0..400).map(|hour| hour * HOUR_MS);
    let dense = (0..4000).map(|n| 400 * HOUR_MS + n * 1000);
    let events = hourly.chain(dense).enumerate().map(|(n, time_ms)| (time_ms, n as u64, (0, 1)));
    assert_told(Aggregate::Baseline, false, false, bytes(Aggregate::Baseline, false, 1000, events));
}

#[test]
fn the_newest_event_is_not_larger_than_a_record() {
    assert!(bytes_max(Aggregate::Last, false, false) >= Limits::default().value_bytes_max);
}
