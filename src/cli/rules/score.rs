//! `rules score`: what would these rules give together?
//!
//! Guarantees: score, shares, band and routes are worked out by what does it in the service. Runs no event.

use std::io::Write;

use serde::Serialize;

use super::find;
use super::set::Set;
use super::table::Table;
use crate::cli::{Exit, Format};
use crate::detect::{Scored, score};
use crate::ruleset::{Action, Audience, Policy, Rule, State};

/// What would these rules give together, if they fired on one event?
///
/// Prints each rule's share, the score, its band, who would be told and by what. A rule in shadow counts 0 while
/// it is there; a draft and one that is off count 0 too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  walletwatch rules score brute-force-account impossible-travel")]
pub struct Args {
    /// The rules that fire.
    #[arg(required = true, value_name = "RULE")]
    fired: Vec<String>,
    #[command(flatten)]
    set: Set,
    /// For people, or one JSON document.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(loaded) = args.set.load(args.format)? else { return Ok(Exit::No) };
    let mut places = args.fired.iter().map(|id| find(&loaded.ruleset, id)).collect::<anyhow::Result<Vec<_>>>()?;
    places.sort_unstable();
    places.dedup();
    let rules: Vec<&Rule> = places.iter().filter_map(|place| loaded.ruleset.rules.get(*place)).collect();
    let together = Together::of(&rules, &loaded.policy);
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Human => out.write_all(together.human(&loaded.policy).as_bytes())?,
        Format::Json => writeln!(out, "{}", serde_json::to_string(&together)?)?,
    }
    Ok(Exit::Done)
}

/// What some rules give together.
#[derive(Debug, Serialize)]
struct Together<'r> {
    rules: Vec<One<'r>>,
    score: u8,
    /// `null` below the lowest band: no alert.
    band: Option<&'static str>,
    action: Action,
    told: Vec<Told<'r>>,
}

/// One rule among them.
#[derive(Debug, Serialize)]
struct One<'r> {
    rule: &'r str,
    group: &'r str,
    state: &'static str,
    /// 0 where it is not live.
    score: u8,
    share: f64,
}

/// Who would be told, and by what.
#[derive(Debug, Serialize)]
struct Told<'r> {
    audience: Audience,
    /// Empty: no route reaches them.
    channels: &'r [String],
    /// All of them at once, rather than the next where one fails.
    all: bool,
}

impl<'r> Together<'r> {
    fn of(rules: &[&'r Rule], policy: &'r Policy) -> Self {
        let live: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.state == State::Live).collect();
        let scored: Vec<Scored<'_>> = live.iter().map(|r| Scored { group: &r.group, score: r.score }).collect();
        let total = score(&scored);
        let share = |rule: &Rule| {
            let at = live.iter().position(|live| std::ptr::eq(*live, rule));
            at.and_then(|at| total.shares.get(at)).copied().unwrap_or(0.0)
        };
        let ones = rules.iter().map(|rule| One {
            rule: &rule.id,
            group: &rule.group,
            state: state(rule.state),
            score: if rule.state == State::Live { rule.score } else { 0 },
            share: share(rule),
        });
        let band = policy.bands.of(total.rounded).filter(|_| !live.is_empty());
        let mut audiences: Vec<Audience> = live.iter().flat_map(|rule| rule.audience.iter().copied()).collect();
        audiences.sort_unstable();
        audiences.dedup();
        let told = audiences.into_iter().filter(|_| band.is_some()).map(|audience| {
            let route = policy.route(total.rounded, audience);
            Told {
                audience,
                channels: route.map(|route| route.channels.as_slice()).unwrap_or_default(),
                all: route.is_some_and(|route| route.all),
            }
        });
        Together {
            rules: ones.collect(),
            score: total.rounded,
            band: band.map(|band| band.word()),
            action: live.iter().map(|rule| rule.action).max().unwrap_or(Action::None),
            told: told.collect(),
        }
    }

    fn human(&self, policy: &Policy) -> String {
        let mut table = Table::new(&["rule", "group", "state", "score", "share"]);
        for one in &self.rules {
            let share = format!("{:.2}", one.share);
            table.row(vec![
                one.rule.to_owned(),
                one.group.to_owned(),
                one.state.to_owned(),
                one.score.to_string(),
                share,
            ]);
        }
        let bands = policy.bands;
        let limits =
            format!("low {}, medium {}, high {}, critical {}", bands.low, bands.medium, bands.high, bands.critical);
        let mut text = table.text("");
        text.push_str(&match self.band {
            Some(band) => format!("\ntogether {}: {band} ({limits})\n", self.score),
            None => format!("\ntogether {}: no alert ({limits})\n", self.score),
        });
        let action = serde_json::to_value(self.action).ok();
        if let Some(action) = action.as_ref().and_then(|action| action.as_str()).filter(|_| self.band.is_some()) {
            text.push_str(&format!("recommends {action}\n"));
        }
        for told in &self.told {
            let how = match (told.channels, told.all) {
                ([], _) => "by nothing: no route of the policy reaches this band".to_owned(),
                (channels, true) => format!("by {}, all at once", channels.join(", ")),
                ([channel], _) => format!("by {channel}"),
                (channels, false) => format!("by {}, the next where one fails", channels.join(", ")),
            };
            text.push_str(&format!("tells {} {how}\n", told.audience.word()));
        }
        text
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Draft => "draft",
        State::Shadow => "shadow",
        State::Live => "live",
        State::Off => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::{HashKey, Sources, load};

    fn told(ids: &[&str]) -> (String, String) {
        let loaded = load(&Sources::builtin(), HashKey::new([0; 16]), None).expect("the shipped pack");
        let rules: Vec<&Rule> = loaded.ruleset.rules.iter().filter(|rule| ids.contains(&rule.id.as_str())).collect();
        assert_eq!(rules.len(), ids.len(), "{ids:?}");
        let together = Together::of(&rules, &loaded.policy);
        (together.human(&loaded.policy), serde_json::to_string(&together).expect("JSON"))
    }

    #[test]
    fn of_one_group_the_highest_counts() {
        let (human, json) = told(&["brute-force-account", "brute-force-many-sources", "impossible-travel"]);
        insta::assert_snapshot!(format!("{human}\n{json}"));
    }
}
