//! One worker per channel: takes what is due from the outbox, sends, writes down how it ended.
//!
//! The queue is the outbox itself, on disk: in memory stands only what is in flight, at most `sends_max` of the
//! channel. So a dead channel slows no other, and a restart repeats at most what was in flight.
//!
//! Guarantees: a send that panics is a failed try; a desk that cannot be written stops the worker with its
//! error. Does not decide what a failure means: `retry` does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::channel::{Channel, Time};
use super::retry::{Outcome, after_try};
use super::service::Shared;
use crate::alert::{Claimed, DeskError, Settlement, Step};
use crate::event::Millis;
use crate::failpoint::{self, reach};

/// A try under way.
struct InFlight {
    notice: String,
    attempts: u32,
    expires: Millis,
}

/// One channel's worker.
pub(super) struct Worker {
    pub name: String,
    pub channel: Arc<dyn Channel>,
    pub shared: Arc<Shared>,
}

/// What woke the worker.
enum Woken {
    Ended(Result<(Id, Outcome), tokio::task::JoinError>),
    Due,
    Stop,
}

impl Worker {
    /// Works until `stop` says so and what is in flight has ended. Dropping it drops what is in flight.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), DeskError> {
        let mut tasks: JoinSet<Outcome> = JoinSet::new();
        let mut in_flight: HashMap<Id, InFlight> = HashMap::new();
        let mut gone = false;
        loop {
            // Asked for before looking: a notice queued in between wakes us at once.
            let arrival = self.shared.arrival();
            let stopping = *stop.borrow();
            let mut next = None;
            if !stopping {
                next = self.fill(&mut tasks, &mut in_flight, gone).await?;
            }
            self.shared.in_flight(&self.name, in_flight.len());
            if stopping && tasks.is_empty() {
                return Ok(());
            }
            match self.wait(&mut tasks, arrival, next, stopping, &mut stop).await {
                Woken::Due | Woken::Stop => {}
                Woken::Ended(first) => gone |= self.end(first, &mut tasks, &mut in_flight).await?,
            }
        }
    }

    /// Starts what is due, as far as there is room. Returns when to look again.
    async fn fill(
        &self,
        tasks: &mut JoinSet<Outcome>,
        in_flight: &mut HashMap<Id, InFlight>,
        gone: bool,
    ) -> Result<Option<Millis>, DeskError> {
        let room = self.channel.sends_max().saturating_sub(tasks.len());
        if room == 0 {
            return Ok(None);
        }
        let now = self.shared.time.now();
        let mut busy: HashSet<String> = in_flight.values().map(|f| f.notice.clone()).collect();
        let name = self.name.clone();
        let (due, expired, next) = self
            .shared
            .desk(move |desk| {
                let (due, expired) = desk.claim(&name, &busy, room, now)?;
                // What is claimed now is no reason to look again; what comes after it is.
                busy.extend(due.iter().map(|c| c.notice.clone()));
                let next = if due.len() < room { desk.next_due(Some(&name), &busy)? } else { None };
                Ok((due, expired, next))
            })
            .await?;
        self.shared.tally(&self.name, "failed", "expired", expired);
        if expired > 0 {
            self.shared.settled();
        }
        if !due.is_empty() {
            reach(failpoint::SEND_CLAIMED);
        }
        for Claimed { notice, attempts, expires, message } in due {
            let channel = Arc::clone(&self.channel);
            let id = notice.clone();
            let sending = async move {
                // Nothing is sent to an endpoint that said it is gone; its notices go to the next channel.
                if gone {
                    return Outcome::Gone;
                }
                reach(failpoint::SEND_BEFORE);
                let outcome = channel.send(id, message, now).await;
                reach(failpoint::SEND_DONE);
                outcome
            };
            let task = tasks.spawn(sending);
            in_flight.insert(task.id(), InFlight { notice, attempts, expires });
        }
        Ok(next)
    }

    async fn wait(
        &self,
        tasks: &mut JoinSet<Outcome>,
        arrival: impl Future<Output = ()>,
        next: Option<Millis>,
        stopping: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Woken {
        let due = async {
            match next {
                Some(at) => self.shared.time.until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = tasks.join_next_with_id() => Woken::Ended(ended),
            () = arrival, if !stopping => Woken::Due,
            () = due, if !stopping => Woken::Due,
            // An error means that the service is gone: then nobody waits for more.
            _ = stop.changed(), if !stopping => Woken::Stop,
        }
    }

    /// Writes down every try that has ended, in one transaction. Says whether the endpoint is gone.
    async fn end(
        &self,
        first: Result<(Id, Outcome), tokio::task::JoinError>,
        tasks: &mut JoinSet<Outcome>,
        in_flight: &mut HashMap<Id, InFlight>,
    ) -> Result<bool, DeskError> {
        let now = self.shared.time.now();
        let mut ended = vec![first];
        while let Some(more) = tasks.try_join_next_with_id() {
            ended.push(more);
        }
        let mut gone = false;
        let mut settlements = Vec::with_capacity(ended.len());
        for end in ended {
            let (id, outcome) = match end {
                Ok(end) => end,
                Err(broken) => (broken.id(), Outcome::transient("internal")),
            };
            let Some(InFlight { notice, attempts, expires }) = in_flight.remove(&id) else { continue };
            gone |= outcome == Outcome::Gone;
            let step = after_try(outcome, attempts, now, expires, self.shared.random());
            self.told(&notice, outcome, step);
            settlements.push(Settlement { notice, step });
        }
        let moved = self.shared.desk(move |desk| desk.settle(&settlements, now)).await?;
        reach(failpoint::SEND_MARKED);
        if !moved.is_empty() {
            self.shared.arrived();
        }
        self.shared.settled();
        Ok(gone)
    }

    fn told(&self, notice: &str, outcome: Outcome, step: Step) {
        let outcome_word = match step {
            Step::Sent => "sent",
            Step::Retry { .. } => "retried",
            Step::NextChannel { .. } => "refused",
            Step::Expired => "failed",
        };
        self.shared.tried(&self.name, outcome);
        self.shared.tally(&self.name, outcome_word, outcome.reason(), 1);
        if step != Step::Sent {
            tracing::warn!(channel = %self.name, notice, outcome = outcome_word, reason = outcome.reason(), "notice not delivered");
        }
    }
}

/// The real time.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallTime;

impl Time for WallTime {
    fn now(&self) -> Millis {
        crate::clock::now()
    }

    fn until(&self, at: Millis) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        let ms = u64::try_from(at.since(self.now())).unwrap_or_default();
        Box::pin(tokio::time::sleep(std::time::Duration::from_millis(ms)))
    }
}
