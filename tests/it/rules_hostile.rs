//! A hostile file is refused, or read, in time that grows with its size and not with its square.

use std::time::{Duration, Instant};

use walletwatch::ruleset::{HashKey, Sources, load};

#[path = "../../benches/hostile.rs"]
mod hostile;

/// Twice the size may take this many times as long: 2 where time is linear, 4 where it is quadratic. What is small
/// is not measured well, so that the largest step counts, and the best of some tries.
const GROWTH_MAX: f64 = 3.2;
/// Below this nothing is said about growth.
const NOISE: Duration = Duration::from_millis(40);
const TRIES: usize = 3;

fn time(text: &str) -> Duration {
    let began = Instant::now();
    let mut sources = Sources::new("rules");
    sources.add("x.yaml", text, None);
    let _ = std::hint::black_box(load(&sources, HashKey::new([7; 16]), None));
    began.elapsed()
}

#[test]
fn time_grows_with_the_size_of_a_hostile_file() {
    let mut quadratic = Vec::new();
    for shape in hostile::SHAPES {
        let (half, whole) = ((shape.make)(32 << 10), (shape.make)(64 << 10));
        let growth = |_| {
            let (half, whole) = (time(&half), time(&whole));
            if whole < NOISE { 0.0 } else { whole.as_secs_f64() / half.as_secs_f64() }
        };
        let best = (0..TRIES).map(growth).fold(f64::INFINITY, f64::min);
        if best > GROWTH_MAX {
            quadratic.push((shape.name, best));
        }
    }
    assert!(quadratic.is_empty(), "{quadratic:?}");
}
