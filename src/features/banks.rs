//! The memory of a row: three banks of slots, used again for each event.
//!
//! Guarantees: after [`Banks::clear`] every slot is missing; writing costs no allocation once a text slot has
//! held a text as long.

use std::net::IpAddr;

use compact_str::CompactString;

use crate::event::{Currency, Event, Money, Point};
use crate::ruleset::row::{Cell, Layout, Rep, Row, ip_slots};

/// One event's slots.
#[derive(Debug, Clone, Default)]
pub struct Banks {
    numbers: Vec<f64>,
    ids: Vec<u64>,
    texts: Vec<CompactString>,
}

impl Banks {
    /// Banks for a layout, everything missing.
    pub fn new(layout: &Layout) -> Self {
        Banks {
            numbers: vec![f64::NAN; usize::from(layout.numbers)],
            ids: vec![0; usize::from(layout.ids)],
            texts: vec![CompactString::default(); usize::from(layout.texts)],
        }
    }

    /// Makes everything missing.
    pub fn clear(&mut self) {
        self.numbers.fill(f64::NAN);
        self.ids.fill(0);
        for text in &mut self.texts {
            text.clear();
        }
    }

    /// The row of an event.
    pub fn row<'r>(&'r self, event: &'r Event<'r>) -> Row<'r> {
        Row { event, numbers: &self.numbers, ids: &self.ids, texts: &self.texts }
    }

    /// Writes a number.
    pub fn number(&mut self, cell: Cell, value: f64) {
        if let Some(slot) = self.numbers.get_mut(usize::from(cell.at)) {
            *slot = value;
        }
    }

    fn two_numbers(&mut self, cell: Cell, first: f64, second: f64) {
        let at = usize::from(cell.at);
        if let Some([a, b]) = self.numbers.get_mut(at..at + 2) {
            (*a, *b) = (first, second);
        }
    }

    /// Writes an amount.
    pub fn money(&mut self, cell: Cell, money: Money) {
        self.two_numbers(cell, money.minor as f64, f64::from(money.currency.number()));
    }

    /// Writes an amount that need not be whole, such as a mean: parts of minor units.
    pub fn money_parts(&mut self, cell: Cell, minor: f64, currency: Currency) {
        self.two_numbers(cell, minor, f64::from(currency.number()));
    }

    /// Writes a point.
    pub fn point(&mut self, cell: Cell, point: Point) {
        self.two_numbers(cell, point.latitude, point.longitude);
    }

    /// Writes a text and its hash.
    pub fn text(&mut self, cell: Cell, hash: u64, text: &str) {
        if let Some(slot) = self.ids.get_mut(usize::from(cell.at)) {
            *slot = hash;
        }
        if let Some(slot) = self.texts.get_mut(usize::from(cell.text)) {
            slot.clear();
            slot.push_str(text);
        }
    }

    /// Writes an address.
    pub fn ip(&mut self, cell: Cell, ip: IpAddr) {
        let at = usize::from(cell.at);
        if let Some([high, low]) = self.ids.get_mut(at..at + 2) {
            (*high, *low) = ip_slots(ip);
        }
    }

    /// Makes a cell missing again.
    pub fn clear_cell(&mut self, cell: Cell) {
        match cell.rep {
            Rep::Num => self.numbers_at(cell.at, 1).fill(f64::NAN),
            Rep::Money | Rep::Geo => self.numbers_at(cell.at, 2).fill(f64::NAN),
            Rep::Ip => self.ids_at(cell.at, 2).fill(0),
            Rep::Id => self.text(cell, 0, ""),
        }
    }

    /// Bare slots of the bank of numbers.
    pub fn numbers_at(&mut self, at: u16, width: usize) -> &mut [f64] {
        let at = usize::from(at);
        self.numbers.get_mut(at..at + width).unwrap_or_default()
    }

    /// Bare slots of the bank of ids.
    pub fn ids_at(&mut self, at: u16, width: usize) -> &mut [u64] {
        let at = usize::from(at);
        self.ids.get_mut(at..at + width).unwrap_or_default()
    }

    /// A bare slot of the bank of texts.
    pub fn text_at(&mut self, at: u16) -> Option<&mut CompactString> {
        self.texts.get_mut(usize::from(at))
    }
}
