//! What the demo knows at a moment: facts in, everything that is shown out.
//!
//! Guarantees: pure; a planted attack counts as found once each live rule it must set off stands in an alert on
//! one of its events (where there are only rules in shadow: once each fired on one of them), and a look-alike as
//! told once any alert on one of its events may reach a user. Draws nothing.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;

use super::fact::{Fact, Letter, Step};
use crate::detect::document::AlertDocument;
use crate::event::Millis;
use crate::ruleset::{Audience, Band, Policy};
use crate::sim::Line;

/// The kind of attack that is told whole.
const TOLD_FIRST: &str = "takeover";
/// Alerts that are kept to be shown.
const RECENT_MAX: usize = 40;
/// How long the story waits for a letter after the attack is found, ms.
const LETTER_WAIT_MS: u64 = 1000;
/// Samples of the rate, one for each …
const RATES_MAX: usize = 120;
/// … of these, ms.
const RATE_EVERY_MS: u64 = 500;

/// What is known before anything is sent.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Ordinary people of the wallet.
    pub people: u64,
    /// Records of the days before the played one.
    pub learning_records: u64,
    /// Days before the played one.
    pub learning_days: i64,
    /// When the played day begins and ends.
    pub day: (Millis, Millis),
    /// What is planted.
    pub planted: Vec<Line>,
    /// The ids of the rules in shadow, which reach nobody.
    pub shadow: BTreeSet<String>,
    /// Who is told on which channels.
    pub policy: Policy,
    /// Where metrics are served.
    pub http: Option<SocketAddr>,
}

/// Where the demo stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Records of the days before are on their way.
    Learning,
    /// The day is played.
    Playing,
    /// Everything is sent and taken, and stays up.
    Kept,
}

/// One planted scene.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Its kind.
    pub kind: &'static str,
    /// Whom it happens to, where it is one.
    pub account: Option<String>,
    /// Whether it is an attack; else it is a look-alike.
    pub is_attack: bool,
    /// The live rules that must find it.
    pub live: BTreeSet<&'static str>,
    /// The rules in shadow that should.
    pub shadow: BTreeSet<&'static str>,
    /// Of its live rules those that did.
    pub found: BTreeSet<&'static str>,
    /// Of its rules in shadow those that did.
    pub seen: BTreeSet<&'static str>,
    /// Its events, and those that are sent.
    pub events: usize,
    /// Events that are sent.
    pub sent: usize,
    /// Somebody was told of one of its events.
    pub told: bool,
}

impl Scene {
    /// Whether every live rule found it.
    pub fn is_found(&self) -> bool {
        self.is_counted() && self.found == self.live
    }

    /// Whether it is an attack that only rules in shadow look for.
    pub fn is_shadow(&self) -> bool {
        self.is_attack && self.live.is_empty()
    }

    /// Whether it is one and each of these rules fired on one of its events.
    pub fn is_seen(&self) -> bool {
        self.is_shadow() && self.seen == self.shadow
    }

    /// Whether it is an attack that a live rule must find.
    pub fn is_counted(&self) -> bool {
        self.is_attack && !self.live.is_empty()
    }
}

/// What happens in the first attack, in its order.
#[derive(Debug, Clone)]
pub enum Entry {
    /// An event of it.
    Step(Step),
    /// An alert on one of its events, so many ms after that event was sent.
    Alert(Box<AlertDocument>, u64),
}

/// The first attack, to be told whole.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// Which scene.
    pub scene: Option<usize>,
    /// What happened.
    pub entries: Vec<Entry>,
    /// Mails to the account's owner.
    pub mails: Vec<Letter>,
    /// Text messages to the account's owner.
    pub texts: Vec<Letter>,
    /// Mails and messages that its alerts ask for.
    pub letters: usize,
    /// When it was found, ms since the demo began.
    pub found_ms: Option<u64>,
    /// When all of it was told: the attack found and its owner reached, ms since the demo began.
    pub told_ms: Option<u64>,
}

