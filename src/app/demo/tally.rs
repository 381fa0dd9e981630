//! What was planted against what was found, as the board and the summary tell it.
//!
//! Guarantees: pure; every planted scene is in exactly one row. Decides nothing: `model` says what is found.

use super::model::Model;

/// One kind of attack, for the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindRow {
    /// Its name.
    pub name: &'static str,
    /// Scenes of it.
    pub planted: usize,
    /// Scenes whose last event is sent.
    pub over: usize,
    /// Scenes that their live rules found; those of a kind in shadow that their rules in shadow saw.
    pub found: usize,
    /// Only rules in shadow look for it.
    pub is_shadow: bool,
}

/// Look-alikes, for the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookAlikes {
    /// Planted.
    pub planted: usize,
    /// Those whose last event is sent.
    pub over: usize,
    /// Those that a user was told of.
    pub told: usize,
}

impl Model {
    /// The kinds of attacks, in the order in which they first happen.
    pub fn kinds(&self) -> Vec<KindRow> {
        let mut rows: Vec<KindRow> = Vec::new();
        for scene in self.scenes.iter().filter(|scene| scene.is_attack) {
            let row = match rows.iter_mut().find(|row| row.name == scene.kind) {
                Some(row) => row,
                None => {
                    let is_shadow = scene.is_shadow();
                    rows.push(KindRow { name: scene.kind, planted: 0, over: 0, found: 0, is_shadow });
                    let Some(row) = rows.last_mut() else { continue };
                    row
                }
            };
            row.planted += 1;
            row.over += usize::from(scene.sent == scene.events);
            row.found += usize::from(scene.is_found() || scene.is_seen());
        }
        rows
    }

    /// The look-alikes.
    pub fn look_alikes(&self) -> LookAlikes {
        let mut all = LookAlikes::default();
        for scene in self.scenes.iter().filter(|scene| !scene.is_attack) {
            all.planted += 1;
            all.over += usize::from(scene.sent == scene.events);
            all.told += usize::from(scene.told);
        }
        all
    }

    /// Attacks that live rules must find, and those of them that they found.
    pub fn score(&self) -> (usize, usize) {
        let counted = self.scenes.iter().filter(|scene| scene.is_counted());
        let found = self.scenes.iter().filter(|scene| scene.is_found());
        (counted.count(), found.count())
    }

    /// Attacks that only rules in shadow look for, and those of them that they saw.
    pub fn shadow_score(&self) -> (usize, usize) {
        let planted = self.scenes.iter().filter(|scene| scene.is_shadow());
        let seen = self.scenes.iter().filter(|scene| scene.is_seen());
        (planted.count(), seen.count())
    }

    /// The latency that this share of the alerts keeps, percent.
    pub fn latency_ms(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len().checked_sub(1)? * percent).div_ceil(100)).copied()
    }

    /// Records of the played day that were sent in a second, on average; `None` before it has a length. The days
    /// before it go as fast as they can, and are no part of it.
    pub fn day_rate(&self) -> Option<u64> {
        let [(began_ms, sent_before), (last_ms, sent)] = self.day?;
        (sent.saturating_sub(sent_before) * 1000).checked_div(last_ms.saturating_sub(began_ms))
    }

    /// How much of the day is over, 0 to 1.
    pub fn day_part(&self) -> f64 {
        let (from, to) = self.setting.day;
        let whole = to.since(from).max(1) as f64;
        (self.clock.since(from) as f64 / whole).clamp(0.0, 1.0)
    }
}
