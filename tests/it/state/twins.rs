//! Two engines that take the same batches: one is never stopped, the other is whenever a test says so.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use walletwatch::detect::document::{AlertDocument, ContactDocument};
use walletwatch::detect::{Engine, FindingRecord, Input, Options, Sink};
use walletwatch::event::{Event, Millis, Rejection};
use walletwatch::features::store::{Changes, MemoryStore, Space, StoreError, Stored, Take};
use walletwatch::ruleset::{Bands, HashKey, KeyField, Ruleset};

pub const KEY: HashKey = HashKey::new([9; 16]);

/// Every call of a sink, as a line.
#[derive(Debug, Default)]
pub struct Told(pub Vec<String>);

impl Sink for Told {
    fn rejected(&mut self, input: usize, rejection: &Rejection) {
        self.0.push(format!("{input} rejected {rejection}"));
    }
    fn duplicate(&mut self, input: usize) {
        self.0.push(format!("{input} duplicate"));
    }
    fn accepted(&mut self, input: usize, event: &Event<'_>, late: bool) {
        self.0.push(format!("{input} accepted {} {late}", event.id));
    }
    fn contact(&mut self, input: usize, document: ContactDocument) {
        self.0.push(format!("{input} contact {}", serde_json::to_string(&document).unwrap()));
    }
    fn finding(&mut self, input: usize, record: FindingRecord) {
        self.0.push(format!("{input} finding {}", serde_json::to_string(&record).unwrap()));
    }
    fn alert(&mut self, input: usize, document: AlertDocument) {
        self.0.push(format!("{input} alert {}", serde_json::to_string(&document).unwrap()));
    }
}

/// What both go through between two batches, or as one.
#[derive(Clone)]
pub enum Step {
    /// A batch: its moment, which partitions are at their end, its lines with their partitions.
    Take(Millis, Vec<bool>, Vec<(u16, Vec<u8>)>),
    /// Other rules.
    Swap(Arc<Ruleset>),
}

fn go(engine: &mut Engine, step: &Step, told: &mut Told) {
    match step {
        Step::Take(moment, at_end, lines) => {
            engine.partitions(at_end.iter().copied());
            let inputs = lines.iter().map(|(lane, line)| Input { lane: *lane, value: Some(line) });
            engine.take(inputs, *moment, None, told);
        }
        Step::Swap(rules) => drop(engine.swap(Arc::clone(rules), Bands::default())),
    }
}

/// All there is in a store: space, key, value.
pub fn all(store: &MemoryStore) -> BTreeSet<(Space, Vec<u8>, Vec<u8>)> {
    let mut all = BTreeSet::new();
    for space in Space::ALL {
        let mut take = |key: &[u8], value: &[u8]| {
            all.insert((space, key.to_vec(), value.to_vec()));
            Ok(())
        };
        store.each(space, &mut take).unwrap();
    }
    all
}

/// A store that an engine saves to and reads back from. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct SharedStore(Arc<Mutex<MemoryStore>>);

impl SharedStore {
    /// Holds something else from now on.
    pub fn set(&self, values: MemoryStore) {
        *self.0.lock().unwrap() = values;
    }

    /// What it holds.
    pub fn values(&self) -> MemoryStore {
        self.0.lock().unwrap().clone()
    }
}

impl Stored for SharedStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.lock().unwrap().get(space, key)
    }

    fn each(&self, space: Space, take: Take<'_>) -> Result<(), StoreError> {
        self.0.lock().unwrap().each(space, take)
    }
}

/// A save on its way to the store.
#[derive(Default)]
struct OnTheWay(Vec<(Space, Vec<u8>, Option<Vec<u8>>)>);

impl Changes for OnTheWay {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.0.push((space, key.to_vec(), Some(value.to_vec())));
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        self.0.push((space, key.to_vec(), None));
    }
}

/// Two engines, what they told, and where the one is saved.
pub struct Twins {
    pub rules: Arc<Ruleset>,
    pub options: Options,
    pub steady: Engine,
    pub expected: Told,
    pub stopped: Engine,
    pub told: Told,
    pub store: SharedStore,
    /// A save that is closed and that the store does not have yet.
    on_the_way: Option<OnTheWay>,
    /// Whether entities of the stopped one leave memory.
    leaves: bool,
    /// How many left, and how many came back.
    pub moves: [u64; 2],
    /// What came since the last save, and what had been told by then.
    since: Vec<Step>,
    saved: usize,
    pub restores: usize,
}

impl Twins {
    pub fn new(rules: Arc<Ruleset>, options: Options) -> Self {
        let engine = || Engine::new(Arc::clone(&rules), Bands::default(), options.clone(), KEY);
        Twins {
            steady: engine(),
            expected: Told::default(),
            stopped: engine(),
            told: Told::default(),
            store: SharedStore::default(),
            on_the_way: None,
            leaves: false,
            moves: [0; 2],
            since: Vec::new(),
            saved: 0,
            restores: 0,
            rules,
            options,
        }
    }