/// An alert, for the list of the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// Event time.
    pub time: Millis,
    /// Score.
    pub score: u8,
    /// Band.
    pub band: Band,
    /// The planted kind; `None` where nothing was planted.
    pub kind: Option<&'static str>,
    /// The rules, the weightiest first.
    pub rules: Vec<String>,
    /// Whether its owner may hear of it.
    pub is_for_user: bool,
    /// From sending the event to the alert, ms.
    pub latency_ms: Option<u64>,
}

/// What a fact changed that is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The story of the first attack has gone on.
    Story,
    /// A scene was found.
    Found(usize),
    /// A user is told of a look-alike.
    Disturbed(usize),
    /// An alert on what nobody planted.
    Stray,
}

/// What is counted elsewhere and looked at now and then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records the detector took.
    pub taken: u64,
    /// Alerts it made.
    pub alerts: u64,
}

/// Everything that is known.
#[derive(Debug, Clone)]
pub struct Model {
    /// What was known before.
    pub setting: Setting,
    /// Where it stands.
    pub stage: Stage,
    /// What the wallet's clock says.
    pub clock: Millis,
    /// Since the demo began, ms.
    pub elapsed_ms: u64,
    /// Records sent.
    pub sent: u64,
    /// When the day began and when its clock was heard last, ms since the demo began, each with the records sent
    /// until then.
    pub day: Option<[(u64, u64); 2]>,
    /// What is counted elsewhere.
    pub counts: Counts,
    /// Records taken a second, of late.
    pub rate: u64,
    /// The same over the played day, the newest last.
    pub rates: VecDeque<u64>,
    /// The planted scenes, in the order of time.
    pub scenes: Vec<Scene>,
    /// The first attack.
    pub story: Story,
    /// The newest alerts, the newest first.
    pub recent: VecDeque<Recent>,
    /// Alerts seen in Kafka.
    pub alerts: u64,
    /// Those of them on look-alikes.
    pub alerts_on_look_alikes: u64,
    /// Those of them on what nobody planted.
    pub strays: u64,
    /// Mails that arrived.
    pub mails: u64,
    /// Text messages that arrived.
    pub texts: u64,
    /// From sending an event to its alert, ms.
    pub latencies_ms: Vec<u64>,
    scene_of: HashMap<String, usize>,
    sent_ms: HashMap<String, u64>,
    contacts: HashMap<String, String>,
    /// When the rate was looked at, what was taken then, and the stage.
    sampled: (u64, u64, Stage),
}

impl Model {
    /// Before anything is sent.
    pub fn new(setting: Setting) -> Self {
        let scenes: Vec<Scene> = setting.planted.iter().map(|line| scene(line, &setting.shadow)).collect();
        let mut scene_of = HashMap::new();
        for (at, line) in setting.planted.iter().enumerate() {
            scene_of.extend(line.events.iter().map(|event| (event.clone(), at)));
        }
        let story = Story { scene: first_attack(&setting.planted, &scenes), ..Story::default() };
        Model {
            stage: Stage::Learning,
            clock: setting.day.0,
            elapsed_ms: 0,
            sent: 0,
            day: None,
            counts: Counts::default(),
            rate: 0,
            rates: VecDeque::new(),
            scenes,
            story,
            recent: VecDeque::new(),
            alerts: 0,
            alerts_on_look_alikes: 0,
            strays: 0,
            mails: 0,
            texts: 0,
            latencies_ms: Vec::new(),
            scene_of,
            sent_ms: HashMap::new(),
            contacts: HashMap::new(),
            sampled: (0, 0, Stage::Learning),
            setting,
        }
    }

