//! The watermark, as the page says it: the least, over partitions not idle, of the newest event time, less a minute.

use std::collections::BTreeMap;

use super::describe::*;

/// How far it is behind the newest times.
const BEHIND: Ms = MINUTE;
/// A partition is idle at its end with nothing for so long, by the moments of batches.
const IDLE_AFTER: Ms = MINUTE;

#[derive(Default)]
struct Partition {
    newest: Option<Ms>,
    /// The moment of the batch of its last record; at first, of the batch that first knew it.
    spoke: Ms,
    is_idle: bool,
}

#[derive(Default)]
pub struct Watermark {
    partitions: BTreeMap<u16, Partition>,
    moment: Ms,
    at: Option<Ms>,
}

impl Watermark {
    /// A batch was read.
    pub fn read(&mut self, read: &Read) {
        self.moment = read.moment;
        for (number, at_end) in (0..).zip(&read.at_end) {
            let new = Partition { spoke: read.moment, ..Partition::default() };
            let partition = self.partitions.entry(number).or_insert(new);
            partition.is_idle = *at_end && read.moment - partition.spoke >= IDLE_AFTER;
        }
        self.move_on();
    }

    /// A record of a partition, whatever it holds.
    pub fn spoke(&mut self, partition: u16) {
        let partition = self.partitions.entry(partition).or_default();
        (partition.spoke, partition.is_idle) = (self.moment, false);
        self.move_on();
    }

    /// An accepted event of a partition.
    pub fn accepted(&mut self, partition: u16, time: Ms) {
        let partition = self.partitions.entry(partition).or_default();
        partition.newest = partition.newest.max(Some(time));
        self.move_on();
    }

    /// `None` until it has moved.
    pub fn at(&self) -> Option<Ms> {
        self.at
    }

    /// Never backwards, and not before every partition that is not idle has shown an event.
    fn move_on(&mut self) {
        let newest: Option<Vec<Ms>> = self.partitions.values().filter(|p| !p.is_idle).map(|p| p.newest).collect();
        let least = newest.and_then(|newest| newest.into_iter().min());
        self.at = self.at.max(least.map(|least| least - BEHIND));
    }
}
