//! The service on a clock that stands still until a test moves it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;
use walletwatch::alert::{Desk, Message, NoticeState, Order, Record, Undeliverable};
use walletwatch::deliver::retry::RETRY_STEPS_MS;
use walletwatch::deliver::{
    Channel, Channels, Composer, Drained, NoticesConfig, Outcome, Sending, Service, Templates, Texts, Time,
};
use walletwatch::event::Millis;
use walletwatch::ruleset::{Audience, Band, Policy, Route};

use super::alerts::{NOW, alert, contact, desk};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

struct StillTime(watch::Sender<i64>);

impl StillTime {
    fn new() -> Arc<Self> {
        Arc::new(StillTime(watch::Sender::new(NOW.0)))
    }

    fn advance(&self, ms: i64) {
        self.0.send_modify(|now| *now += ms);
    }
}

impl Time for StillTime {
    fn now(&self) -> Millis {
        Millis(*self.0.borrow())
    }

    fn until(&self, at: Millis) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut now = self.0.subscribe();
        Box::pin(async move {
            let _ = now.wait_for(|now| *now >= at.0).await;
        })
    }
}

/// What a scripted channel does with one message.
#[derive(Clone, Copy)]
enum Act {
    End(Outcome),
    Panic,
    Hang,
}

/// A channel that does as it is told and keeps what it saw.
struct Scripted {
    acts: Mutex<VecDeque<Act>>,
    then: Act,
    seen: watch::Sender<Vec<(i64, String, Vec<u8>)>>,
}

impl Scripted {
    fn new(acts: &[Act], then: Act) -> Arc<Self> {
        Arc::new(Scripted { acts: Mutex::new(acts.iter().copied().collect()), then, seen: watch::Sender::default() })
    }

    /// When it was called, ms after the start, once it was called so often.
    async fn calls(&self, count: usize) -> Vec<i64> {
        let mut seen = self.seen.subscribe();
        let reached = tokio::time::timeout(DEADLINE, seen.wait_for(|s| s.len() >= count)).await;
        reached.expect("called so often").expect("alive").iter().map(|(at, ..)| at - NOW.0).collect()
    }

    fn keys_and_bodies(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.borrow().iter().map(|(_, key, body)| (key.clone(), body.clone())).collect()
    }
}

impl Channel for Scripted {
    fn sends_max(&self) -> usize {
        2
    }

    fn is_for_users(&self) -> bool {
        true
    }

    fn compose(&self, order: &Order<'_>, texts: Option<&Texts>) -> Result<Message, Undeliverable> {
        let contact = order.contact.ok_or(Undeliverable::NoContact)?;
        let body = texts.ok_or(Undeliverable::NoTemplate)?.sms.clone().into_bytes();
        Ok(Message { recipient: contact.account.clone(), body })
    }

    fn send(self: Arc<Self>, notice: String, message: Message, now: Millis) -> Sending {
        let act = self.acts.lock().expect("sound").pop_front().unwrap_or(self.then);
        self.seen.send_modify(|seen| seen.push((now.0, notice, message.body)));
        Box::pin(async move {
            match act {
                Act::End(outcome) => outcome,
                Act::Panic => panic!("told to panic"),
                Act::Hang => std::future::pending().await,
            }
        })
    }
}

const GOOD: Act = Act::End(Outcome::Delivered);
const DOWN: Act = Act::End(Outcome::Transient { reason: "status_5xx", retry_after_ms: None });

struct Running {
    service: Service,
    desk: Arc<Desk>,
    time: Arc<StillTime>,
    _folder: TempDir,
}

impl Running {
    /// A service with two channels; `high` goes to the first with the second in reserve, `critical` to both.
    fn start(first: &Arc<Scripted>, second: &Arc<Scripted>) -> Self {
        let (desk, folder) = desk();
        let desk = Arc::new(desk);
        let mut channels = Channels::default();
        channels.add("first", Arc::clone(first) as Arc<dyn Channel>);
        channels.add("second", Arc::clone(second) as Arc<dyn Channel>);
        let route = |from, all| Route {
            audience: Audience::User,
            from,
            channels: vec!["first".to_owned(), "second".to_owned()],
            all,
        };
        let policy =
            Policy { routes: vec![route(Band::Critical, true), route(Band::Info, false)], ..Policy::default() };
        let templates = Templates::load(&NoticesConfig::default()).expect("templates");
        let composer = Composer::new(Arc::new(policy), channels.clone(), Arc::new(templates));
        let time = StillTime::new();
        let clock = Arc::clone(&time) as Arc<dyn Time>;
        let service = Service::start(Arc::clone(&desk), Arc::new(composer), &channels, clock, &Handle::current());
        Running { service, desk, time, _folder: folder }
    }

