//! What an undisturbed engine says: run once over the batches that a service logged, under the same rules and key. What
//! the service told and kept, through whatever it suffered, is held against it.
//!
//! How it is used: [`Kept::of`] before the first start, faults, a clean stop once nothing is left to take, then
//! [`Oracle::of`] and [`Oracle::agrees`]. The records are read from Kafka by the test itself, and merged by a naive
//! reading of what page and code promise: (record timestamp, at most the batch's moment; place among the ranges).
//! Topics with mappings are not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walletwatch::app::{BadRules, KeyFrom, Prepared, prepare};
use walletwatch::config::{Config, Environment};
use walletwatch::detect::document::{AlertDocument, ContactDocument, Document};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::disk::RealDisk;
use walletwatch::event::{Event, Rejection};
use walletwatch::features::store::{Checkpoint, FjallStore, Place, StateKey, recover};
use walletwatch::ingest::Partition;
use walletwatch::ingest::batch_log::Logged;

use super::kept::Kept;
use crate::kit::service::{Found, records_at};

/// What a service did, as far as it can be seen after its end.
pub struct Oracle {
    /// What it was told: rules, policy, channels.
    pub prepared: Prepared,
    /// Every batch it logged.
    pub batches: Vec<Logged>,
    /// Every record of its topics, by partition and offset.
    records: BTreeMap<Partition, BTreeMap<i64, Found>>,
    bootstrap: String,
}

/// One document that the engine gave out.
pub enum Said {
    /// To `wallet.alerts`.
    Alert(Box<AlertDocument>),
    /// To `wallet.contacts`.
    Contact(Box<ContactDocument>),
}

/// What the undisturbed engine says.
pub struct Undisturbed {
    /// In order.
    pub said: Vec<Said>,
    /// Records that cannot be used: topic, partition, offset.
    pub dead: BTreeSet<(String, i32, i64)>,
    /// Of its state after the last batch.
    pub digest: [u8; 32],
}

/// What was compared: so that a test can say that it was something.
#[derive(Debug)]
pub struct Agreement {
    /// Batches of the log.
    pub batches: usize,
    /// Records in them.
    pub records: usize,
    /// Alerts, each counted once.
    pub alerts: usize,
    /// Alerts that were written more than once.
    pub again: usize,
    /// Dead letters, each counted once.
    pub dead: usize,
    /// Accounts with a contact.
    pub contacts: usize,
}

impl Oracle {
    /// For the service that ran on `folder/walletwatch.toml`, over the broker at `bootstrap`. It has stopped.
    pub fn of(folder: &Path, bootstrap: &str, kept: &Kept) -> Oracle {
        let config = Config::load(&folder.join("walletwatch.toml"), &Environment::default())
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let topics = config.kafka.topics.clone();
        walletwatch::deliver::install_provider();
        let prepared = prepare(Some(config), Vec::new(), BadRules::Refuse, KeyFrom::State)
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut records: BTreeMap<Partition, BTreeMap<i64, Found>> = BTreeMap::new();
        for topic in topics {
            for found in records_at(bootstrap, &topic) {
                let partition = Partition::new(topic.clone(), found.partition);
                records.entry(partition).or_default().insert(found.offset, found);
            }
        }
        Oracle { prepared, batches: kept.batches(), records, bootstrap: bootstrap.to_owned() }
    }

    /// All of it: the log is whole, and alerts, dead letters, contacts and state are those of the undisturbed engine.
    pub fn agrees(&self) -> (Agreement, Undisturbed) {
        self.log_covers_every_offset_once();
        let undisturbed = self.run();
        let (alerts, again) = self.alerts_agree(&undisturbed);
        self.dead_letters_agree(&undisturbed);
        let contacts = self.contacts_agree(&undisturbed);
        self.state_agrees(&undisturbed);
        let records = self.batches.iter().flat_map(|logged| &logged.taken.spans).map(|span| span.records as usize);
        let agreement = Agreement {
            batches: self.batches.len(),
            records: records.sum(),
            alerts,
            again,
            dead: undisturbed.dead.len(),
            contacts,
        };
        (agreement, undisturbed)
    }

