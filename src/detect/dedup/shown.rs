//! Which rules fired for one entity, and until when each is silent about it.
//!
//! Guarantees: the same of what is in memory and of what stands in a store. A pair is found by either of its two; for
//! that all firings are looked at, and only where some rule is silent by such a pair. Changes nothing.

use serde::Serialize;

use super::durable::{Head, key_bytes};
use super::{Fired, Silenced};
use crate::detect::changed::Changed;
use crate::event::Millis;
use crate::features::Asked;
use crate::features::store::{Space, StoreError, Stored};
use crate::ruleset::Key;

/// A firing that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FiredShown {
    /// The rule.
    pub rule: String,
    /// What its dedup is by, as rules write it.
    pub by: String,
    /// When it last fired.
    pub fired: Millis,
    /// Until when it is silent.
    pub until: Millis,
    /// Whether it still is.
    pub is_silent: bool,
}

/// Where the firings of one rule for an entity are found.
enum Lies {
    /// Under this key.
    At((u16, u64, u64)),
    /// Under several: the entity is one of a pair.
    Among,
    /// Nowhere.
    Nowhere,
}

fn lies(number: u16, by: Key, asked: &Asked) -> Lies {
    let with = |kind| asked.with.filter(|(of, _)| Some(*of) == kind).map(|(_, hash)| hash);
    match by.second {
        None if by.first == asked.kind => Lies::At((number, asked.hash, 0)),
        Some(_) if by.first == asked.kind => {
            with(by.second).map_or(Lies::Among, |second| Lies::At((number, asked.hash, second)))
        }
        Some(second) if second == asked.kind => {
            with(Some(by.first)).map_or(Lies::Among, |first| Lies::At((number, first, asked.hash)))
        }
        _ => Lies::Nowhere,
    }
}

impl Fired {
    /// Every firing for the entity, by rule.
    pub fn shown(&self, asked: &Asked) -> Vec<FiredShown> {
        let mut shown = Vec::new();
        let mut show = |silenced: &Silenced, newest_ms: i64| {
            let until = Millis(newest_ms.saturating_add(silenced.for_ms));
            shown.push(FiredShown {
                rule: silenced.id.clone(),
                by: silenced.by.text(),
                fired: Millis(newest_ms),
                until,
                is_silent: asked.at_ms < until.0,
            });
        };
        let mut is_among = false;
        for (number, silenced) in self.numbered() {
            match lies(number, silenced.by, asked) {
                Lies::At(key) => self.newest_ms.get(&key).into_iter().for_each(|newest| show(silenced, *newest)),
                Lies::Among => is_among = true,
                Lies::Nowhere => {}
            }
        }
        if is_among {
            for ((number, first, second), newest) in &self.newest_ms {
                let Some(Some(silenced)) = self.silenced.get(usize::from(*number)) else { continue };
                let is_ours = |kind, hash| kind == asked.kind && hash == asked.hash;
                let by = silenced.by;
                let is_one = is_ours(by.first, *first) || by.second.is_some_and(|kind| is_ours(kind, *second));
                if is_one && matches!(lies(*number, by, asked), Lies::Among) {
                    show(silenced, *newest);
                }
            }
        }
        shown.sort();
        shown
    }

    /// The firings of a store that are about an entity, and no others.
    pub fn of_stored(head: Head, asked: &Asked, stored: &dyn Stored) -> Result<Self, StoreError> {
        let mut fired = Fired {
            newest_ms: Default::default(),
            sweep_at: head.sweep_at,
            silenced: head.silenced,
            numbers: Vec::new(),
            changed: Changed::nothing(),
        };
        let (mut keys, mut is_among) = (Vec::new(), false);
        for (number, silenced) in fired.numbered() {
            match lies(number, silenced.by, asked) {
                Lies::At(key) => keys.push(key_bytes(key)),
                Lies::Among => is_among = true,
                Lies::Nowhere => {}
            }
        }
        if is_among {
            let own = asked.hash.to_be_bytes();
            stored.each(Space::Fired, &mut |key, value| {
                let is_ours = key.get(2..10) == Some(&own[..]) || key.get(10..) == Some(&own[..]);
                if is_ours { fired.take_stored(key, value).map_err(|e| e.under(Space::Fired, key)) } else { Ok(()) }
            })?;
        }
        for key in keys {
            if let Some(value) = stored.get(Space::Fired, &key)? {
                fired.take_stored(&key, &value).map_err(|e| e.under(Space::Fired, &key))?;
            }
        }
        Ok(fired)
    }

    fn numbered(&self) -> impl Iterator<Item = (u16, &Silenced)> {
        (0u16..).zip(&self.silenced).filter_map(|(number, silenced)| Some((number, silenced.as_ref()?)))
    }
}
