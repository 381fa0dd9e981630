//! The row: one event as flat slots, which compiled conditions read.
//!
//! Guarantees: a number that is missing is NaN, an id that is missing is 0, a text that is missing is
//! empty; a [`Cell`] says where a name's value stands and in which bank. Does not fill rows: the engine does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use compact_str::CompactString;

use super::expr::Ty;
use super::model::Name;
use crate::event::{Country, Currency, Event, Millis, Money, Point, Value};

/// How a value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rep {
    /// One number: int, float, duration and time in ms, bool as 0 and 1, a word's index, an asn, a
    /// country's number.
    Num,
    /// Two numbers: minor units, currency number.
    Money,
    /// Two numbers: latitude, longitude.
    Geo,
    /// One id slot: a keyed hash. `text` is where the text itself stands.
    Id,
    /// Two id slots: the high and low half of the address as IPv6 (IPv4 mapped).
    Ip,
}

/// Where a value stands in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// How it is laid out.
    pub rep: Rep,
    /// The first slot in its bank.
    pub at: u16,
    /// The slot of the text, for [`Rep::Id`].
    pub text: u16,
}

/// Which names have a slot, and where. One layout per rule set.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    cells: Vec<(Name, Ty, Cell)>,
    /// Where in `cells` a name stands: a hostile file has tens of thousands.
    places: HashMap<Name, usize>,
    /// Slots in the bank of numbers.
    pub numbers: u16,
    /// Slots in the bank of ids.
    pub ids: u16,
    /// Slots in the bank of texts.
    pub texts: u16,
    /// How far it had come when all was laid out that rules which run read.
    in_force: Option<Extent>,
}

/// How far a layout has come.
#[derive(Debug, Clone, Copy)]
struct Extent {
    cells: usize,
    numbers: u16,
    ids: u16,
    texts: u16,
}

impl Layout {
    /// The cell of a name, made if there is none yet.
    pub fn cell(&mut self, name: Name, ty: Ty) -> Cell {
        if let Some((_, _, cell)) = self.places.get(&name).and_then(|at| self.cells.get(*at)) {
            return *cell;
        }
        let rep = ty.rep();
        let (bank, width) = match rep {
            Rep::Num => (&mut self.numbers, 1),
            Rep::Money | Rep::Geo => (&mut self.numbers, 2),
            Rep::Id => (&mut self.ids, 1),
            Rep::Ip => (&mut self.ids, 2),
        };
        let at = *bank;
        *bank += width;
        let text = self.texts;
        if rep == Rep::Id {
            self.texts += 1;
        }
        let cell = Cell { rep, at, text };
        self.places.insert(name, self.cells.len());
        self.cells.push((name, ty, cell));
        cell
    }

    /// From here on it lays out what only drafts and rules that are off read.
    pub(super) fn close_in_force(&mut self) {
        let Layout { numbers, ids, texts, .. } = *self;
        self.in_force = Some(Extent { cells: self.cells.len(), numbers, ids, texts });
    }

    /// The part of it that rules which run read.
    pub(super) fn in_force(&self) -> Layout {
        let Some(Extent { cells, numbers, ids, texts }) = self.in_force else { return self.clone() };
        let places = self.places.iter().filter(|(_, at)| **at < cells).map(|(name, at)| (*name, *at)).collect();
        let cells = self.cells.iter().take(cells).copied().collect();
        Layout { cells, places, numbers, ids, texts, in_force: self.in_force }
    }

    /// Every name with its type and cell, in the order of first use.
    pub fn cells(&self) -> &[(Name, Ty, Cell)] {
        &self.cells
    }
}

/// One event's values.
#[derive(Debug, Clone, Copy)]
pub struct Row<'r> {
    /// The event.
    pub event: &'r Event<'r>,
    /// The bank of numbers.
    pub numbers: &'r [f64],
    /// The bank of ids.
    pub ids: &'r [u64],
    /// The bank of texts.
    pub texts: &'r [CompactString],
}

/// An address as two id slots; (0, 0) is missing, so `::` cannot be told from it and counts as missing.
pub fn ip_slots(ip: IpAddr) -> (u64, u64) {
    let bits = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    ((bits >> 64) as u64, bits as u64)
}

/// The address of two id slots.
pub fn ip_of_slots(high: u64, low: u64) -> Option<IpAddr> {
    let v6 = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    (!v6.is_unspecified()).then(|| v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

impl<'r> Row<'r> {
    /// The value in a cell, for explanations and evidence.
    pub fn value(&self, ty: Ty, cell: Cell) -> Value<'r> {
        let at = usize::from(cell.at);
        match cell.rep {
            Rep::Num => number_value(ty, self.numbers[at]),
            Rep::Money => money_value(self.numbers[at], self.numbers[at + 1]),
            Rep::Geo if self.numbers[at].is_nan() => Value::Missing,
            Rep::Geo => Value::Geo(Point { latitude: self.numbers[at], longitude: self.numbers[at + 1] }),
            Rep::Ip => ip_of_slots(self.ids[at], self.ids[at + 1]).map_or(Value::Missing, Value::Ip),
            Rep::Id => match self.texts[usize::from(cell.text)].as_str() {
                "" => Value::Missing,
                text => Value::Text(text.into()),
            },
        }
    }
}

fn number_value(ty: Ty, number: f64) -> Value<'static> {
    if number.is_nan() {
        return Value::Missing;
    }
    match ty {
        Ty::Bool => Value::Bool(number != 0.0),
        Ty::Int => Value::Int(number as i64),
        Ty::Duration => Value::Duration(number as i64),
        Ty::Time => Value::Time(Millis(number as i64)),
        Ty::Asn => Value::Asn(number as u32),
        Ty::Country => Country::from_number(number as u16).map_or(Value::Missing, Value::Country),
        Ty::Word(words) => words.get(number as usize).map_or(Value::Missing, |w| Value::Word(w)),
        _ => Value::Float(number),
    }
}

fn money_value(minor: f64, currency: f64) -> Value<'static> {
    match Currency::from_number(currency as u8) {
        Some(currency) if !minor.is_nan() => Value::Money(Money { minor: minor.round() as i64, currency }),
        _ => Value::Missing,
    }
}
