//! The score of an event: the maximum within a group, then noisy-or over the groups.
//!
//! Guarantees: does not depend on the order of the findings, never falls when one is added, is never above
//! 100; rounding is exact. Decides nothing.

/// Groups whose score is worked out in whole numbers; one more is beyond any rule set.
const GROUPS_EXACT_MAX: usize = 16;

/// A finding as the score sees it.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'f> {
    /// The rule's group.
    pub group: &'f str,
    /// The rule's score, 0 to 100.
    pub score: u8,
}

/// What the findings of one event come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Unrounded, 0 to 100: what `account.risk` adds up.
    pub exact: f64,
    /// Rounded half up.
    pub rounded: u8,
    /// Each finding's share, to two decimals, in the order given.
    pub shares: Vec<f64>,
}

/// Scores the findings of live rules.
pub fn score(findings: &[Scored<'_>]) -> Score {
    let mut groups: Vec<Scored<'_>> = Vec::new();
    for finding in findings {
        match groups.iter_mut().find(|g| g.group == finding.group) {
            Some(group) => group.score = group.score.max(finding.score),
            None => groups.push(*finding),
        }
    }
    let sum: u32 = groups.iter().map(|g| u32::from(g.score.min(100))).sum();
    let share = |finding: &Scored<'_>| {
        let is_maximum = groups.iter().any(|g| g.group == finding.group && g.score == finding.score);
        if !is_maximum || sum == 0 {
            return 0.0;
        }
        let hundredths = (u32::from(finding.score) * 200 + sum) / (2 * sum);
        f64::from(hundredths) / 100.0
    };
    let (exact, rounded) = noisy_or(&groups);
    Score { exact, rounded, shares: findings.iter().map(share).collect() }
}

/// 100·(1 − ∏(1 − g/100)), unrounded and rounded half up.
fn noisy_or(groups: &[Scored<'_>]) -> (f64, u8) {
    let left = groups.iter().map(|g| 100 - g.score.min(100));
    if groups.len() > GROUPS_EXACT_MAX {
        let exact = 100.0 - left.map(|l| f64::from(l) / 100.0).product::<f64>() * 100.0;
        return (exact, (exact + 0.5).floor() as u8);
    }
    let whole = 100u128.pow(groups.len() as u32);
    let scored = whole - left.map(u128::from).product::<u128>();
    let rounded = (scored * 200 + whole) / (2 * whole);
    (scored as f64 * 100.0 / whole as f64, rounded as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(findings: &[(&'static str, u8)]) -> (u8, Vec<f64>) {
        let scored: Vec<_> = findings.iter().map(|(group, score)| Scored { group, score: *score }).collect();
        let score = score(&scored);
        (score.rounded, score.shares)
    }

    #[test]
    fn correlated_evidence_counts_once() {
        assert_eq!(of(&[("a", 45), ("a", 60), ("b", 50)]), (80, vec![0.0, 0.55, 0.45]));
        assert_eq!(of(&[("a", 100), ("b", 50)]).0, 100);
        assert_eq!(of(&[("a", 0)]), (0, vec![0.0]));
    }

    #[test]
    fn halves_round_up() {
        assert_eq!(of(&[("a", 10), ("b", 45)]).0, 51, "50.5");
        assert_eq!(of(&[("a", 50), ("b", 1)]).0, 51, "50.5");
        assert_eq!(of(&[("a", 2), ("b", 25), ("c", 60)]).0, 71, "70.6");
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_more_is_never_less(
            mut findings in prop::collection::vec((0usize..30, 0u8..=100), 1..40),
        ) {
            const NAMES: [&str; 30] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o",
                "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "aa", "ab", "ac", "ad"];
            let scored = |f: &[(usize, u8)]| {
                score(&f.iter().map(|(g, s)| Scored { group: NAMES[*g], score: *s }).collect::<Vec<_>>())
            };
            let all = scored(&findings);
            let fewer = scored(&findings[1..]);
            prop_assert!(all.rounded <= 100 && all.rounded >= fewer.rounded && all.exact >= fewer.exact - 1e-9);
            findings.reverse();
            let back = scored(&findings);
            prop_assert_eq!(back.rounded, all.rounded);
            prop_assert!((back.exact - all.exact).abs() < 1e-9);
        }
    }
}
