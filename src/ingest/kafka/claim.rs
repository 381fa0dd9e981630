//! Making the group ours, before anything is read.
//!
//! Guarantees: claiming moves no offset: it writes those that stand in the group, and where none stand those at which
//! reading begins; it ends with the group ours, with an error that names the other, or when it is asked to stop.
//! What is decided is in `owner.rs`.

use std::sync::Arc;
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

impl Consumer {
    /// Makes the group ours; what is committed from then on carries our mark. Blocks up to the times of the claim.
    pub fn claim(&self, claim: &Claim, stop: &dyn Fn() -> bool) -> Result<Offsets, Error> {
        let timeout = Duration::from_millis(self.config.request_timeout_ms);
        let mut claiming = Claiming::new(&claim.owner, claim.take_over, claim.timing);
        let began = Instant::now();
        let mut is_told = false;
        loop {
            let partitions = self.read_partitions();
            let (standing, seen) = read(&self.consumer, &partitions, timeout)?;
            match claiming.next(began.elapsed(), clock::now(), seen.clone()) {
                Step::Commit(mark) => {
                    let offsets = match standing.is_empty() {
                        true => self.starts(),
                        false => standing,
                    };
                    write(&self.consumer, &offsets, Some(&mark), timeout)?;
                }
                Step::Look(after) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let other = seen.mark.map_or_else(|| "nobody known".to_owned(), |mark| mark.owner);
                        let (group, wait_s) = (&self.config.group, claim.timing.watch.as_secs());
                        tracing::info!(
                            group,
                            other,
                            wait_s,
                            "the group was another detector's: watching whether it still works"
                        );
                    }
                    wait(after, stop)?;
                }
                Step::Owned(mark) => {
                    let Mark { epoch, run, owner, .. } = &mark;
                    tracing::info!(group = self.config.group, epoch, run, owner, "this detector owns the group");
                    return Ok(self.offsets_as(Some(mark)));
                }
                Step::Refused(other) => {
                    let age_s = clock::now().since(other.time).max(0) / 1000;
                    let group = self.config.group.clone();
                    return Err(Error::OtherDetector { owner: other.owner, group, epoch: other.epoch, age_s });
                }
            }
        }
    }

    /// The partitions that are read.
    fn read_partitions(&self) -> Vec<Partition> {
        self.names.all().into_iter().filter(|lane| self.topics.contains(&lane.topic)).collect()
    }

    /// Where reading of each begins.
    pub fn starts(&self) -> Vec<(Partition, i64)> {
        let lanes = self.names.all().into_iter().zip(self.positions.from(0));
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

/// What stands in the group: the offsets of these partitions, and the mark that stands before the others.
pub(super) fn read(
    consumer: &Arc<BaseConsumer<Context>>,
    partitions: &[Partition],
    timeout: Duration,
) -> Result<(Vec<(Partition, i64)>, Seen), Error> {
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
    consumer: &Arc<BaseConsumer<Context>>,
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
