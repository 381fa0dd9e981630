//! Reload: rules with lists and policy, texts of notices, geo databases and mappings change while the service runs.
//!
//! Guarantees: each of the four is all or nothing on its own: it is read, checked, its rules tested and compiled
//! here, and only then handed over; with any mistake in it the old one stays in force, and the whole of it is told
//! in the log, in metrics and in `/readyz`. A bad file cannot end the service, not even by a panic. The thread that
//! does this waits for nobody and nobody waits for it. Does not reload the configuration itself.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::current::{Current, InForce};
use super::last_good::LastGood;
use super::past::Past;
use super::prepare::{self, Prepared, Rules};
use crate::config::{Config, MappingSource};
use crate::deliver::notice_files::unknown_notices;
use crate::deliver::template::Templates;
use crate::event::mapping::Mapping;
use crate::report::Problem;
use crate::ruleset::{HashKey, Mentions, Sources};
use crate::shutdown::Shutdown;
use crate::telemetry::health::State;
use crate::telemetry::reload::{Refused, Reloaded, StartedWithLastGood};
use crate::telemetry::{Health, Metrics};

mod watch;

use watch::{LOOK_EVERY, Notices, SETTLE, Watched};

/// The least time between two looks, however busy the folders are.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// The check of `/readyz` that tells of a copy that cannot be kept.
const COPY_CHECK: &str = "reload.copy";

/// What is reloaded as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Rules, lists, policy.
    Rules,
    /// Texts of notices.
    Notices,
    /// Geo databases.
    Geo,
    /// How other systems' records are read.
    Mappings,
}

impl What {
    const ALL: [What; 4] = [What::Rules, What::Notices, What::Geo, What::Mappings];

    /// The word in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            What::Rules => "rules",
            What::Notices => "notices",
            What::Geo => "geo",
            What::Mappings => "mappings",
        }
    }

    /// The files that it is read from.
    fn watched(self, config: &Config) -> Watched {
        match self {
            What::Rules => match &config.rules.directory {
                Some(folder) => Watched::new(vec![folder.clone(), folder.join("lists"), folder.join("runbooks")], 1),
                None => Watched::new(Vec::new(), 0),
            },
            What::Notices => Watched::new(config.notices.directory.iter().cloned().collect(), 2),
            What::Geo => Watched::new(config.geo_files.clone(), 0),
            What::Mappings => {
                // What ships is part of the program, and a file may serve several topics.
                let files = config.mappings.iter().filter_map(|mapping| match &mapping.from {
                    MappingSource::File(path) => Some(path.clone()),
                    MappingSource::Builtin(_) => None,
                });
                Watched::new(files.collect::<BTreeSet<_>>().into_iter().collect(), 0)
            }
        }
    }
}

/// How the files look that everything is read from.
#[derive(Debug, Clone)]
pub struct Seen(BTreeMap<What, Watched>);

impl Seen {
    /// As they look now.
    pub fn now(config: &Config) -> Self {
        Seen(What::ALL.into_iter().map(|what| (what, what.watched(config))).collect())
    }
}

/// Asks for a reload of everything, whether it has changed or not: what SIGHUP does.
#[derive(Debug, Clone)]
pub struct Bell {
    asked: Arc<AtomicBool>,
    wake: SyncSender<()>,
}

impl Bell {
    /// Asks.
    pub fn ring(&self) {
        self.asked.store(true, Ordering::Release);
        // Full: somebody is about to look anyway.
        let _ = self.wake.try_send(());
    }
}

/// Rings at each SIGHUP.
pub async fn on_hangup(bell: Bell) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    while hangup.recv().await.is_some() {
        tracing::info!(signal = "SIGHUP", "reloading rules, notices, geo databases and mappings");
        bell.ring();
    }
    Ok(())
}

/// Looks after everything that may change while the service runs.
pub struct Reloader {
    config: Config,
    key: HashKey,
    watched: BTreeMap<What, Watched>,
    /// What was refused when it was read last.
    refused: BTreeSet<What>,
    current: Arc<Current>,
    metrics: Metrics,
    health: Health,
    bell: Bell,
    woken: Receiver<()>,
}

/// What was read of one, or why it is refused.
type Read<T> = Result<T, Vec<Problem>>;

impl Reloader {
    /// For what the service has started with.
    pub fn new(prepared: &Prepared, current: Arc<Current>, metrics: Metrics, health: Health) -> Self {
        let (wake, woken) = sync_channel(1);
        let mut reloader = Reloader {
            config: prepared.config.clone(),
            key: prepared.key,
            watched: prepared.seen.0.clone(),
            refused: BTreeSet::new(),
            current,
            metrics,
            health,
            bell: Bell { asked: Arc::default(), wake },
            woken,
        };
        reloader.watched.keys().for_each(|what| reloader.metrics.reload_is_known(what.word(), crate::clock::now()));
        if let Some(fell_back) = &prepared.fell_back {
            reloader.refused.insert(What::Rules);
            let digest = &prepared.in_force.ruleset.digest;
            StartedWithLastGood { digest, kept: fell_back.kept, problems: &fell_back.problems }
                .tell(&reloader.metrics, &reloader.health);
        }
        reloader
    }

