//! The service killed hard, again and again, under load over three topics and many partitions: what it says in the end is
//! what one engine says that nobody disturbed, what it keeps is what that one keeps, and each user hears of it once.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::BACK_WITHIN;
use super::spread::{Over, Placed, Spread, generate};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Records that there are for a hard end: they are written for as long as the service runs.
const RECORDS_PER_KILL: usize = 1000;
/// Records of the last run.
const LAST_RECORDS: usize = 500;
/// Hard ends under load. `KILLS=n` makes another number of them, `KILLS_SEED=n` chooses other moments: names of the
/// configuration's environment begin otherwise.
const KILLS: u64 = 30;
/// The latest moment of a hard end after what it is waited for.
const KILL_WITHIN_MS: u64 = 1800;
/// How many it has taken by then, at most.
const TAKEN_BEFORE_KILL: u64 = 200;

/// Numbers without an end, the same for the same seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[expect(clippy::print_stdout, reason = "what repeats a run is printed")]
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

/// Checkpoints that were closed since its start.
fn closed(service: &Running) -> Option<f64> {
    service.scrape()?.get("walletwatch_checkpoint_close_seconds_count").copied()
}

/// Lets the service work under load and ends it, hard, at a moment that the seed chooses. How many records were written.
fn kill_once(spread: &Spread, number: u64, records: &[Placed], seeded: &mut Seeded, seen: &mut Seen) -> usize {
    let taken = seeded.below(TAKEN_BEFORE_KILL);
    let within = Duration::from_millis(seeded.below(KILL_WITHIN_MS));
    let is_over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let service = spread.start();
        let over = Over(&is_over);
        if number % 4 != 3 {
            wait_until("detection has started", BACK_WITHIN, || {
                service.log().iter().any(|line| line["message"] == "detection started").then_some(())
            });
        }
        let writer = scope.spawn(|| spread.write_until(records, &is_over));
        // Every fourth anywhere, on the start too; the others once it takes records, or has closed a checkpoint of its own.
        let is_there = || match number % 4 {
            3 => Some(()),
            1 => (closed(&service)? >= 1.0).then_some(()),
            _ => (service.taken()? > taken).then_some(()),
        };
        wait_until("it is under way", BACK_WITHIN, is_there);
        let until = Instant::now() + within;
        wait_until("the moment", Duration::from_secs(5), || (Instant::now() >= until).then_some(()));
        service.signal("KILL");
        drop(over);
        seen.look(&service);
        writer.join().expect("written")
    });
    if number.is_multiple_of(3) {
        spread.committed_is_durable();
    }
    written
}

#[test]
fn killed_at_thirty_points_under_load_it_says_what_an_undisturbed_engine_says() {
    let (mut seeded, kills) = (Seeded(told("KILLS_SEED", 7)), told("KILLS", KILLS));
    let (broker, began) = (broker(), Instant::now());
    let records = generate("kills", broker, (kills as usize + 1) * RECORDS_PER_KILL);
    let spread = Spread::new("kills", broker);
    let mut rest = &records[..];
    let mut seen = Seen::default();
    for number in 0..kills {
        // However slow the machine, there is something left for those that come.
        let share = rest.len().saturating_sub(LAST_RECORDS) / (kills - number) as usize;
        let written = kill_once(&spread, number, &rest[..share], &mut seeded, &mut seen);
        rest = &rest[written..];
    }
    let service = spread.start();
    spread.write(rest);
    spread.is_done();
    service.terminate();
    let (agreement, delivered) = spread.agrees();
    println!("{seen:?} {agreement:?} {delivered:?} in {:?}", began.elapsed());
    // Else it would show nothing: every start would begin with the first record, and nothing would come twice.
    assert!(seen.gone_on > kills / 4 && seen.taken_again > kills / 3, "{seen:?}");
    assert_eq!(agreement.records, records.len());
    assert!(agreement.batches as u64 > kills && agreement.contacts > 100, "{agreement:?}");
    assert!(agreement.alerts > 100 && agreement.again > 0 && agreement.dead > 0, "{agreement:?}");
    assert!(
        delivered.notices > 50 && delivered.again > 0 && delivered.undeliverable < delivered.notices / 10,
        "{delivered:?}"
    );
}