    fn take(&self, ids: &[&str], band: &str) {
        for id in ids {
            // One account each: nothing is grouped.
            let contact = contact(id, "en").to_string().into_bytes();
            let alert = alert(id, id, band).to_string().into_bytes();
            let records = [Record::Contact(&contact), Record::Alert(&alert)];
            self.service.take(&records, &[]).expect("taken");
        }
    }

    async fn idle(&self) {
        tokio::time::timeout(DEADLINE, self.service.idle()).await.expect("idle in time").expect("a sound desk");
    }

    /// Once so many tries are written down: state and reason of each notice.
    async fn told(&self, tries: u64) -> Vec<String> {
        let mut tally = self.service.tally();
        let end = tokio::time::Instant::now() + DEADLINE;
        while tally.values().sum::<u64>() < tries {
            assert!(tokio::time::Instant::now() < end, "{tally:?}");
            tokio::task::yield_now().await;
            tally = self.service.tally();
        }
        self.idle().await;
        let mut rows = self.desk.notices(100).expect("rows");
        rows.sort_by(|a, b| (&a.alert, &a.channel).cmp(&(&b.alert, &b.channel)));
        let word = |o: Option<String>| o.unwrap_or_else(|| "-".to_owned());
        rows.into_iter()
            .filter(|n| n.audience == "user")
            .map(|n| format!("{} {} {} {}", n.alert, word(n.channel), n.state.word(), word(n.reason)))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sent_once_with_one_key_each() {
    let (first, second) = (Scripted::new(&[], GOOD), Scripted::new(&[], GOOD));
    let running = Running::start(&first, &second);
    running.take(&["a", "b", "c"], "high");
    running.take(&["d"], "critical");
    let told = running.told(5).await;
    assert_eq!(told, ["a first sent -", "b first sent -", "c first sent -", "d first sent -", "d second sent -"]);
    assert_eq!((first.calls(4).await.len(), second.calls(1).await.len()), (4, 1));
    let keys: std::collections::HashSet<String> =
        first.keys_and_bodies().into_iter().chain(second.keys_and_bodies()).map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 5);
    assert_eq!(running.service.stop(DEADLINE).await, Drained::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_channel_is_tried_on_schedule_while_the_other_sends_at_once() {
    let (dead, alive) = (Scripted::new(&[], DOWN), Scripted::new(&[], GOOD));
    let running = Running::start(&dead, &alive);
    running.take(&["a", "b", "c"], "critical");
    assert_eq!(alive.calls(3).await, [0, 0, 0], "in the same virtual second");
    running.idle().await;
    let mut due = 0;
    for (number, step) in RETRY_STEPS_MS.iter().enumerate() {
        running.time.advance(*step);
        due += step;
        let calls = dead.calls(3 * (number + 2)).await;
        assert!(calls.last().is_some_and(|at| *at <= due), "{calls:?}");
        running.told(3 + 3 * (number as u64 + 2)).await;
    }
    assert_eq!(alive.calls(3).await.len(), 3, "nothing was sent twice");
    let bodies = dead.keys_and_bodies();
    let distinct: std::collections::HashSet<_> = bodies.iter().collect();
    assert_eq!((bodies.len(), distinct.len()), (27, 3), "each try has the same key and the same bytes");
    // A day after it was made, a notice is not worth sending.
    running.time.advance(24 * 3_600_000);
    let end = tokio::time::Instant::now() + DEADLINE;
    while running.told(30).await.iter().filter(|line| line.ends_with("first failed expired")).count() < 3 {
        assert!(tokio::time::Instant::now() < end);
        tokio::task::yield_now().await;
    }
    assert_eq!(dead.keys_and_bodies().len(), 27, "too late is not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_channel_will_never_take_goes_to_the_next() {
    let first = Scripted::new(&[Act::End(Outcome::Permanent { reason: "smtp_5xx" })], GOOD);
    let second = Scripted::new(&[Act::End(Outcome::Permanent { reason: "status_4xx" })], GOOD);
    let running = Running::start(&first, &second);
    running.take(&["a"], "high");
    assert_eq!(running.told(2).await, ["a second failed status_4xx"]);
    running.take(&["b"], "high");
    assert_eq!(running.told(3).await, ["a second failed status_4xx", "b first sent -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_more_goes_to_an_endpoint_that_is_gone() {
    let first = Scripted::new(&[Act::End(Outcome::Gone)], GOOD);
    let second = Scripted::new(&[], GOOD);
    let running = Running::start(&first, &second);
    running.take(&["a"], "high");
    running.told(2).await;
    running.take(&["b", "c"], "high");
    assert_eq!(running.told(6).await, ["a second sent -", "b second sent -", "c second sent -"]);
    assert_eq!(first.keys_and_bodies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_are_seen_until_one_is_taken() {
    let script = [DOWN, Act::End(Outcome::Permanent { reason: "smtp_5xx" }), DOWN];
    let (first, second) = (Scripted::new(&script, GOOD), Scripted::new(&[], GOOD));
    let running = Running::start(&first, &second);
    let seen = || {
        let channels = running.service.view().channels();
        let first = channels.get("first").expect("a channel");
        (first.failures_in_a_row, first.reason, first.sends_max > 0)
    };
    assert_eq!(seen(), (0, "", true));
    let down = match DOWN {
        Act::End(outcome) => outcome.reason(),
        _ => panic!("an end"),
    };
    running.take(&["a"], "high");
    running.told(1).await;
    assert_eq!(seen(), (1, down, true));
    running.take(&["b"], "high");
    running.told(3).await;
    assert_eq!(seen(), (1, down, true), "a refused message says nothing of the channel, neither good nor bad");
    running.time.advance(RETRY_STEPS_MS[0]);
    running.told(4).await;
    assert_eq!(seen(), (2, down, true));
    running.time.advance(RETRY_STEPS_MS[1]);
    running.told(5).await;
    assert_eq!(seen(), (0, "", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_panics_is_a_failed_try() {
    let (first, second) = (Scripted::new(&[Act::Panic], GOOD), Scripted::new(&[], GOOD));
    let running = Running::start(&first, &second);
    running.take(&["a"], "high");
    assert_eq!(running.told(1).await, ["a first queued internal"]);
    running.time.advance(RETRY_STEPS_MS[0]);
    first.calls(2).await;
    assert_eq!(running.told(2).await, ["a first sent -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_drains_what_is_in_flight_but_not_for_ever() {
    let (first, second) = (Scripted::new(&[], Act::Hang), Scripted::new(&[], GOOD));
    let running = Running::start(&first, &second);
    running.take(&["a", "b", "c"], "high");
    first.calls(2).await;
    assert_eq!(first.keys_and_bodies().len(), 2, "no more at once than the channel says");
    assert_eq!(running.service.stop(Duration::from_millis(50)).await, Drained::CutOff);
    let queued = running.desk.depth().expect("read").get(&(Some("first".to_owned()), NoticeState::Queued)).copied();
    assert_eq!(queued, Some(3), "what was cut off is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_waits_for_its_contact_goes_on_in_time() {
    let (first, second) = (Scripted::new(&[], GOOD), Scripted::new(&[], GOOD));
    let running = Running::start(&first, &second);
    let mut alert = alert("a", "a", "high");
    alert["contact_as_of"] = "2026-05-01T00:00:00Z".into();
    let contact = contact("a", "en").to_string().into_bytes();
    let alert = alert.to_string().into_bytes();
    running.service.take(&[Record::Contact(&contact), Record::Alert(&alert)], &[]).expect("taken");
    assert_eq!(running.desk.untried().expect("read"), 1);
    running.time.advance(5_000);
    assert_eq!(first.calls(1).await, [5_000]);
    running.idle().await;
}