    /// Takes a fact; says what is worth a line.
    pub fn apply(&mut self, at_ms: u64, fact: &Fact) -> Option<News> {
        self.pass(at_ms);
        match fact {
            Fact::Learned { sent } => self.sent = *sent,
            Fact::Clock { now, sent } => {
                self.stage = self.stage.max(Stage::Playing);
                self.clock = *now;
                self.sent = *sent;
                let heard = (at_ms, *sent);
                self.day = Some([self.day.map_or(heard, |[began, _]| began), heard]);
            }
            Fact::Step(step) => return self.step(at_ms, step),
            Fact::Contact { account, email, phone } => {
                for address in [email, phone].into_iter().flatten() {
                    self.contacts.insert(address.clone(), account.clone());
                }
            }
            Fact::Seen { event, rule } => self.seen(event, rule),
            Fact::Alert(alert) => return self.alert(at_ms, alert),
            Fact::Mail(letter) => {
                self.mails += 1;
                return self.letter(at_ms, letter, |story| &mut story.mails);
            }
            Fact::Sms(letter) => {
                self.texts += 1;
                return self.letter(at_ms, letter, |story| &mut story.texts);
            }
        }
        None
    }

    /// Takes what is counted elsewhere.
    pub fn count(&mut self, at_ms: u64, counts: Counts) {
        self.pass(at_ms);
        self.counts = counts;
        let (since_ms, taken, stage) = self.sampled;
        let passed_ms = at_ms.saturating_sub(since_ms);
        if passed_ms >= RATE_EVERY_MS {
            self.rate = self.counts.taken.saturating_sub(taken) * 1000 / passed_ms;
            // The rush through the days before would dwarf the day.
            if stage != Stage::Learning {
                self.rates.push_back(self.rate);
            }
            if self.rates.len() > RATES_MAX {
                self.rates.pop_front();
            }
            self.sampled = (at_ms, self.counts.taken, self.stage);
        }
        self.close_story(at_ms);
    }

    /// Time goes by. What is kept up afterwards is no part of the day, nor of its figures.
    fn pass(&mut self, at_ms: u64) {
        if self.stage != Stage::Kept {
            self.elapsed_ms = self.elapsed_ms.max(at_ms);
        }
    }

    /// Which scene an event belongs to.
    pub fn scene_of(&self, event: &str) -> Option<(usize, &Scene)> {
        let at = *self.scene_of.get(event)?;
        Some((at, self.scenes.get(at)?))
    }

    fn step(&mut self, at_ms: u64, step: &Step) -> Option<News> {
        let at = *self.scene_of.get(&step.event)?;
        self.sent_ms.insert(step.event.clone(), at_ms);
        self.scenes.get_mut(at)?.sent += 1;
        if self.story.scene != Some(at) {
            return None;
        }
        self.story.entries.push(Entry::Step(step.clone()));
        Some(News::Story)
    }

    /// A rule in shadow fired: of interest where its event is one of a scene that it should see.
    fn seen(&mut self, event: &str, rule: &str) {
        let scene = self.scene_of.get(event).and_then(|at| self.scenes.get_mut(*at));
        if let Some(scene) = scene {
            scene.seen.extend(scene.shadow.get(rule));
        }
    }

    fn alert(&mut self, at_ms: u64, alert: &AlertDocument) -> Option<News> {
        self.alerts += 1;
        let event = alert.event.get("id").and_then(|id| id.as_str()).unwrap_or_default();
        let latency_ms = self.sent_ms.get(event).map(|sent| at_ms.saturating_sub(*sent));
        self.latencies_ms.extend(latency_ms);
        let at = self.scene_of.get(event).copied();
        self.recent.push_front(recent(alert, at.and_then(|at| self.scenes.get(at)), latency_ms));
        self.recent.truncate(RECENT_MAX);
        let Some((at, scene)) = at.and_then(|at| Some((at, self.scenes.get_mut(at)?))) else {
            self.strays += 1;
            return Some(News::Stray);
        };
        let was_found = scene.is_found();
        let rules = alert.findings.iter().map(|finding| finding.rule.as_str());
        scene.found.extend(rules.filter_map(|rule| scene.live.get(rule)));
        let is_new = scene.is_found() && !was_found;
        scene.told |= alert.audience.contains(&Audience::User);
        self.alerts_on_look_alikes += u64::from(!scene.is_attack);
        let is_disturbed = !scene.is_attack && scene.told;
        if self.story.scene == Some(at) {
            if is_new {
                self.story.found_ms = Some(at_ms);
            }
            self.story.letters += letters(alert, &self.setting.policy);
            self.story.add(event, Entry::Alert(Box::new(alert.clone()), latency_ms.unwrap_or(0)));
            self.close_story(at_ms);
            return Some(News::Story);
        }
        match (is_disturbed, is_new) {
            (true, _) => Some(News::Disturbed(at)),
            (false, true) => Some(News::Found(at)),
            (false, false) => None,
        }
    }

