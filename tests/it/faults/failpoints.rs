//! The service ended at every named failpoint, one after the other, on one state: each start first recovers from what the
//! point before left. In the end everything is as an undisturbed engine says, and no point of the list was never reached.
//!
//! Needs a build with the feature `failpoints`, which `tests/run` makes and names in `FAILPOINTS_BIN`.

use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use walletwatch::failpoint;

use super::BACK_WITHIN;
use super::spread::{Over, Spread, generate};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;

/// Records that there are for a point on average: they are written for as long as the service runs. Some points are passed
/// with each batch, others once in a checkpoint, a second or more.
const RECORDS_PER_POINT: usize = 1200;
/// Records of the last run.
const LAST_RECORDS: usize = 500;
/// How often a point is passed before it ends the service.
const PASSES: u32 = 2;
/// How long a point may take to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(60);
/// `abort`: as sudden as `kill -9`, and told apart from it.
const ABORTED: i32 = 6;

#[test]
fn ended_at_every_failpoint_it_says_what_an_undisturbed_engine_says() {
    let Ok(binary) = std::env::var("FAILPOINTS_BIN") else {
        println!("SKIPPED: FAILPOINTS_BIN names no build with the feature `failpoints`; tests/run makes one");
        return;
    };
    let (broker, began) = (broker(), Instant::now());
    let points = failpoint::ALL;
    let records = generate("points", broker, points.len() * RECORDS_PER_POINT);
    let spread = Spread::new("points", broker);
    let mut rest = &records[..];
    for name in points {
        let mut command = Command::new(&binary);
        command.env("FAILPOINTS", format!("{name}={PASSES}*off->return"));
        let mut service = spread.start_of(command);
        let has_ended = AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            wait_until("it is under way", BACK_WITHIN, || {
                let is_under_way = service.log().iter().any(|line| line["message"] == "detection started");
                (is_under_way || service.ended_by().is_some()).then_some(())
            });
            let writer = scope.spawn(|| spread.write_until(rest, &has_ended));
            let over = Over(&has_ended);
            let signal = wait_until(&format!("the service ends at {name}"), REACHED_WITHIN, || service.ended_by());
            assert_eq!(signal, ABORTED, "{name}");
            drop(over);
            writer.join().expect("written")
        });
        rest = &rest[written..];
        assert!(rest.len() > LAST_RECORDS, "there is no load left for what comes after {name}");
        spread.committed_is_durable();
    }
    // The build that people run.
    let service = spread.start();
    spread.write(&rest[..LAST_RECORDS]);
    spread.is_done();
    service.terminate();
    let (agreement, delivered) = spread.agrees();
    println!("{} points, {agreement:?} {delivered:?} in {:?}", points.len(), began.elapsed());
    assert_eq!(agreement.records, records.len() - rest.len() + LAST_RECORDS);
    assert!(agreement.alerts > 100 && agreement.again > 0 && agreement.dead > 0, "{agreement:?}");
    assert!(delivered.notices > 50 && delivered.again > 0, "{delivered:?}");
}
