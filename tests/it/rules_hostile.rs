//! A hostile file is refused, or read, in work that grows with its size and not with its square.
//!
//! Work is the thread's own time on a core, in files so large that it can be measured: a file that takes less than
//! [`SMALL`] at the largest size there is needs no more said about it. A test of the judge shows that it can say no.

use std::time::Duration;

use walletwatch::ruleset::{HashKey, Sources, load};

#[path = "../../benches/hostile.rs"]
mod hostile;

/// Twice the size may take this many times the work: 2 where it is linear, 4 where it is quadratic; of each size the
/// least of some tries.
const GROWTH_MAX: f64 = 3.2;
/// Below this nothing can be said about growth.
const SMALL: Duration = Duration::from_millis(40);
/// The first size that is tried, and the largest: a file has at most 1 MiB. Bytes.
const BYTES: std::ops::RangeInclusive<usize> = 15 << 10..=960 << 10;
const TRIES: usize = 4;

/// How long this thread was on a core so far: others on the machine do not count.
fn on_core() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts a thread's time");
    Duration::from_nanos(told.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds"))
}

fn work(of: impl FnOnce()) -> Duration {
    let before = on_core();
    of();
    on_core() - before
}

/// How much more twice the size takes, at the first size that takes long enough to be measured; `None` where none does.
fn growth(of: impl Fn(usize)) -> Option<f64> {
    let sizes = std::iter::successors(Some(*BYTES.start()), |bytes| Some(bytes * 2)).take_while(|b| BYTES.contains(b));
    let whole = sizes.into_iter().find(|bytes| work(|| of(*bytes)) >= SMALL)?;
    let least = |bytes: usize| (0..TRIES).map(|_| work(|| of(bytes)).as_secs_f64()).fold(f64::INFINITY, f64::min);
    Some(least(whole) / least(whole / 2).max(1e-6))
}

fn read(text: &str) {
    let mut sources = Sources::new("rules");
    sources.add("x.yaml", text, None);
    let _ = std::hint::black_box(load(&sources, HashKey::new([7; 16]), None));
}

#[test]
fn work_grows_with_the_size_of_a_hostile_file() {
    let grown =
        hostile::SHAPES.iter().filter_map(|shape| Some((shape.name, growth(|bytes| read(&(shape.make)(bytes)))?)));
    let grown: Vec<(&str, f64)> = grown.collect();
    let too_much: Vec<_> = grown.iter().filter(|(_, growth)| *growth > GROWTH_MAX).collect();
    assert!(too_much.is_empty(), "{too_much:?}");
    assert!(!grown.is_empty(), "nothing could be measured");
}

/// Looks through all that was before, for each so many bytes.
fn quadratic(bytes: usize) {
    let text = vec![1u8; bytes];
    let sums =
        (0..bytes).step_by(64).map(|at| std::hint::black_box(&text[..at]).iter().map(|b| u64::from(*b)).sum::<u64>());
    std::hint::black_box(sums.sum::<u64>());
}

/// Looks at each byte so many times.
fn linear(bytes: usize) {
    let text = vec![1u8; bytes];
    let sums = (0..2000).map(|_| std::hint::black_box(&text).iter().map(|b| u64::from(*b)).sum::<u64>());
    std::hint::black_box(sums.sum::<u64>());
}

#[test]
fn quadratic_work_is_told_from_linear() {
    let (quadratic, linear) = (growth(quadratic), growth(linear));
    assert!(quadratic.is_some_and(|growth| growth > GROWTH_MAX), "{quadratic:?}");
    assert!(linear.is_some_and(|growth| growth < GROWTH_MAX), "{linear:?}");
}