    fn letter(&mut self, at_ms: u64, letter: &Letter, to: fn(&mut Story) -> &mut Vec<Letter>) -> Option<News> {
        let account = self.contacts.get(&letter.to)?;
        let scene = self.story.scene.and_then(|at| self.scenes.get(at))?;
        if scene.account.as_ref() != Some(account) {
            return None;
        }
        to(&mut self.story).push(letter.clone());
        self.close_story(at_ms);
        Some(News::Story)
    }

    /// The story is told once the attack is found and its owner has everything to read, or some time later.
    fn close_story(&mut self, at_ms: u64) {
        let Some(found_ms) = self.story.found_ms else { return };
        let is_read = self.story.mails.len() + self.story.texts.len() >= self.story.letters;
        if is_read || at_ms >= found_ms + LETTER_WAIT_MS {
            self.story.told_ms.get_or_insert(at_ms);
        }
    }
}

impl Story {
    /// Puts what came of an event right after it, though others may have been sent meanwhile.
    fn add(&mut self, event: &str, entry: Entry) {
        let is_it = |known: &Entry| matches!(known, Entry::Step(step) if step.event == event);
        let at = self.entries.iter().position(is_it).map_or(self.entries.len(), |at| at + 1);
        self.entries.insert(at, entry);
    }
}

/// How many letters the policy asks for.
fn letters(alert: &AlertDocument, policy: &Policy) -> usize {
    if !alert.audience.contains(&Audience::User) {
        return 0;
    }
    match policy.route_of(alert.band, Audience::User) {
        Some(route) if route.all => route.channels.len(),
        Some(_) => 1,
        None => 0,
    }
}

fn scene(line: &Line, shadow: &BTreeSet<String>) -> Scene {
    let (shadow, live): (BTreeSet<_>, BTreeSet<_>) = line.expect.iter().partition(|rule| shadow.contains(**rule));
    Scene {
        kind: line.kind,
        account: line.account.clone(),
        is_attack: !line.expect.is_empty(),
        live,
        shadow,
        found: BTreeSet::new(),
        seen: BTreeSet::new(),
        events: line.events.len(),
        sent: 0,
        told: false,
    }
}

/// The attack that is told whole: the takeover that is over first, as it has the most to tell; without one, the
/// attack that is.
fn first_attack(planted: &[Line], scenes: &[Scene]) -> Option<usize> {
    let attacks = planted.iter().zip(scenes).enumerate().filter(|(_, (_, scene))| scene.is_counted());
    attacks.min_by_key(|(_, (line, _))| (line.kind != TOLD_FIRST, line.last)).map(|(at, _)| at)
}

fn recent(alert: &AlertDocument, scene: Option<&Scene>, latency_ms: Option<u64>) -> Recent {
    Recent {
        time: Millis::parse(&alert.time).unwrap_or_default(),
        score: alert.score,
        band: alert.band,
        kind: scene.map(|scene| scene.kind),
        rules: alert.findings.iter().map(|finding| finding.rule.clone()).collect(),
        is_for_user: alert.audience.contains(&Audience::User),
        latency_ms,
    }
}
