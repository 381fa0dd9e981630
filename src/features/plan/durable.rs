//! The numbers under which entities hold features, as bytes: whose definition each is.
//!
//! Guarantees: a plan that is read back numbers the next rule set as the one that was saved would have. Holds neither
//! windows nor conditions: those are the rule set's.

use super::{Plan, Planned, Standing};
use crate::event::Field;
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder, decode_all, encode_all};
use crate::features::shape::{KeptField, KeptValue, Scale, Shape};
use crate::ruleset::row::Rep;
use crate::ruleset::{Aggregate, FindingField};

use super::RETIRED_MS;

/// Numbers that entities hold features under, at most: what a number is written in.
const NUMBERS_MAX: usize = 1 << 16;

impl Plan {
    /// Writes the numbers.
    pub fn encode_numbers(&self, to: &mut Encoder) {
        encode_all(self.features.iter(), to);
    }

    /// Reads the numbers: a plan that no event goes through before a rule set follows it.
    pub fn decode_numbers(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let features: Vec<Planned> = decode_all(from)?;
        if features.len() > NUMBERS_MAX {
            return Err(DecodeError::Wrong("the number of features"));
        }
        Ok(Plan { features, ..Plan::default() })
    }
}

impl Durable for Planned {
    fn encode(&self, to: &mut Encoder) {
        match self.standing {
            Standing::Free => return to.byte(0),
            Standing::Retired => return to.byte(1),
            Standing::InForce => to.byte(2),
        }
        to.hash(self.identity);
        to.text(&self.name);
        encode_all(self.shape.kept.iter(), to);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let standing = match from.byte()? {
            0 => Standing::Free,
            1 => Standing::Retired,
            2 => Standing::InForce,
            found => return Err(DecodeError::Unknown { what: "standing of a feature", found: found.into() }),
        };
        let mut planned = Planned::without_feature(standing);
        if standing == Standing::InForce {
            planned.identity = from.hash()?;
            planned.name = from.text()?.to_owned();
            planned.shape.kept = decode_all(from)?;
        }
        Ok(planned)
    }
}

impl Planned {
    /// A number whose feature is not known here.
    pub(super) fn without_feature(standing: Standing) -> Self {
        Planned {
            identity: 0,
            name: String::new(),
            standing,
            shape: Shape {
                aggregate: Aggregate::Count,
                pair: false,
                over_ms: RETIRED_MS,
                scale: Scale::Whole,
                parts: Vec::new(),
                kept: Vec::new(),
            },
            measure: None,
            filter: None,
            second: None,
            include_current: false,
        }
    }
}

/// Which list a kept field's name is of.
const OF_EVENT: u8 = 0;
const OF_FINDING: u8 = 1;

impl Durable for KeptField {
    fn encode(&self, to: &mut Encoder) {
        match self.value {
            KeptValue::Field(field) => {
                to.byte(OF_EVENT);
                to.text(field.name());
            }
            KeptValue::Finding(field) => {
                to.byte(OF_FINDING);
                to.text(field.name());
            }
        }
        to.byte(match self.rep {
            Rep::Num => 0,
            Rep::Money => 1,
            Rep::Geo => 2,
            Rep::Id => 3,
            Rep::Ip => 4,
        });
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let of = from.byte()?;
        let name = from.text()?;
        let own = [FindingField::Rule, FindingField::Group, FindingField::Score];
        let value = match of {
            OF_EVENT => Field::parse(name).map(KeptValue::Field),
            OF_FINDING => own.into_iter().find(|field| field.name() == name).map(KeptValue::Finding),
            found => return Err(DecodeError::Unknown { what: "list of fields", found: found.into() }),
        };
        let rep = match from.byte()? {
            0 => Rep::Num,
            1 => Rep::Money,
            2 => Rep::Geo,
            3 => Rep::Id,
            4 => Rep::Ip,
            found => return Err(DecodeError::Unknown { what: "kind of value", found: found.into() }),
        };
        Ok(KeptField { value: value.ok_or(DecodeError::Wrong("the name of a field"))?, rep, cell: None })
    }
}