    /// What SIGHUP rings.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Looks and reloads until the service stops.
    pub fn run(mut self, shutdown: &Shutdown) {
        let mut notices = Notices::new(self.bell.wake.clone());
        notices.follow(self.watched.values());
        let mut looked = Instant::now();
        let mut is_due = false;
        while !shutdown.is_requested() {
            let wait = match () {
                () if is_due => LOOK_PAUSE.saturating_sub(looked.elapsed()),
                () if self.watched.values().any(Watched::is_changing) => SETTLE,
                () => LOOK_EVERY,
            };
            match self.woken.recv_timeout(wait) {
                Ok(()) if looked.elapsed() < LOOK_PAUSE => is_due = true,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {
                    is_due = false;
                    self.look();
                    notices.follow(self.watched.values());
                    looked = Instant::now();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reloads what has changed, or everything where somebody asked.
    fn look(&mut self) {
        let is_asked = self.bell.asked.swap(false, Ordering::AcqRel);
        let now = Instant::now();
        let mut changed = BTreeSet::new();
        for (what, watched) in &mut self.watched {
            if !watched.is_empty() && (watched.is_ready(now) || is_asked) {
                changed.insert(*what);
            }
        }
        if is_asked && changed.is_empty() {
            tracing::info!(
                "nothing to reload: rules, notices, geo databases and mappings are those of the program itself"
            );
        }
        let is_word = |what: &What| matches!(what, What::Rules | What::Notices);
        if changed.iter().any(is_word) {
            // One may have waited for the other: a rule for the text that it names.
            changed.extend(self.refused.iter().copied().filter(is_word));
            self.reload_words(changed.contains(&What::Rules), changed.contains(&What::Notices));
        }
        if changed.contains(&What::Geo) {
            self.reload_geo();
        }
        if changed.contains(&What::Mappings) {
            self.reload_mappings();
        }
    }

    /// Rules and notices name each other, so they are judged together and each refused alone.
    fn reload_words(&mut self, rules: bool, notices: bool) {
        let rules = rules.then(|| self.read(What::Rules, Self::load_rules)).flatten();
        let notices = notices.then(|| self.read(What::Notices, |reloader| Templates::load(&reloader.config.notices)));
        let read = rules.as_ref().and_then(|rules| rules.as_ref().ok());
        let sources = read.map(|(rules, _)| Arc::clone(&rules.sources));
        let judged = judge(&self.current.get(), rules, notices.flatten());
        if let (Some(Ok(())), Some(sources)) = (&judged.rules, &sources) {
            // Before anything is decided with them: batches may have to be taken again.
            keep_copy(&self.config, sources, &self.current, &self.health);
        }
        if judged.is_any_taken() {
            self.current.put(judged.next.clone());
        }
        if let Some(result) = judged.rules {
            let ruleset = &judged.next.ruleset;
            for warning in ruleset.warnings.iter().filter(|_| result.is_ok()) {
                tracing::warn!(code = warning.code, "{}", warning.message);
            }
            self.tell(What::Rules, result, &ruleset.digest);
        }
        if let Some(result) = judged.notices {
            let names: Vec<&str> = judged.next.templates.notices().collect();
            self.tell(What::Notices, result, &names.join(","));
        }
    }

    fn reload_geo(&mut self) {
        let Some(read) = self.read(What::Geo, |reloader| prepare::load_geo(&reloader.config)) else { return };
        let mut next = self.current.get();
        let result = read.map(|geo| {
            next.geo = Arc::new(geo);
            self.current.put(next.clone());
        });
        self.tell(What::Geo, result, &next.geo.digest().unwrap_or_default());
    }

    fn reload_mappings(&mut self) {
        let Some(read) = self.read(What::Mappings, |reloader| prepare::load_mappings(&reloader.config)) else { return };
        let mut next = self.current.get();
        let result = read.map(|mappings| {
            next.mappings = Arc::new(mappings);
            keep_mappings(&self.config, &next, self.key, &self.current);
            self.current.put(next.clone());
        });
        let names: BTreeSet<&str> = next.mappings.iter().flatten().map(Mapping::name).collect();
        self.tell(What::Mappings, result, &names.into_iter().collect::<Vec<_>>().join(","));
    }

    /// Reads one. `None`: it changed while it was read, and comes again once it stands still.
    fn read<T>(&mut self, what: What, read: impl FnOnce(&Self) -> Read<T>) -> Option<Read<T>> {
        let begun = self.watched.get(&what)?.begin();
        let read = catch_unwind(AssertUnwindSafe(|| read(self))).unwrap_or_else(|_| {
            let message = format!("reading the {} ended by a bug of walletwatch", what.word());
            Err(vec![Problem::nowhere("C009", message).help("please tell us, with the files")])
        });
        self.watched.get_mut(&what)?.end(begun, Instant::now()).then_some(read)
    }

    fn load_rules(&self) -> Read<(Rules, Mentions)> {
        let (rules, mentions) = prepare::load_rules(&self.config, self.key);
        let mut problems = prepare::routes(&self.config, &mentions);
        // There are rules to reload only where the configuration names them.
        match rules.unwrap_or(Err(Vec::new())) {
            Ok(rules) if problems.is_empty() => Ok((rules, mentions)),
            Ok(rules) => {
                problems.extend(rules.ruleset.warnings.clone());
                Err(problems)
            }
            Err(mut found) => {
                found.extend(problems);
                Err(found)
            }
        }
    }

    fn tell(&mut self, what: What, result: Read<()>, version: &str) {
        match result {
            Ok(()) => {
                self.refused.remove(&what);
                Reloaded { what: what.word(), version }.tell(&self.metrics, &self.health, crate::clock::now());
            }
            Err(problems) => {
                self.refused.insert(what);
                Refused { what: what.word(), problems: &problems }.tell(&self.metrics, &self.health);
            }
        }
    }
}

/// Keeps the rules in force for a start that finds bad ones. Where that fails the service goes on, and warns.
pub fn keep_copy(config: &Config, sources: &Sources, current: &Current, health: &Health) {
    // The pack alone is compiled in: it is always good.
    if config.rules.directory.is_none() {
        return;
    }
    let needed: Vec<String> = current.decided_with().into_iter().map(|digests| digests.rules).collect();
    match LastGood::in_state(&config.state_directory).keep(sources, crate::clock::now(), &needed) {
        Ok(()) => health.forget(COPY_CHECK),
        Err(error) => {
            tracing::error!(%error, "the last good copy of the rules cannot be kept: a start with bad rules would fail");
            let detail = format!("the last good copy of the rules cannot be kept: {error}");
            health.tell(COPY_CHECK, State::Warning, detail, Instant::now());
        }
    }
}

/// Keeps the mappings that come into force for batches that may be taken again. Where that fails the service goes on.
pub fn keep_mappings(config: &Config, in_force: &InForce, key: HashKey, current: &Current) {
    let past = Past::in_state(&config.state_directory, &config.kafka.topics, key);
    if let Err(error) = past.keep_mappings(in_force, &current.decided_with()) {
        tracing::error!(%error, "no copy of the mappings can be kept: after a crash what was read under them may be read otherwise");
    }
}

/// What comes of rules and notices that were read.
struct Judged {
    next: InForce,
    rules: Option<Read<()>>,
    notices: Option<Read<()>>,
}

impl Judged {
    fn is_any_taken(&self) -> bool {
        [&self.rules, &self.notices].into_iter().flatten().any(Result::is_ok)
    }
}

/// Takes what is right by itself and fits what it will stand beside. Where new rules and new notices do not fit
/// each other, the notices go first: they may be what the old rules need too.
fn judge(before: &InForce, rules: Option<Read<(Rules, Mentions)>>, notices: Option<Read<Templates>>) -> Judged {
    let mut judged = Judged { next: before.clone(), rules: None, notices: None };
    let rules = rules.and_then(|read| read.map_err(|problems| judged.rules = Some(Err(problems))).ok());
    let templates = notices.and_then(|read| read.map_err(|problems| judged.notices = Some(Err(problems))).ok());
    let templates = templates.map(Arc::new);
    let fits = |mentions: &Mentions, templates: &Templates| {
        let known: Vec<&str> = templates.notices().collect();
        let problems = unknown_notices(&mentions.notices, &known);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    };
    let take_rules = |judged: &mut Judged, (rules, mentions): (Rules, Mentions)| {
        (judged.next.ruleset, judged.next.policy) = (rules.ruleset, rules.policy);
        judged.next.mentions = Arc::new(mentions);
        judged.rules = Some(Ok(()));
    };
    match (rules, templates) {
        (Some(rules), Some(templates)) if fits(&rules.1, &templates).is_ok() => {
            take_rules(&mut judged, rules);
            judged.next.templates = templates;
            judged.notices = Some(Ok(()));
        }
        (rules, templates) => {
            if let Some(templates) = templates {
                let fitting = fits(&judged.next.mentions, &templates);
                if fitting.is_ok() {
                    judged.next.templates = templates;
                }
                judged.notices = Some(fitting);
            }
            if let Some(rules) = rules {
                match fits(&rules.1, &judged.next.templates) {
                    Ok(()) => take_rules(&mut judged, rules),
                    Err(problems) => judged.rules = Some(Err(problems)),
                }
            }
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::config::NoticesConfig;
    use crate::ruleset::load_partly;

    /// A rule whose users get a notice.
    fn rules(notice: &str) -> (Rules, Mentions) {
        let text = format!(
            "version: 1\nrules:\n  - {{id: r, title: t, revision: 1, state: live, owner: t, severity: low, score: 1, \
             audience: [user], on: login, when: result == \"failure\", notice: {notice}, runbook: \
             \"https://example.com\", explain: x, tests: [{{name: t, given: {{type: login, account: a, result: failure}}, \
             events: [{{expect: fire}}]}}, {{name: u, given: {{type: login, account: a, result: success}}, events: \
             [{{expect: quiet}}]}}]}}\n"
        );
        let mut sources = Sources::new("rules");
        sources.add("r.yaml", text, None);
        let (loaded, mentions) = load_partly(&sources, HashKey::new([1; 16]), None);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:#?}"));
        let (ruleset, policy) = (Arc::new(loaded.ruleset), Arc::new(loaded.policy));
        (Rules { ruleset, policy, sources: Arc::new(sources) }, mentions)
    }

    /// The shipped texts, and those of a notice of the team's own.
    fn templates(own: Option<&str>) -> Templates {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(notice) = own {
            let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/notices/unusual-login");
            let to = folder.path().join(notice);
            std::fs::create_dir(&to).expect("a folder");
            for part in ["subject.txt", "body.txt", "body.html", "sms.txt"] {
                let file = format!("en.{part}");
                std::fs::copy(shipped.join(&file), to.join(&file)).expect("a text");
            }
        }
        let config = NoticesConfig { directory: Some(folder.path().to_owned()), ..NoticesConfig::default() };
        Templates::load(&config).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn before(notice: &str, own: Option<&str>) -> InForce {
        let (Rules { ruleset, policy, .. }, mentions) = rules(notice);
        let (mentions, templates) = (Arc::new(mentions), Arc::new(templates(own)));
        InForce { ruleset, policy, mentions, templates, geo: Arc::default(), mappings: Arc::default() }
    }

    /// `rules notices`: taken, refused, or not read.
    fn outcome(before: &InForce, rules: Option<Read<(Rules, Mentions)>>, templates: Option<Read<Templates>>) -> String {
        let judged = judge(before, rules, templates);
        let word = |read: &Option<Read<()>>| match read {
            Some(Ok(())) => "taken",
            Some(Err(_)) => "refused",
            None => "-",
        };
        let known: Vec<&str> = judged.next.templates.notices().collect();
        let unknown = unknown_notices(&judged.next.mentions.notices, &known);
        assert!(unknown.is_empty(), "what is in force always fits together");
        let changed = !Arc::ptr_eq(&judged.next.ruleset, &before.ruleset);
        assert_eq!(changed, matches!(judged.rules, Some(Ok(()))));
        format!("{} {}", word(&judged.rules), word(&judged.notices))
    }

    #[test]
    fn rules_and_notices_that_name_each_other_are_taken_together_and_refused_alone() {
        let plain = before("unusual-login", None);
        let own = before("lost-phone", Some("lost-phone"));
        let broken = || vec![Problem::nowhere("Y001", "not YAML")];
        assert_eq!(
            outcome(&plain, Some(Ok(rules("lost-phone"))), Some(Ok(templates(Some("lost-phone"))))),
            "taken taken"
        );
        assert_eq!(outcome(&plain, Some(Ok(rules("lost-phone"))), None), "refused -", "its text is not there");
        assert_eq!(outcome(&plain, Some(Ok(rules("lost-phone"))), Some(Err(broken()))), "refused refused");
        assert_eq!(outcome(&plain, Some(Err(broken())), Some(Ok(templates(Some("lost-phone"))))), "refused taken");
        assert_eq!(outcome(&own, None, Some(Ok(templates(None)))), "- refused", "a rule in force needs it");
        assert_eq!(outcome(&own, Some(Ok(rules("unusual-login"))), Some(Ok(templates(None)))), "taken taken");
        let (other, new) = (rules("third"), templates(None));
        assert_eq!(outcome(&own, Some(Ok(other)), Some(Ok(new))), "refused refused", "neither fits anything");
        let both = outcome(&plain, Some(Ok(rules("third"))), Some(Ok(templates(Some("lost-phone")))));
        assert_eq!(both, "refused taken");
    }
}
