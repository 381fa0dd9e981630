//! What is kept of an event for later: values out of a row, and back into one.
//!
//! Guarantees: what was missing is missing again; a text is cut to [`TEXT_BYTES_MAX`], its hash stays that of
//! the whole. Knows neither names nor steps.

use compact_str::CompactString;

use crate::event::{Event, Field};
use crate::features::{Banks, Ids, fill};
use crate::ruleset::row::{Cell, Rep};
use crate::ruleset::sequence::Kept;

/// Length of a text that is kept, at most, bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// Some values of a row.
#[derive(Debug, Clone, Default)]
pub struct Values {
    pub(super) numbers: Box<[f64]>,
    pub(super) ids: Box<[u64]>,
    pub(super) texts: Box<[CompactString]>,
}

impl Values {
    /// Those of a row.
    pub fn of_row<'k>(kept: impl Iterator<Item = &'k Kept>, from: &mut Banks) -> Self {
        let (mut numbers, mut ids, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for Kept { cell, has_text } in kept {
            let (of_numbers, of_ids) = width(cell.rep);
            numbers.extend_from_slice(from.numbers_at(cell.at, of_numbers));
            ids.extend_from_slice(from.ids_at(cell.at, of_ids));
            if cell.rep == Rep::Id && *has_text {
                texts.push(from.text_at(cell.text).map_or_else(CompactString::default, |text| cut(text)));
            }
        }
        Values { numbers: numbers.into(), ids: ids.into(), texts: texts.into() }
    }

    /// Those of an event's fields, by way of their slots in a row.
    pub fn of_event(kept: &[(Field, Kept)], event: &Event<'_>, ids: &mut Ids, by_way_of: &mut Banks) -> Self {
        for (field, Kept { cell, .. }) in kept {
            clear(*cell, by_way_of);
            fill(*field, event, ids, *cell, by_way_of);
        }
        Values::of_row(kept.iter().map(|(_, kept)| kept), by_way_of)
    }

    /// Puts them back where they stood.
    pub fn give<'k>(&self, kept: impl Iterator<Item = &'k Kept>, to: &mut Banks) {
        let (mut numbers, mut ids) = (self.numbers.iter().copied(), self.ids.iter().copied());
        let mut texts = self.texts.iter();
        for Kept { cell, has_text } in kept {
            let (of_numbers, of_ids) = width(cell.rep);
            to.numbers_at(cell.at, of_numbers).fill_with(|| numbers.next().unwrap_or(f64::NAN));
            to.ids_at(cell.at, of_ids).fill_with(|| ids.next().unwrap_or(0));
            if cell.rep == Rep::Id
                && let Some(slot) = to.text_at(cell.text)
            {
                slot.clear();
                if let Some(text) = texts.next().filter(|_| *has_text) {
                    slot.push_str(text);
                }
            }
        }
    }

    /// Memory it points to, by its lengths, bytes.
    pub fn heap_bytes(&self) -> usize {
        let of_text = |text: &CompactString| if text.len() > size_of::<CompactString>() { text.len() } else { 0 };
        let texts: usize = self.texts.iter().map(of_text).sum();
        8 * (self.numbers.len() + self.ids.len()) + size_of_val(&*self.texts) + texts
    }
}

/// How many numbers and how many ids a value takes.
fn width(rep: Rep) -> (usize, usize) {
    match rep {
        Rep::Num => (1, 0),
        Rep::Money | Rep::Geo => (2, 0),
        Rep::Id => (0, 1),
        Rep::Ip => (0, 2),
    }
}

/// Makes a value missing.
pub fn clear(cell: Cell, banks: &mut Banks) {
    let (of_numbers, of_ids) = width(cell.rep);
    banks.numbers_at(cell.at, of_numbers).fill(f64::NAN);
    banks.ids_at(cell.at, of_ids).fill(0);
    if cell.rep == Rep::Id
        && let Some(text) = banks.text_at(cell.text)
    {
        text.clear();
    }
}

fn cut(text: &str) -> CompactString {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    CompactString::from(text.get(..end).unwrap_or_default())
}
