//! Making the group ours, before anything is read.
//!
//! Guarantees: claiming moves no offset: it writes those that stand in the group, and where none stand those at which
//! reading begins; it ends with the group ours, with an error that names the other, or when it is asked to stop.
//! What is decided is in `owner.rs`.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::Consumer;
use super::context::Context;
use super::error::{Error, patiently};
use super::offsets::Offsets;
use super::owner::{Claiming, Mark, Seen, Step, Timing};
use crate::clock;
use crate::ingest::Partition;

/// Whose claim it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The owner: the id that lives in the state folder.
    pub owner: String,
    /// Takes over from an owner that still works.
    pub take_over: bool,
    /// How long it takes.
    pub timing: Timing,
}

/// How long a look waits for something that wakes it, at most: a stop is seen after that.
const STOP_LOOK: Duration = Duration::from_millis(100);

/// A group that may be claimed: nobody else was seen at work, and nothing was written yet.
pub struct Claimable {
    claiming: Claiming,
    began: Instant,
    mark: Mark,
}

/// What comes of looking.
enum Decided {
    Commit(Mark),
    Owned(Mark),
}

impl Consumer {
    /// Makes the group ours; what is committed from then on carries our mark. Blocks up to the times of the claim.
    pub fn claim(&self, claim: &Claim, stop: &dyn Fn() -> bool) -> Result<Offsets, Error> {
        self.take(self.watch(claim, stop)?, stop)
    }

    /// Watches whether another detector is at work; writes nothing.
    pub fn watch(&self, claim: &Claim, stop: &dyn Fn() -> bool) -> Result<Claimable, Error> {
        let claiming = Claiming::new(&claim.owner, claim.take_over, claim.timing);
        let began = Instant::now();
        let (claiming, Decided::Commit(mark) | Decided::Owned(mark)) =
            self.decide(claiming, began, claim.timing.watch, stop)?;
        Ok(Claimable { claiming, began, mark })
    }

    /// Makes a group ours that was watched. What must be durable before the group has commits, is so by now.
    pub fn take(&self, claimable: Claimable, stop: &dyn Fn() -> bool) -> Result<Offsets, Error> {
        let Claimable { mut claiming, began, mut mark } = claimable;
        loop {
            self.mark(&mark)?;
            claiming.wrote(began.elapsed());
            let (next, decided) = self.decide(claiming, began, Duration::ZERO, stop)?;
            claiming = next;
            match decided {
                Decided::Commit(again) => mark = again,
                Decided::Owned(mark) => {
                    let Mark { epoch, run, owner, .. } = &mark;
                    tracing::info!(group = self.config.group, epoch, run, owner, "this detector owns the group");
                    return Ok(self.offsets_as(Some(mark)));
                }
            }
        }
    }

    /// Looks until there is something else to do. What is watched for so long is told.
    fn decide(
        &self,
        mut claiming: Claiming,
        began: Instant,
        watch: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<(Claiming, Decided), Error> {
        let mut is_told = watch.is_zero();
        loop {
            let (_, seen) = read(&self.consumer, &self.read_partitions(), self.timeout())?;
            match claiming.next(began.elapsed(), clock::now(), seen.clone()) {
                Step::Look(after) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let other = seen.mark.map_or_else(|| "nobody known".to_owned(), |mark| mark.owner);
                        let (group, wait_s) = (&self.config.group, watch.as_secs());
                        tracing::info!(group, other, wait_s, "the group was another detector's: is it still at work?");
                    }
                    wait(after, stop)?;
                }
                Step::Commit(mark) => return Ok((claiming, Decided::Commit(mark))),
                Step::Owned(mark) => return Ok((claiming, Decided::Owned(mark))),
                Step::Refused(other) => return Err(self.other(other)),
            }
        }
    }

    /// Writes our mark beside the offsets that stand in the group, or where reading begins.
    fn mark(&self, mark: &Mark) -> Result<(), Error> {
        let (standing, seen) = read(&self.consumer, &self.read_partitions(), self.timeout())?;
        if let Some(other) = seen.mark.filter(|other| other.is_before(mark)) {
            return Err(self.other(other));
        }
        let offsets = if standing.is_empty() { self.starts() } else { standing };
        write(&self.consumer, &offsets, Some(mark), self.timeout())
    }

    fn other(&self, other: Mark) -> Error {
        let age_s = clock::now().since(other.time).max(0) / 1000;
        Error::OtherDetector { owner: other.owner, group: self.config.group.clone(), epoch: other.epoch, age_s }
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.request_timeout_ms)
    }

    /// The partitions that are read.
    fn read_partitions(&self) -> Vec<Partition> {
        self.names.all().into_iter().filter(|lane| self.topics.contains(&lane.topic)).collect()
    }

    /// Where reading of each begins; of one that reads history, where it goes on behind that.
    pub fn starts(&self) -> Vec<(Partition, i64)> {
        let starts = self.goes_on_at.clone().unwrap_or_else(|| self.positions.from(0));
        let lanes = self.names.all().into_iter().zip(starts);
        lanes.filter(|(lane, _)| self.topics.contains(&lane.topic)).collect()
    }
}

fn wait(time: Duration, stop: &dyn Fn() -> bool) -> Result<(), Error> {
    let until = Instant::now() + time;
    loop {
        if stop() {
            return Err(Error::StoppedEarly);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::park_timeout(left.min(STOP_LOOK));
    }
}

/// What stands in a group: offsets, and the mark that stands before the others.
pub type Standing = (Vec<(Partition, i64)>, Seen);

/// What stands in the group of these partitions.
pub(super) fn read(
    consumer: &BaseConsumer<Context>,
    partitions: &[Partition],
    timeout: Duration,
) -> Result<Standing, Error> {
    let what = "read what is committed";
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for lane in partitions {
        list.add_partition(&lane.topic, lane.partition);
    }
    let found =
        patiently(timeout, || consumer.committed_offsets(list.clone(), timeout)).map_err(Error::request(what))?;
    let (mut offsets, mut seen) = (Vec::new(), Seen::default());
    for element in found.elements() {
        element.error().map_err(Error::request(what))?;
        let Offset::Offset(offset) = element.offset() else { continue };
        offsets.push((Partition::new(element.topic(), element.partition()), offset));
        seen.has_commits = true;
        if let Some(mark) = Mark::parse(element.metadata())
            && seen.mark.as_ref().is_none_or(|before| mark.is_before(before) || is_later(&mark, before))
        {
            seen.mark = Some(mark);
        }
    }
    Ok((offsets, seen))
}

/// The same detector's later mark.
fn is_later(mark: &Mark, before: &Mark) -> bool {
    mark.is_same(before) && mark.time > before.time
}

/// Commits offsets under a mark, and waits until they stand.
pub(super) fn write(
    consumer: &BaseConsumer<Context>,
    offsets: &[(Partition, i64)],
    mark: Option<&Mark>,
    timeout: Duration,
) -> Result<(), Error> {
    let what = "commit the offsets";
    let text = mark.map(Mark::text);
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (lane, next) in offsets {
        let mut element = list.add_partition(&lane.topic, lane.partition);
        element.set_offset(Offset::Offset(*next)).map_err(Error::request(what))?;
        if let Some(text) = &text {
            element.set_metadata(text);
        }
    }
    patiently(timeout, || consumer.commit(&list, CommitMode::Sync)).map_err(Error::request(what))
}
