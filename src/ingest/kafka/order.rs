//! The order between partitions: a merge of their records by timestamp.
//!
//! Guarantees: a partition's records keep their order, none is lost or repeated; heads are taken by
//! (timestamp, at most the moment; topic; partition); inside a batch every lane has its next record at hand or gives
//! no more, so that the order in a batch is the merge of its ranges, whatever came when; only a partition that is
//! *behind* is waited for, and never longer than [`Limits`] say. A batch that is taken again waits for all of its
//! ranges and takes nothing else. Pure: time is an argument. Does not read Kafka: `consumer.rs` asks the queues.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::event::Millis;

/// How long the merge waits, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A partition whose last record is at most this old is live: nobody waits for it, ms.
    pub live_ms: i64,
    /// How long a partition that is behind is waited for, ms.
    pub wait_ms_max: u64,
    /// How long a partition that has not spoken since it was assigned is waited for, ms: its first answer
    /// includes connecting to its broker.
    pub start_wait_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { live_ms: 1000, wait_ms_max: 500, start_wait_ms_max: 10_000 }
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// This record of this lane is the next one.
    Take(u16, Millis, T),
    /// Nothing is at hand of this lane: ask its queue, then say [`Merge::asked`].
    Ask(u16),
    /// A partition is behind: wait until something arrives, at most until this time, ms.
    Wait(u64),
    /// Nothing is at hand; of a batch that is taken again: everything was taken.
    Nothing,
    /// Of a batch that is taken again: this lane has no more, and something is wanted of it.
    Missing(u16),
}

/// The rank of a lane among equal timestamps, and the lane: one number, for it is compared for every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn(u32);

impl Turn {
    fn new(rank: u16, lane: u16) -> Self {
        Turn(u32::from(rank) << 16 | u32::from(lane))
    }

