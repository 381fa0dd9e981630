//! The service killed hard, again and again, under load over three topics and many partitions: what it says in the end is
//! what one engine says that nobody disturbed, what it keeps is what that one keeps, and each user hears of it once.

use std::time::{Duration, Instant};

use super::BACK_WITHIN;
use super::spread::{Placed, Spread, generate};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Records that are written between two hard ends.
const RECORDS_PER_KILL: usize = 700;
/// Hard ends under load. `KILLS=n` makes another number of them, `KILLS_SEED=n` chooses other moments: names of the
/// configuration's environment begin otherwise.
const KILLS: u64 = 30;
/// The latest moment of a hard end after the service is under way, and, for every fourth, after its start. About as
/// long as the writing takes.
const KILL_WITHIN_MS: u64 = 1800;

/// Numbers without an end, the same for the same seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn told(name: &str, default: u64) -> u64 {
    let told = std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    println!("{name}={told}");
    told
}

/// What the starts between the hard ends have shown.
#[derive(Debug, Default)]
struct Seen {
    /// Starts that went on from a checkpoint that a run had made.
    gone_on: u64,
    /// Batches that were taken again.
    taken_again: u64,
}

impl Seen {
    fn look(&mut self, service: &Running) {
        for line in service.log() {
            if line["message"] == "the state is read back: going on where it stands" {
                self.gone_on += u64::from(line["checkpoint"].as_u64() > Some(1));
                self.taken_again += line["batches_again"].as_u64().unwrap_or(0);
            }
        }
    }
}

/// Lets the service work under load and ends it, hard, at a moment that the seed chooses.
fn kill_once(spread: &Spread, number: u64, part: &[Placed], seeded: &mut Seeded, seen: &mut Seen) {
    std::thread::scope(|scope| {
        let service = spread.start();
        // Every fourth anywhere, on the start too; the others once it takes records.
        if number % 4 != 3 {
            wait_until("it is under way", BACK_WITHIN, || {
                service.log().iter().any(|line| line["message"] == "detection started").then_some(())
            });
        }
        // What is left of it when the end comes is there when the next one starts.
        scope.spawn(|| spread.write(part));
        let until = Instant::now() + Duration::from_millis(seeded.below(KILL_WITHIN_MS));
        wait_until("the moment", Duration::from_secs(5), || (Instant::now() >= until).then_some(()));
        service.signal("KILL");
        seen.look(&service);
    });
    if number % 3 == 0 {
        spread.committed_is_durable();
    }
}

#[test]
fn killed_at_thirty_points_under_load_it_says_what_an_undisturbed_engine_says() {
    let (mut seeded, kills) = (Seeded(told("KILLS_SEED", 7)), told("KILLS", KILLS));
    let (broker, began) = (broker(), Instant::now());
    let records = generate("kills", broker, (kills as usize + 1) * RECORDS_PER_KILL);
    let spread = Spread::new("kills", broker);
    let mut parts = records.chunks(RECORDS_PER_KILL);
    let mut seen = Seen::default();
    for (number, part) in (0..kills).zip(parts.by_ref()) {
        kill_once(&spread, number, part, &mut seeded, &mut seen);
    }
    let service = spread.start();
    parts.for_each(|part| spread.write(part));
    spread.is_done();
    service.terminate();
    let (agreement, delivered) = spread.agrees();
    println!("{seen:?} {agreement:?} {delivered:?} in {:?}", began.elapsed());
    // Else it would show nothing: every start would begin with the first record, and nothing would come twice.
    assert!(seen.gone_on > kills / 2 && seen.taken_again > kills / 3, "{seen:?}");
    assert_eq!(agreement.records, records.len());
    assert!(agreement.batches as u64 > 10 * kills && agreement.contacts > 100, "{agreement:?}");
    assert!(agreement.alerts > 100 && agreement.again > 0 && agreement.dead > 0, "{agreement:?}");
    assert!(delivered.notices > 50 && delivered.again > 0 && delivered.undeliverable < 10, "{delivered:?}");
}
