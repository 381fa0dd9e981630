//! The service: a worker per channel over one desk, from start to drain.
//!
//! Guarantees: what the desk has queued is sent without anybody asking; a desk that fails stops everything and
//! the error comes out of [`Service::idle`] and [`Service::failed`]. Does not read Kafka: `app` gives what was
//! read to [`Service::take`].

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::channel::{Channel, Channels, Time};
use super::retry::Outcome;
use super::worker::Worker;
use crate::alert::{Compose, Desk, DeskError, Offset, Record, Taken};
use crate::event::Millis;
use crate::failpoint::{self, reach};

/// Notices by channel, outcome (`sent`, `retried`, `refused`, `failed`) and reason since the start. All words
/// come from configuration and code.
pub type Tally = BTreeMap<(String, &'static str, &'static str), u64>;

/// How a channel does, as of its last try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelView {
    /// Notices it is sending now.
    pub in_flight: usize,
    /// Notices it sends at once, at most.
    pub sends_max: usize,
    /// Tries that failed, for reasons of the channel's own, since it last took one.
    pub failures_in_a_row: u32,
    /// Why the last of them failed.
    pub reason: &'static str,
}

/// What can be seen of a running service from outside.
#[derive(Clone)]
pub struct View(Arc<Shared>);

impl View {
    /// What was sent, retried, refused and failed so far.
    pub fn tally(&self) -> Tally {
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Each channel by name.
    pub fn channels(&self) -> BTreeMap<String, ChannelView> {
        self.0.channels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The desk. Blocks on the disk.
    pub fn desk(&self) -> &Desk {
        &self.0.desk
    }
}

/// In place of a channel, in the tally: notices that went on without the contact they waited for.
pub const CONTACTS: &str = "contacts";

/// A running service.
pub struct Service {
    shared: Arc<Shared>,
    composer: Arc<dyn Compose>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all workers share.
pub(super) struct Shared {
    desk: Arc<Desk>,
    pub time: Arc<dyn Time>,
    arrivals: Notify,
    settled: watch::Sender<()>,
    failed: watch::Sender<Option<Arc<DeskError>>>,
    tally: Mutex<Tally>,
    channels: Mutex<BTreeMap<String, ChannelView>>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Nothing was left in flight.
    Whole,
    /// The deadline came first: what was in flight is repeated after the next start, under its key.
    CutOff,
}

impl Service {
    /// Starts the workers on `runtime`.
    pub fn start(
        desk: Arc<Desk>,
        composer: Arc<dyn Compose>,
        channels: &Channels,
        time: Arc<dyn Time>,
        runtime: &Handle,
    ) -> Self {
        let shared = Arc::new(Shared {
            desk,
            time,
            arrivals: Notify::new(),
            settled: watch::Sender::new(()),
            failed: watch::Sender::new(None),
            tally: Mutex::default(),
            channels: Mutex::new(channels.iter().map(|(name, channel)| (name.clone(), view(&**channel))).collect()),
        });
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Vec::new();
        for (name, channel) in channels.iter() {
            let worker = Worker { name: name.clone(), channel: Arc::clone(channel), shared: Arc::clone(&shared) };
            let shared = Arc::clone(&shared);
            let stopping = stopping.clone();
            tasks.push(runtime.spawn(async move { shared.end(worker.run(stopping).await) }));
        }
        let waiting = stop_waiting(Arc::clone(&shared), Arc::clone(&composer), stopping);
        let watched = Arc::clone(&shared);
        tasks.push(runtime.spawn(async move { watched.end(waiting.await) }));
        Service { shared, composer, stop, tasks }
    }

    /// Takes a batch into the desk and wakes the workers. Blocks on the disk: call it from a thread of its own.
    pub fn take(&self, records: &[Record<'_>], offsets: &[Offset]) -> Result<Taken, DeskError> {
        let taken = self.shared.desk.take(records, offsets, &*self.composer, self.shared.time.now())?;
        reach(failpoint::DESK_COMMITTED);
        self.shared.arrived();
        Ok(taken)
    }

    /// Ends when every notice of what was taken is sent, failed or waiting for a retry.
    pub async fn idle(&self) -> Result<(), Arc<DeskError>> {
        let mut settled = self.shared.settled.subscribe();
        let mut failed = self.shared.failed.subscribe();
        loop {
            settled.mark_unchanged();
            if let Some(error) = failed.borrow_and_update().clone() {
                return Err(error);
            }
            if self.shared.desk(|desk| desk.untried()).await.map_err(Arc::new)? == 0 {
                return Ok(());
            }
            tokio::select! {
                _ = settled.changed() => {}
                _ = failed.changed() => {}
            }
        }
    }

    /// Ends when the desk has failed: then nothing more is sent, and the process should stop.
    pub async fn failed(&self) -> Arc<DeskError> {
        let mut failed = self.shared.failed.subscribe();
        loop {
            if let Some(error) = failed.borrow_and_update().clone() {
                return error;
            }
            if failed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What was sent, retried, refused and failed so far.
    pub fn tally(&self) -> Tally {
        self.view().tally()
    }

    /// What can be seen from outside, also after the stop.
    pub fn view(&self) -> View {
        View(Arc::clone(&self.shared))
    }

    /// Starts nothing more and waits for what is in flight, but no longer than `limit`.
    pub async fn stop(mut self, limit: Duration) -> Drained {
        // No receiver left means that every worker has ended.
        let _ = self.stop.send(true);
        let tasks = std::mem::take(&mut self.tasks);
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let all = async {
            for task in tasks {
                // A worker that panicked has nothing in flight any more.
                let _ = task.await;
            }
        };
        match tokio::time::timeout(limit, all).await {
            Ok(()) => Drained::Whole,
            Err(_) => {
                aborts.iter().for_each(tokio::task::AbortHandle::abort);
                Drained::CutOff
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    /// Work at the desk, which waits for the disk, away from the async threads.
    pub async fn desk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Desk) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        let desk = Arc::clone(&self.desk);
        match tokio::task::spawn_blocking(move || work(&desk)).await {
            Ok(result) => result,
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            // The runtime is going down.
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends at the next arrival after this call.
    pub fn arrival(&self) -> impl Future<Output = ()> {
        let mut arrival = Box::pin(self.arrivals.notified());
        arrival.as_mut().enable();
        arrival
    }

    pub fn arrived(&self) {
        self.arrivals.notify_waiters();
    }

    pub fn settled(&self) {
        self.settled.send_replace(());
    }

    pub fn tally(&self, channel: &str, outcome: &'static str, reason: &'static str, count: u64) {
        if count > 0 {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            *tally.entry((channel.to_owned(), outcome, reason)).or_default() += count;
        }
    }

    /// A channel is sending so many.
    pub fn in_flight(&self, channel: &str, in_flight: usize) {
        self.see(channel, |view| view.in_flight = in_flight);
    }

    /// How a try of a channel ended.
    pub fn tried(&self, channel: &str, outcome: Outcome) {
        self.see(channel, |view| match outcome {
            Outcome::Delivered => (view.failures_in_a_row, view.reason) = (0, ""),
            failed if failed.blames_channel() => {
                view.failures_in_a_row = view.failures_in_a_row.saturating_add(1);
                view.reason = failed.reason();
            }
            _ => {}
        });
    }

    fn see(&self, channel: &str, change: impl FnOnce(&mut ChannelView)) {
        if let Some(view) = self.channels.lock().unwrap_or_else(PoisonError::into_inner).get_mut(channel) {
            change(view);
        }
    }

    /// Jitter need not be secret.
    pub fn random(&self) -> u64 {
        // Each `RandomState` has keys of its own.
        RandomState::new().hash_one(())
    }

    fn end(&self, result: Result<(), DeskError>) {
        if let Err(error) = result {
            tracing::error!(error = %error, "the desk has failed: nothing more is sent");
            self.failed.send_replace(Some(Arc::new(error)));
        }
    }
}

fn view(channel: &dyn Channel) -> ChannelView {
    ChannelView { sends_max: channel.sends_max(), ..ChannelView::default() }
}

/// Lets notices go on that have waited long enough for their contact.
async fn stop_waiting(
    shared: Arc<Shared>,
    composer: Arc<dyn Compose>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), DeskError> {
    loop {
        let arrival = shared.arrival();
        if *stop.borrow() {
            return Ok(());
        }
        let now = shared.time.now();
        let for_desk = Arc::clone(&composer);
        let (taken, next) = shared
            .desk(move |desk| {
                let none = std::collections::HashSet::new();
                let is_due = desk.next_due(None, &none)?.is_some_and(|at| at <= now);
                let taken = if is_due { desk.stop_waiting(&*for_desk, now)? } else { Taken::default() };
                Ok((taken, desk.next_due(None, &none)?))
            })
            .await?;
        if taken != Taken::default() {
            shared.tally(CONTACTS, "late", "contact_late", taken.contact_late);
            for (reason, notices) in &taken.undeliverable {
                shared.tally("none", "undeliverable", reason, *notices);
            }
            shared.arrived();
            shared.settled();
        }
        let due = wait_until(&*shared.time, next);
        tokio::select! {
            () = arrival => {}
            () = due => {}
            _ = stop.changed() => {}
        }
    }
}

async fn wait_until(time: &dyn Time, at: Option<Millis>) {
    match at {
        Some(at) => time.until(at).await,
        None => std::future::pending().await,
    }
}