    fn lane(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

/// One partition.
#[derive(Debug)]
struct Lane<T> {
    /// Topic and partition: the order of equal timestamps.
    place: (u16, i32),
    /// That order as a number, among the lanes; in a batch that is taken again, among its ranges.
    turn: Turn,
    /// How many records the batch may still take of it.
    wanted: u32,
    /// What was taken from its queue and not yet handed out.
    queue: VecDeque<(Millis, T)>,
    /// The timestamp of the last record that arrived.
    last: Option<Millis>,
    /// The end of the partition was seen after that record.
    at_end: bool,
    /// Since when it is waited for, ms.
    wait_from_ms: Option<u64>,
    /// It was waited for long enough; until it speaks again nobody waits.
    given_up: bool,
    /// Nothing more is wanted of it.
    finished: bool,
}

impl<T> Lane<T> {
    fn new(place: (u16, i32)) -> Self {
        Lane {
            place,
            turn: Turn(0),
            wanted: ALL,
            queue: VecDeque::new(),
            last: None,
            at_end: false,
            wait_from_ms: None,
            given_up: false,
            finished: false,
        }
    }

    /// What it gives next to the batch.
    fn gives(&self, moment: Millis) -> Gives {
        match self.queue.front() {
            _ if self.wanted == 0 => Gives::Nothing,
            Some((stamp, _)) => Gives::Head((*stamp).min(moment)),
            // Of a batch that is taken again it is told that it is missing.
            None if self.finished && self.wanted == ALL => Gives::Nothing,
            None => Gives::Perhaps,
        }
    }

    fn is_behind(&self, moment: Millis, live_ms: i64) -> bool {
        !self.finished && !self.at_end && self.last.is_none_or(|last| moment.since(last) > live_ms)
    }

    /// It spoke: whoever waited for it waits no more.
    fn spoke(&mut self) {
        self.wait_from_ms = None;
        self.given_up = false;
    }
}

/// What a lane gives next to a batch.
enum Gives {
    /// A record of this timestamp.
    Head(Millis),
    /// Its queue is to be asked.
    Perhaps,
    /// No more.
    Nothing,
}

/// What is wanted of a lane in a live batch: whatever it has.
const ALL: u32 = u32::MAX;

/// The merge of all partitions.
#[derive(Debug)]
pub struct Merge<T> {
    limits: Limits,
    moment: Millis,
    lanes: Vec<Lane<T>>,
    /// The head of each lane that has one: (timestamp, at most the moment; its turn).
    heads: BinaryHeap<Reverse<(Millis, Turn)>>,
    /// Lanes that are empty and whose queue was not asked since.
    unasked: Vec<u16>,
    /// Lanes that were asked, are empty and behind.
    awaited: Vec<u16>,
    /// The batch is taken again: of each lane what it is to give, waited for as long as it takes.
    again: bool,
    /// How often a partition that was behind was given up.
    given_up: u64,
}

impl<T> Merge<T> {
    /// A merge of partitions by their topic and number: each one's lane is its place here.
    pub fn new(places: impl Iterator<Item = (u16, i32)>, limits: Limits) -> Self {
        let mut merge = Merge {
            limits,
            moment: Millis::default(),
            lanes: places.map(Lane::new).collect(),
            heads: BinaryHeap::new(),
            unasked: Vec::new(),
            awaited: Vec::new(),
            again: false,
            given_up: 0,
        };
        merge.rank();
        merge
    }

    /// One more partition, between two batches: the last lane.
    pub fn add(&mut self, place: (u16, i32)) {
        self.lanes.push(Lane::new(place));
        self.rank();
    }

    /// Numbers the lanes by their places.
    fn rank(&mut self) {
        let mut places: Vec<(u16, i32)> = self.lanes.iter().map(|lane| lane.place).collect();
        places.sort_unstable();
        for (number, lane) in (0_u16..).zip(&mut self.lanes) {
            let rank = places.partition_point(|place| *place < lane.place);
            lane.turn = Turn::new(u16::try_from(rank).unwrap_or(u16::MAX), number);
        }
    }

    /// Begins a batch: timestamps count as at most `moment`, and every empty lane is asked again.
    pub fn begin(&mut self, moment: Millis) {
        if std::mem::take(&mut self.again) {
            self.lanes.iter_mut().for_each(|lane| lane.wanted = ALL);
            self.rank();
        }
        self.moment = moment;
        self.resume();
    }

    /// Begins a batch that is taken again: so many records of each of these lanes, which stand in the order of equal
    /// timestamps, and nothing of others.
    pub fn begin_again(&mut self, moment: Millis, ranges: impl Iterator<Item = (u16, u32)>) {
        self.again = true;
        self.moment = moment;
        self.lanes.iter_mut().for_each(|lane| lane.wanted = 0);
        for (rank, (number, records)) in (0_u16..).zip(ranges) {
            if let Some(lane) = self.lanes.get_mut(usize::from(number)) {
                lane.turn = Turn::new(rank, number);
                lane.wanted = records;
            }
        }
        self.resume();
    }

    /// Goes on with a batch that is taken again after something was waited for.
    pub fn resume(&mut self) {
        self.heads.clear();
        self.unasked.clear();
        self.awaited.clear();
        for (number, lane) in (0_u16..).zip(&self.lanes) {
            match lane.gives(self.moment) {
                Gives::Head(stamp) => self.heads.push(Reverse((stamp, lane.turn))),
                Gives::Perhaps => self.unasked.push(number),
                Gives::Nothing => {}
            }
        }
    }

    /// A record arrived, after all that arrived of its lane before. Lanes that are finished take nothing.
    pub fn arrived(&mut self, number: u16, stamp: Millis, item: T) {
        let Some(lane) = self.lanes.get_mut(usize::from(number)).filter(|lane| !lane.finished) else { return };
        lane.last = Some(stamp);
        lane.at_end = false;
        lane.spoke();
        lane.queue.push_back((stamp, item));
        if lane.queue.len() == 1 && lane.wanted > 0 {
            self.heads.push(Reverse((stamp.min(self.moment), lane.turn)));
            self.awaited.retain(|awaited| *awaited != number);
        }
    }

    /// The end of a partition was seen.
    pub fn at_end(&mut self, number: u16) {
        if let Some(lane) = self.lanes.get_mut(usize::from(number)) {
            lane.at_end = true;
            lane.spoke();
            self.awaited.retain(|awaited| *awaited != number);
        }
    }

    /// Nothing more is wanted of a partition. What is at hand of it is still handed out.
    pub fn finish(&mut self, number: u16) {
        if let Some(lane) = self.lanes.get_mut(usize::from(number)) {
            lane.finished = true;
            self.awaited.retain(|awaited| *awaited != number);
            self.unasked.retain(|unasked| *unasked != number);
        }
    }

    /// The queue of a lane was asked: what it had has arrived.
    pub fn asked(&mut self, number: u16, now_ms: u64) {
        self.unasked.retain(|unasked| *unasked != number);
        let again = self.again;
        let Some(lane) = self.lanes.get_mut(usize::from(number)) else { return };
        if again && lane.queue.is_empty() && lane.wanted > 0 {
            self.awaited.push(number);
        } else if lane.queue.is_empty() && !lane.given_up && lane.is_behind(self.moment, self.limits.live_ms) {
            lane.wait_from_ms.get_or_insert(now_ms);
            self.awaited.push(number);
        }
    }

    /// The next record, or what keeps it. `now_ms` is a monotonic time.
    pub fn next(&mut self, now_ms: u64) -> Next<T> {
        if let Some(number) = self.unasked.last() {
            return Next::Ask(*number);
        }
        if self.again {
            if let Some(number) = self.awaited.iter().find(|n| self.has_no_more(**n)) {
                return Next::Missing(*number);
            }
            if !self.awaited.is_empty() {
                return Next::Wait(u64::MAX);
            }
        }
        self.give_up(now_ms);
        if let Some(until) = self.awaited.iter().filter_map(|n| self.waits_until(*n)).max() {
            return Next::Wait(until);
        }
        let Some(Reverse((_, turn))) = self.heads.pop() else { return Next::Nothing };
        let number = turn.lane();
        let Some(lane) = self.lanes.get_mut(usize::from(number)) else { return Next::Nothing };
        let Some((stamp, item)) = lane.queue.pop_front() else { return Next::Nothing };
        if self.again {
            lane.wanted = lane.wanted.saturating_sub(1);
        }
        match lane.gives(self.moment) {
            Gives::Head(stamp) => self.heads.push(Reverse((stamp, lane.turn))),
            Gives::Perhaps => self.unasked.push(number),
            Gives::Nothing => {}
        }
        Next::Take(number, stamp, item)
    }

    fn has_no_more(&self, number: u16) -> bool {
        self.lanes.get(usize::from(number)).is_some_and(|lane| lane.at_end || lane.finished)
    }

    /// By lane, whether the end of its partition was seen and nothing is at hand of it.
    pub fn ends(&self) -> impl Iterator<Item = bool> {
        self.lanes.iter().map(|lane| (lane.at_end || lane.finished) && lane.queue.is_empty())
    }

    /// How many records are at hand.
    pub fn at_hand(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.len()).sum()
    }

    /// Whether nothing more is wanted of any partition, and nothing is at hand.
    pub fn is_finished(&self) -> bool {
        self.lanes.iter().all(|lane| lane.finished && lane.queue.is_empty())
    }

    /// How often a partition that was behind was given up, so far.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    fn waits_until(&self, number: u16) -> Option<u64> {
        let lane = self.lanes.get(usize::from(number))?;
        let limit = if lane.last.is_none() { self.limits.start_wait_ms_max } else { self.limits.wait_ms_max };
        Some(lane.wait_from_ms?.saturating_add(limit))
    }

    /// Forgets those that were waited for long enough.
    fn give_up(&mut self, now_ms: u64) {
        let mut awaited = std::mem::take(&mut self.awaited);
        awaited.retain(|number| {
            let waits = self.waits_until(*number).is_some_and(|until| until > now_ms);
            if !waits && let Some(lane) = self.lanes.get_mut(usize::from(*number)) {
                lane.given_up = true;
                self.given_up += 1;
            }
            waits
        });
        self.awaited = awaited;
    }
}

#[cfg(test)]
mod tests;
