//! Makes a case that differs small: as long as it still differs, records go, then rules, then what is left unused.

use super::describe::*;

/// The smallest case found that still `differs`.
pub fn shrink(mut case: Case, differs: impl Fn(&Case) -> bool) -> Case {
    loop {
        let before = size(&case);
        drop_each(&mut case, &differs, |c| usize::from(c.lanes.len() > 1), |c, _| c.lanes = vec![0]);
        drop_each(&mut case, &differs, |c| c.reads.len(), |c, i| drop(c.reads.remove(i)));
        drop_each(&mut case, &differs, |c| usize::from(c.rules.has_probes), |c, _| c.rules.has_probes = false);
        drop_records(&mut case, &differs);
        drop_each(&mut case, &differs, |c| c.rules.rules.len(), |c, i| drop(c.rules.rules.remove(i)));
        for rule in 0..case.rules.rules.len() {
            drop_each(
                &mut case,
                &differs,
                |c| c.rules.rules[rule].unless.len(),
                |c, i| drop(c.rules.rules[rule].unless.remove(i)),
            );
            drop_each(
                &mut case,
                &differs,
                |c| usize::from(c.rules.rules[rule].dedup.is_some()),
                |c, _| c.rules.rules[rule].dedup = None,
            );
        }
        drop_each(&mut case, &differs, |c| c.rules.defs.len(), |c, i| drop(c.rules.defs.remove(i)));
        drop_each(&mut case, &differs, |c| c.rules.exceptions.len(), |c, i| drop(c.rules.exceptions.remove(i)));
        drop_each(&mut case, &differs, |c| c.rules.features.len(), |c, i| drop(c.rules.features.remove(i)));
        drop_fields(&mut case, &differs);
        if size(&case) == before {
            return case;
        }
    }
}

fn size(case: &Case) -> usize {
    let rules = &case.rules;
    let parts: usize = rules.rules.iter().map(|r| 1 + r.unless.len() + usize::from(r.dedup.is_some())).sum();
    let fields: usize = case.records.iter().map(|r| event(r).fields.len() + 1).sum();
    parts
        + fields
        + case.lanes.len()
        + case.reads.len()
        + rules.features.len()
        + rules.defs.len()
        + rules.exceptions.len()
}

fn event(record: &Record) -> &Event {
    match record {
        Record::Event(event) | Record::Refused(event) => event,
    }
}

/// Halves first, then quarters, then one by one.
fn drop_records(case: &mut Case, differs: &impl Fn(&Case) -> bool) {
    let mut many = case.records.len() / 2;
    while many > 0 {
        let mut at = 0;
        while at < case.records.len() {
            let mut smaller = case.clone();
            smaller.records.drain(at..(at + many).min(case.records.len()));
            if differs(&smaller) { *case = smaller } else { at += many }
        }
        many /= 2;
    }
}

/// Drops what can be dropped, the last first.
fn drop_each(
    case: &mut Case,
    differs: &impl Fn(&Case) -> bool,
    len: impl Fn(&Case) -> usize,
    remove: impl Fn(&mut Case, usize),
) {
    for at in (0..len(case)).rev() {
        let mut smaller = case.clone();
        remove(&mut smaller, at);
        if differs(&smaller) {
            *case = smaller;
        }
    }
}

/// Fields that need not be there; what an event must have, it keeps.
fn drop_fields(case: &mut Case, differs: &impl Fn(&Case) -> bool) {
    for at in 0..case.records.len() {
        let names: Vec<&'static str> = event(&case.records[at]).fields.keys().copied().collect();
        let optional = ["ip", "device", "session", "channel", "country", "payee", "status", "balance"];
        for name in names.into_iter().filter(|name| optional.contains(name)) {
            let mut smaller = case.clone();
            let (Record::Event(event) | Record::Refused(event)) = &mut smaller.records[at];
            event.fields.remove(name);
            if differs(&smaller) {
                *case = smaller;
            }
        }
    }
}
