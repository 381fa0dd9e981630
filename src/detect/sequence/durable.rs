//! Chains in a store: what changed, all of it again, and a digest of it.
//!
//! Guarantees: chains that are read back go on, are cancelled and are decided as those that were saved, under the same
//! rules or under others; an event that several chains share is stored once. What waits is found again by itself.

use std::sync::Arc;

use smallvec::SmallVec;

use super::room::{Room, Taken};
use super::{Chains, Followed, Partial, Sequences, Values, Waiting, due};
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, decode_each, encode_all};
use crate::features::store::{Changes, Space, StoreError, Stored};
use crate::features::{Table, TableHead};
use crate::ruleset::sequence::{EVENT_PARTIALS_MAX, STEP_EVENTS_MAX, STEPS_MAX};
use crate::ruleset::{HashKey, Ruleset};

/// What there is once, read before the chains.
#[derive(Debug)]
pub struct Head {
    pub(super) followed: Vec<Followed>,
    pub(super) next_number: u32,
    order: u64,
    chains: TableHead,
}

impl Head {
    /// Reads it.
    pub fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Head {
            followed: decode_all(from)?,
            next_number: from.narrow()?,
            order: from.number()?,
            chains: TableHead::decode(from)?,
        })
    }
}

impl Sequences {
    /// Writes what there is once.
    pub fn encode_head(&self, to: &mut Encoder) {
        let followed: Vec<&Followed> = self.followed.iter().flatten().collect();
        encode_all(followed.into_iter(), to);
        to.number(self.next_number);
        to.number(self.order);
        self.chains.encode_head(to);
    }

    /// Hands over what changed since the last time; `value` is memory used again.
    pub fn save(&mut self, out: &mut dyn Changes, value: &mut Encoder) {
        self.chains.save(Space::Sequence, out, value);
    }

    /// Reads all chains that had this head, and goes over to these rules. Returns with them the rules whose sequences
    /// begin with nothing, by their place. `also`: a rule that is followed in whatever state.
    pub fn restored(
        head: Head,
        rules: &Ruleset,
        also: Option<usize>,
        entities_max: usize,
        key: HashKey,
        stored: &dyn Stored,
    ) -> Result<(Self, Vec<usize>), StoreError> {
        let chains: Table<Chains> = Table::restored(head.chains, entities_max, Space::Sequence, stored, None)?;
        let waits = |(key, chains): (u64, &Chains)| {
            chains.waiting.iter().map(|waiting| due(waiting, chains.number, key)).collect::<Vec<_>>()
        };
        let mut sequences = Sequences {
            followed: head.followed.into_iter().map(Some).collect(),
            by_type: Vec::new(),
            next_number: head.next_number,
            due: chains.entities().flat_map(waits).collect(),
            chains,
            order: head.order,
            key,
        };
        let fresh = sequences.follow(rules, also);
        Ok((sequences, fresh))
    }

    /// Takes all of it into a digest.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let mut head = Encoder::default();
        self.encode_head(&mut head);
        hasher.update(head.bytes());
        self.chains.digest(hasher);
    }
}

impl Durable for Followed {
    fn encode(&self, to: &mut Encoder) {
        to.number(self.number);
        to.hash(self.identity);
        to.text(&self.rule);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Followed { number: from.narrow()?, identity: from.hash()?, rule: from.text()?.to_owned() })
    }
}

impl Durable for Values {
    fn encode(&self, to: &mut Encoder) {
        to.count(self.numbers.len());
        self.numbers.iter().for_each(|number| to.round_float(*number));
        to.count(self.ids.len());
        self.ids.iter().for_each(|id| to.hash(*id));
        encode_all(self.texts.iter(), to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let numbers: Vec<f64> = decode_each(from, 1, |from| from.round_float())?;
        let ids: Vec<u64> = decode_each(from, 8, |from| from.hash())?;
        let texts: Vec<_> = decode_all(from)?;
        Ok(Values { numbers: numbers.into(), ids: ids.into(), texts: texts.into() })
    }
}

impl Durable for Taken {
    fn encode(&self, to: &mut Encoder) {
        to.signed(self.time_ms);
        to.number(self.order);
        self.values.encode(to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Taken { time_ms: from.signed()?, order: from.number()?, values: Values::decode(from)? })
    }
}

/// The events of one entity's chains as they are written: each once, later ones by their number.
#[derive(Default)]
struct Written<'c> {
    events: Vec<&'c Arc<Taken>>,
}

impl<'c> Written<'c> {
    fn partial(&mut self, partial: &'c Partial, to: &mut Encoder) {
        to.count(partial.events.len());
        for event in &partial.events {
            match self.events.iter().position(|known| Arc::ptr_eq(known, event)) {
                Some(known) => to.count(known + 1),
                None => {
                    to.count(0);
                    event.encode(to);
                    self.events.push(event);
                }
            }
        }
    }
}

/// The same as they are read.
#[derive(Default)]
struct Read {
    events: Vec<Arc<Taken>>,
}

impl Read {
    fn partial(&mut self, from: &mut Decoder<'_>) -> Result<Partial, DecodeError> {
        let mut events = SmallVec::new();
        let count = from.count(1)?;
        if count == 0 || count > STEPS_MAX {
            return Err(DecodeError::Wrong("the length of a chain"));
        }
        for _ in 0..count {
            let number: usize = from.narrow()?;
            let event = match number.checked_sub(1) {
                Some(known) => Arc::clone(self.events.get(known).ok_or(DecodeError::Wrong("an event of a chain"))?),
                None => {
                    self.events.push(Arc::new(Taken::decode(from)?));
                    Arc::clone(self.events.last().ok_or(DecodeError::Short)?)
                }
            };
            events.push(event);
        }
        Ok(Partial { events })
    }
}

impl Durable for Chains {
    fn encode(&self, to: &mut Encoder) {
        let mut written = Written::default();
        to.number(self.number);
        to.signed(self.within_ms);
        to.count(self.rooms.len());
        for room in &self.rooms {
            to.count(room.partials.len());
            room.partials.iter().for_each(|partial| written.partial(partial, to));
        }
        to.count(self.waiting.len());
        for waiting in &self.waiting {
            written.partial(&waiting.chain, to);
            to.blob(&waiting.event);
            waiting.row.encode(to);
            to.byte(u8::from(waiting.dedup.is_some()));
            if let Some((first, second)) = waiting.dedup {
                to.hash(first);
                to.hash(second);
            }
            to.count(waiting.ends_ms.len());
            waiting.ends_ms.iter().for_each(|end_ms| to.signed(*end_ms));
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut read = Read::default();
        let (number, within_ms) = (from.narrow()?, from.signed()?);
        let rooms: Vec<Room> = decode_each(from, 1, |from| {
            let partials: Vec<Partial> = decode_each(from, 2, |from| read.partial(from))?;
            if partials.len() > STEP_EVENTS_MAX * EVENT_PARTIALS_MAX {
                return Err(DecodeError::Wrong("the number of chains"));
            }
            Ok(Room { partials })
        })?;
        if rooms.len() >= STEPS_MAX {
            return Err(DecodeError::Wrong("the number of steps"));
        }
        let waiting = decode_each(from, 5, |from| {
            let chain = read.partial(from)?;
            let event = from.blob()?.into();
            let row = Values::decode(from)?;
            let dedup = if from.flag()? { Some((from.hash()?, from.hash()?)) } else { None };
            let ends_ms = decode_each(from, 1, |from| from.signed())?;
            Ok(Waiting { chain, event, row, dedup, ends_ms })
        })?;
        Ok(Chains { number, within_ms, rooms: rooms.into(), waiting })
    }
}