    /// Every offset of every partition from its first to its last, once, in rising order; batches by number.
    pub fn log_covers_every_offset_once(&self) {
        let numbers: Vec<u64> = self.batches.iter().map(|logged| logged.taken.number).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "batches are not whole");
        let mut taken: BTreeMap<Partition, Vec<i64>> = BTreeMap::new();
        for logged in &self.batches {
            for span in &logged.taken.spans {
                let partition = &logged.lanes[usize::from(span.lane)];
                let offsets: Vec<i64> = self.within(partition, span.first, span.last).map(|f| f.offset).collect();
                assert_eq!(offsets.first(), Some(&span.first), "batch {}", logged.taken.number);
                assert_eq!(offsets.last(), Some(&span.last), "batch {}", logged.taken.number);
                assert_eq!(offsets.len(), span.records as usize, "batch {}", logged.taken.number);
                taken.entry(partition.clone()).or_default().extend(offsets);
            }
        }
        for (partition, there) in &self.records {
            let taken = taken.remove(partition).unwrap_or_default();
            let there: Vec<i64> = there.keys().copied().collect();
            let differs = taken.iter().zip(&there).position(|(taken, there)| taken != there);
            let at = differs.unwrap_or(taken.len().min(there.len()));
            assert!(
                taken == there,
                "{partition}: the log takes {:?} where offset {:?} comes; {} of {} records",
                taken.get(at),
                there.get(at),
                taken.len(),
                there.len()
            );
        }
        assert!(taken.is_empty(), "of partitions that nobody knows: {:?}", taken.keys());
    }

    /// The engine, once, over the batches as they were logged.
    pub fn run(&self) -> Undisturbed {
        let in_force = &self.prepared.in_force;
        let databases = &*in_force.geo;
        let geo = (!databases.is_empty()).then_some(databases);
        let rules = Arc::clone(&in_force.ruleset);
        let mut engine = Engine::new(rules, in_force.policy.bands, self.options(), self.prepared.key);
        let (mut said, mut dead) = (Vec::new(), BTreeSet::new());
        for logged in &self.batches {
            assert_eq!(logged.in_force, self.batches[0].in_force, "the rules were changed: two engines are needed");
            let records = self.merged(logged);
            engine.partitions(logged.taken.at_end.iter().copied());
            let mut takes = Takes { said: &mut said, rejected: Vec::new() };
            let inputs = records.iter().map(|(lane, found)| Input { lane: *lane, value: Some(&found.value) });
            engine.take(inputs, logged.taken.moment, geo, &mut takes);
            for input in takes.rejected {
                let (lane, found) = records[input];
                let topic = logged.lanes[usize::from(lane)].topic.clone();
                dead.insert((topic, found.partition, found.offset));
            }
        }
        Undisturbed { said, dead, digest: engine.digest() }
    }

    /// Each alert by its id, as bytes: the topic has it, every time the same, and no other; each partition's come first
    /// in the engine's order. How many, and how many came again.
    pub fn alerts_agree(&self, undisturbed: &Undisturbed) -> (usize, usize) {
        let mut expected: Vec<(String, String)> = Vec::new();
        for said in &undisturbed.said {
            if let Said::Alert(alert) = said {
                expected.push((alert.id.clone(), json(&Document::Alert(alert.clone()))));
            }
        }
        let told = records_at(&self.bootstrap, &self.prepared.config.kafka.alerts_topic);
        let again = told.len();
        let (mut once, mut order) = (BTreeMap::new(), BTreeMap::<i32, Vec<String>>::new());
        for found in told {
            let text = String::from_utf8(found.value).expect("text");
            let alert: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let id = alert["id"].as_str().expect("an id").to_owned();
            match once.insert(id.clone(), text.clone()) {
                None => order.entry(found.partition).or_default().push(id),
                Some(before) => assert_eq!(before, text, "{id} came again as another one"),
            }
        }
        let by_id: BTreeMap<String, String> = expected.iter().cloned().collect();
        assert_eq!(by_id.len(), expected.len(), "an id was made twice");
        let missing: Vec<_> = by_id.keys().filter(|id| !once.contains_key(*id)).collect();
        let invented: Vec<_> = once.keys().filter(|id| !by_id.contains_key(*id)).collect();
        assert!(missing.is_empty() && invented.is_empty(), "missing: {missing:?}; nobody made: {invented:?}");
        for (id, text) in &by_id {
            assert_eq!(&once[id], text, "{id} is another one");
        }
        for ids in order.into_values() {
            let here: BTreeSet<&String> = ids.iter().collect();
            let in_order: Vec<&String> = expected.iter().map(|(id, _)| id).filter(|id| here.contains(id)).collect();
            assert_eq!(ids.iter().collect::<Vec<_>>(), in_order, "alerts came in another order");
        }
        (by_id.len(), again - by_id.len())
    }

    /// The desk knows each alert once, and no other.
    pub fn desk_agrees(&self, undisturbed: &Undisturbed) {
        let desk = rusqlite::Connection::open(&self.prepared.config.desk.path).expect("the desk");
        let mut rows = desk.prepare("SELECT id, document FROM alerts").expect("alerts");
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?));
        let known: BTreeMap<String, String> = rows
            .query_map([], row)
            .expect("alerts")
            .map(|row| row.expect("a row"))
            .map(|(id, document)| (id, String::from_utf8(document).expect("text")))
            .collect();
        let mut expected = BTreeMap::new();
        for said in &undisturbed.said {
            if let Said::Alert(alert) = said {
                expected.insert(alert.id.clone(), json(&Document::Alert(alert.clone())));
            }
        }
        assert_eq!(known.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert_eq!(known, expected);
    }

    /// Each record that cannot be used has its dead letter, and no other has one.
    pub fn dead_letters_agree(&self, undisturbed: &Undisturbed) {
        let letters = records_at(&self.bootstrap, &self.prepared.config.kafka.dead_letter_topic);
        let origin = |(topic, partition, offset): (String, String, String)| {
            (topic, partition.parse().expect("a partition"), offset.parse().expect("an offset"))
        };
        let told: BTreeSet<(String, i32, i64)> = letters.into_iter().map(|found| origin(found.origin)).collect();
        assert_eq!(told, undisturbed.dead);
    }

    /// The last contact of each account. How many they are.
    pub fn contacts_agree(&self, undisturbed: &Undisturbed) -> usize {
        let mut expected = BTreeMap::new();
        for said in &undisturbed.said {
            if let Said::Contact(contact) = said {
                expected.insert(contact.account.clone(), json(contact));
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let told = records_at(&self.bootstrap, &self.prepared.config.kafka.contacts_topic);
        let told: BTreeMap<String, String> =
            told.into_iter().map(|found| (text(found.key.expect("an account")), text(found.value))).collect();
        assert_eq!(told.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert_eq!(told, expected);
        expected.len()
    }

    /// What a start would go on with is what the undisturbed engine knows after the last batch.
    pub fn state_agrees(&self, undisturbed: &Undisturbed) {
        let (place, checkpoint) = opened(&self.prepared.config.state_directory);
        let checkpoint = checkpoint.expect("a checkpoint");
        let last = self.batches.last().map_or(0, |logged| logged.taken.number);
        assert_eq!(checkpoint.progress.batch, last, "it was stopped cleanly");
        let in_force = &self.prepared.in_force;
        let rules = Arc::clone(&in_force.ruleset);
        let kept = Engine::restore(rules, in_force.policy.bands, self.options(), self.prepared.key, &*place.store);
        let kept = kept.unwrap_or_else(|error| panic!("{error}")).digest();
        assert_eq!(hex(&kept), hex(&undisturbed.digest), "the state is another one");
    }

    /// As the service sets it up.
    fn options(&self) -> Options {
        let config = &self.prepared.config;
        Options {
            state_memory_max_bytes: usize::try_from(config.state.kept_max_bytes).expect("64 bits"),
            state_resident_max_bytes: config.state.engine_bytes_max(),
            ..config.engine.clone()
        }
    }

    fn within(&self, partition: &Partition, first: i64, last: i64) -> impl Iterator<Item = &Found> {
        self.records.get(partition).into_iter().flat_map(move |records| records.range(first..=last).map(|(_, f)| f))
    }

    /// The records of a batch in the order in which they were decided, with their lanes.
    fn merged(&self, logged: &Logged) -> Vec<(u16, &Found)> {
        let mut ranges: Vec<_> = Vec::new();
        for span in &logged.taken.spans {
            let partition = &logged.lanes[usize::from(span.lane)];
            ranges.push((span.lane, self.within(partition, span.first, span.last).peekable()));
        }
        let (mut merged, moment) = (Vec::new(), logged.taken.moment.0);
        loop {
            // Of equal ones `min` gives the first.
            let heads = ranges.iter_mut().enumerate();
            let next = heads.filter_map(|(at, (_, range))| Some((range.peek()?.stamp.min(moment), at))).min();
            let Some((_, at)) = next else { return merged };
            let (lane, range) = &mut ranges[at];
            merged.push((*lane, range.next().expect("it was looked at")));
        }
    }
}

/// What a start finds in the state's folder, which no process uses: its store and the last closed checkpoint.
pub fn opened(state: &Path) -> (Place, Option<Checkpoint>) {
    let key = StateKey::existing(state).expect("readable").expect("a key");
    let store = Arc::new(FjallStore::open(state).unwrap_or_else(|error| panic!("{error}")));
    let place = Place { disk: Arc::new(RealDisk), folder: PathBuf::from(state), store };
    let recovered = recover(&place, &key.path, &key.id).unwrap_or_else(|error| panic!("{error}"));
    (place, recovered.checkpoint)
}

fn json(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).expect("JSON")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps what the engine says.
struct Takes<'t> {
    said: &'t mut Vec<Said>,
    rejected: Vec<usize>,
}

impl Sink for Takes<'_> {
    fn rejected(&mut self, input: usize, _: &Rejection) {
        self.rejected.push(input);
    }

    fn duplicate(&mut self, _: usize) {}

    fn accepted(&mut self, _: usize, _: &Event<'_>, _: bool) {}

    fn contact(&mut self, _: usize, document: ContactDocument) {
        self.said.push(Said::Contact(Box::new(document)));
    }

    fn finding(&mut self, _: usize, _: FindingRecord) {}

    fn alert(&mut self, _: usize, document: AlertDocument) {
        self.said.push(Said::Alert(Box::new(document)));
    }
}