    /// The same; entities of the one leave memory, those of the other never do.
    pub fn leaving(rules: Arc<Ruleset>, options: Options) -> Self {
        let mut twins = Twins { leaves: true, ..Twins::new(rules, options) };
        twins.stopped.keep_in(Arc::new(twins.store.clone()));
        twins
    }

    /// The store takes what is on its way there.
    pub fn rest(&mut self) {
        let Some(OnTheWay(changes)) = self.on_the_way.take() else { return };
        let mut store = self.store.0.lock().unwrap();
        for (space, key, value) in changes {
            match value {
                Some(value) => store.put(space, &key, &value),
                None => store.delete(space, &key),
            }
        }
        drop(store);
        if self.leaves {
            self.stopped.at_rest();
        }
    }

    /// Lets entities leave, if any may.
    pub fn send_away(&mut self, resident_bytes_max: usize, entities_max: usize, also_busy: bool) {
        self.stopped.send_away(resident_bytes_max, entities_max, also_busy);
    }

    fn count_moves(&mut self) {
        for kind in KeyField::all() {
            let residence = self.stopped.residence(kind);
            self.moves[0] += residence.left;
            self.moves[1] += residence.came_back;
        }
    }

    pub fn step(&mut self, step: Step) {
        go(&mut self.steady, &step, &mut self.expected);
        go(&mut self.stopped, &step, &mut self.told);
        if let Step::Swap(rules) = &step {
            self.rules = Arc::clone(rules);
        }
        self.since.push(step);
    }

    pub fn save(&mut self) {
        self.rest();
        let mut saved = OnTheWay::default();
        self.stopped.save(&mut saved);
        self.stopped.check().unwrap();
        self.on_the_way = Some(saved);
        if !self.leaves {
            self.rest();
        }
        self.since.clear();
        self.saved = self.told.0.len();
    }

    fn restored(&mut self, rules: &Arc<Ruleset>) -> Engine {
        self.restores += 1;
        self.count_moves();
        self.rest();
        let (rules, bands, options) = (Arc::clone(rules), Bands::default(), self.options.clone());
        let restored = if self.leaves {
            Engine::restore_beside(rules, bands, options, KEY, Arc::new(self.store.clone())).map(|(engine, _)| engine)
        } else {
            Engine::restore(rules, bands, options, KEY, &self.store)
        };
        restored.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Whether nothing came since the last save.
    pub fn is_saved(&self) -> bool {
        self.since.is_empty()
    }

    /// Stops right after a save.
    pub fn stop(&mut self) {
        self.save();
        self.stopped = self.restored(&self.rules.clone());
    }

    /// Stops right after a save and starts with other rules.
    pub fn stop_and_swap(&mut self, rules: Arc<Ruleset>) {
        self.save();
        go(&mut self.steady, &Step::Swap(Arc::clone(&rules)), &mut self.expected);
        self.stopped = self.restored(&rules);
        // A crash before the next save starts from the old rules' state again.
        self.since.push(Step::Swap(Arc::clone(&rules)));
        self.rules = rules;
    }

    /// Loses all since the last save and takes it again, as it was taken.
    pub fn crash(&mut self, first: &Arc<Ruleset>) {
        self.rest();
        if self.store.values().is_empty() {
            return;
        }
        self.told.0.truncate(self.saved);
        self.stopped = self.restored(first);
        for step in self.since.clone() {
            go(&mut self.stopped, &step, &mut self.told);
        }
    }

    /// Both told the same and know the same.
    #[track_caller]
    pub fn assert_same(&mut self, when: &str) {
        self.stopped.check().unwrap();
        for (at, (expected, told)) in self.expected.0.iter().zip(&self.told.0).enumerate() {
            assert_eq!(expected, told, "{when}: line {at}");
        }
        assert_eq!(self.expected.0.len(), self.told.0.len(), "{when}");
        assert_eq!(self.steady.accounted_bytes(), self.stopped.accounted_bytes(), "{when}: the accounts");
        if self.steady.digest() != self.stopped.digest() {
            let mut whole = MemoryStore::new();
            self.steady.save(&mut whole);
            self.save();
            self.rest();
            let (expected, found) = (all(&whole), all(&self.store.values()));
            let differing = expected
                .symmetric_difference(&found)
                .map(|(space, key, value)| format!("{space:?} {key:02x?} {value:02x?}"));
            panic!("{when}: the digests differ:\n{}", differing.collect::<Vec<_>>().join("\n"));
        }
    }
}
