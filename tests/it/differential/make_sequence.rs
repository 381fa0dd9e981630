//! Makes sequences: one to three steps over few types, so that decoys, cancels and followers come by themselves.

use super::describe::*;
use super::make::Dice;
use super::make_rules::{self, KINDS, field_atom};

const WITHIN: [Ms; 4] = [MINUTE, 5 * MINUTE, 20 * MINUTE, 60 * MINUTE];

/// A condition between this event and an earlier step.
pub fn alias_atom(dice: &mut Dice, aliases: &[String]) -> Expr {
    let alias = dice.pick(aliases);
    let field = dice.pick(&["device", "device", "ip", "session"]);
    let op = dice.pick(&[Op::Eq, Op::Eq, Op::Ne]);
    Expr::Compare(Term::Field(field), op, Term::Alias(alias, field))
}

/// A sequence, and the types of its last step.
pub fn sequence(dice: &mut Dice, set: &RuleSet) -> (Trigger, Vec<&'static str>) {
    let absent = dice.once_in(3);
    let steps = if absent { 1 + dice.below(3) } else { 2 + dice.below(2) };
    let mut aliases: Vec<String> = Vec::new();
    let mut made = Vec::new();
    for i in 0..steps {
        let step = arm(dice, Some(set), &aliases);
        aliases.push(format!("s{i}"));
        made.push((format!("s{i}"), step));
    }
    if steps == 3 && dice.once_in(2) {
        // Which of the chains through one event are kept shows where the last step asks for the first.
        let device = || Term::Field("device");
        made[0].1.filter = None;
        made[2].1.filter = Some(Expr::Compare(device(), Op::Eq, Term::Alias("s0".into(), "device")));
    }
    let without = (0..dice.below(3).saturating_sub(1)).map(|_| arm(dice, None, &aliases[..steps - 1])).collect();
    let absent = (0..if absent { 1 + dice.below(2) } else { 0 })
        .map(|_| (arm(dice, None, &aliases), dice.pick(&WITHIN[..3])))
        .collect();
    let by = dice.pick(&[vec!["account"], vec!["account"], vec!["account"], vec!["ip"], vec!["account", "device"]]);
    let kinds = made.last().map(|(_, a): &(String, Arm)| a.kinds.clone()).unwrap_or_default();
    (Trigger::Sequence(Sequence { by, within: dice.pick(&WITHIN), steps: made, without, absent }), kinds)
}

fn arm(dice: &mut Dice, set: Option<&RuleSet>, aliases: &[String]) -> Arm {
    let mut kinds = vec![dice.pick(&KINDS[..])];
    if dice.once_in(4) {
        kinds.push("login");
        kinds.dedup();
        kinds.sort_unstable();
        kinds.dedup();
    }
    let filter = match dice.below(4) {
        0 => None,
        1 => Some(field_atom(dice, &kinds)),
        2 if !aliases.is_empty() => Some(alias_atom(dice, aliases)),
        _ => match set {
            Some(set) => Some(make_rules::condition(dice, set, &kinds, aliases, 2)),
            None => Some(field_atom(dice, &kinds)),
        },
    };
    Arm { kinds, filter }
}
