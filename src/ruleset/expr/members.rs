//! Compiled membership, in lists and in sets of literals, and addresses.
//!
//! Guarantees: a look-up costs a few probes whatever the size; of something missing it is neither true nor
//! false. Lists of texts are looked up by keyed hashes.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashSet;

use super::compile::{Compiler, Test, id};
use super::numbers::{NumberFn, differ, of, word_index};
use super::pairs::pair_of;
use super::texts::Hash;
use super::typed::{Node, Typed};
use super::{Row, Ty};
use crate::event::Value;
use crate::ruleset::lists::ListSet;
use crate::ruleset::row::{Rep, ip_of_slots, ip_slots};

/// Literals of a set that are looked through one by one; beyond, they are hashed.
const SCANNED_MAX: usize = 8;

impl Compiler<'_> {
    /// In a list?
    pub fn in_list(&mut self, left: &Typed, list: &Arc<ListSet>, want: bool) -> Test {
        match left.ty.rep() {
            Rep::Ip => {
                let (address, list) = (self.address(left), list.clone());
                Box::new(move |row| {
                    let (high, low) = address.read(row);
                    ip_of_slots(high, low).is_some_and(|ip| list.prefixes.contains(ip) == want)
                })
            }
            Rep::Id => {
                let hashes: Vec<u64> = list.texts.iter().map(|text| self.key.text(text)).collect();
                self.hash(left).among(hashes, want)
            }
            Rep::Num => {
                let number = self.number(left).boxed();
                if let Ty::Word(words) = left.ty {
                    let numbers = list.texts.iter().filter_map(|text| word_index(words, text)).collect();
                    return among_numbers(number, numbers, want);
                }
                let list = list.clone();
                Box::new(move |row| {
                    let n = number(row);
                    !n.is_nan() && list.numbers.contains(&(n as u32)) == want
                })
            }
            // No list holds money or places; the checker refuses them.
            Rep::Money | Rep::Geo => Box::new(|_| false),
        }
    }

    /// Among literals?
    pub fn in_set(&mut self, left: &Typed, values: &[Value<'static>], want: bool) -> Test {
        match left.ty.rep() {
            Rep::Num => {
                let number = self.number(left).boxed();
                among_numbers(number, values.iter().map(|value| of(value, left.ty)).collect(), want)
            }
            Rep::Id => {
                let text_hash = |value: &Value<'_>| match value {
                    Value::Text(text) => Some(self.key.text(text)),
                    _ => None,
                };
                let hashes = values.iter().filter_map(text_hash).collect();
                self.hash(left).among(hashes, want)
            }
            Rep::Ip => {
                let address = self.address(left);
                let all: Vec<(u64, u64)> = values.iter().filter_map(address_of).collect();
                Box::new(move |row| {
                    let found = address.read(row);
                    found != MISSING_ADDRESS && all.contains(&found) == want
                })
            }
            Rep::Money => {
                let money = self.pair(left);
                let all: Vec<(f64, f64)> = values.iter().map(pair_of).collect();
                Box::new(move |row| {
                    let found = money.read(row);
                    if want {
                        return all.contains(&found);
                    }
                    // Of another currency is unknown, as it is with `==`.
                    all.iter().all(|one| one.1 == found.1 && differ(one.0, found.0))
                })
            }
            Rep::Geo => Box::new(|_| false),
        }
    }

    // === addresses ===

    /// An address.
    pub fn address(&mut self, typed: &Typed) -> Address {
        match &typed.node {
            Node::Name(name) => Address::Slot(self.cell(*name, typed.ty).at.into()),
            Node::Constant(value) => {
                let (high, low) = address_of(value).unwrap_or(MISSING_ADDRESS);
                Address::Constant(high, low)
            }
            Node::Coalesce(left, right) => Address::Either(Box::new((self.address(left), self.address(right)))),
            _ => Address::Constant(0, 0),
        }
    }
}

/// The address that is missing.
pub(super) const MISSING_ADDRESS: (u64, u64) = (0, 0);

/// Where an address comes from.
pub(super) enum Address {
    Slot(usize),
    Constant(u64, u64),
    /// The first, or the second where that is missing.
    Either(Box<(Address, Address)>),
}

impl Address {
    /// The two halves; both 0 where missing.
    pub fn read(&self, row: &Row<'_>) -> (u64, u64) {
        match self {
            Address::Slot(at) => (id(row, *at), id(row, at + 1)),
            Address::Constant(high, low) => (*high, *low),
            Address::Either(both) => match both.0.read(row) {
                MISSING_ADDRESS => both.1.read(row),
                found => found,
            },
        }
    }
}

fn address_of(value: &Value<'_>) -> Option<(u64, u64)> {
    match value {
        Value::Ip(ip) => Some(ip_slots(IpAddr::clone(ip))),
        _ => None,
    }
}

fn among_numbers(number: NumberFn, mut all: Vec<f64>, want: bool) -> Test {
    all.sort_by(f64::total_cmp);
    if all.len() <= SCANNED_MAX {
        return Box::new(move |row| {
            let n = number(row);
            !n.is_nan() && all.contains(&n) == want
        });
    }
    // `-0.0` is `0.0`.
    let bits: HashSet<u64, foldhash::fast::RandomState> = all.iter().map(|n| (n + 0.0).to_bits()).collect();
    Box::new(move |row| {
        let n = number(row);
        !n.is_nan() && bits.contains(&(n + 0.0).to_bits()) == want
    })
}

impl Hash {
    fn among(self, hashes: Vec<u64>, want: bool) -> Test {
        if hashes.len() <= SCANNED_MAX {
            return Box::new(move |row| {
                let found = self.read(row);
                found != 0 && hashes.contains(&found) == want
            });
        }
        // The hashes are keyed: nobody outside can make them meet.
        let hashes: HashSet<u64, foldhash::fast::RandomState> = hashes.into_iter().collect();
        Box::new(move |row| {
            let found = self.read(row);
            found != 0 && hashes.contains(&found) == want
        })
    }
}
