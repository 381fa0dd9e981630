//! Reports for the browser: one HTML file each, with plots.
//!
//! Guarantees: nothing is loaded from anywhere and no script runs, which the page itself forbids; every text is
//! escaped; equal input gives equal bytes. No personal field is in what they are made from.

mod labels;
mod plot;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value, context};

use self::plot::{Axes, Series};
use super::backtest::Backtest;
use super::figures::{counted, figures, number, percent, plain};
use super::sweep::Sweep;
use super::tally::Outcome;

/// Scores that stand in one bar.
const SCORES_A_BAR: usize = 5;

/// The report of a backtest.
pub fn backtest(found: &Backtest) -> Result<String, Error> {
    let mut plots = vec![
        Plot::new("Alerts a day", "How many people have to look at.", by_day(found)),
        Plot::new("Score of alerts", "Alerts by their score, in steps of five.", by_score(found)),
    ];
    if let Some(svg) = recall(found) {
        let says = "If only alerts from a score upwards were made: each point is one score.";
        plots.insert(0, Plot::new("Recall against alerts a day", says, svg));
    }
    render(
        "backtest.html",
        context! {
            found,
            figures => figures(&found.old, &found.new),
            plots,
            is_labelled => found.new.outcome.labelled.is_some(),
            absent => found.new.outcome.labelled.as_ref().map_or(0, |labelled| labelled.absent),
            rules => rules(found),
        },
    )
}

/// The report of a sweep.
pub fn sweep(found: &Sweep) -> Result<String, Error> {
    let is_labelled = found.points.iter().any(|point| point.outcome.labelled.as_ref().is_some_and(|l| l.cases > 0));
    let mut plots = vec![Plot::new(
        "Alerts a day by value",
        "Each value of the params in the order of the table.",
        by_value(found),
    )];
    if is_labelled {
        let says = "Each point is one value; point at it to read which. The large one is in force.";
        plots.insert(0, Plot::new("Recall against alerts a day", says, tradeoff(found)));
    }
    render("sweep.html", context! { found, plots, is_labelled })
}

/// A plot with its words.
#[derive(Debug, serde::Serialize)]
struct Plot {
    title: &'static str,
    says: &'static str,
    svg: Value,
}

impl Plot {
    fn new(title: &'static str, says: &'static str, svg: String) -> Self {
        Plot { title, says, svg: Value::from_safe_string(svg) }
    }
}

fn render(name: &str, values: Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.add_filter("number", number);
    environment.add_filter("counted", |n: u64, what: String| counted(n, &what));
    environment.add_filter("percent", |part: Option<f64>| percent(part));
    environment.add_filter("moment", |time: String| time.replace('T', " ").replace(".000Z", "").replace('Z', ""));
    environment.add_filter("plain", |value: Value| plain(&serde_json::to_value(value).unwrap_or_default()));
    environment.add_template("page.html", include_str!("page.html"))?;
    environment.add_template("backtest.html", include_str!("backtest.html"))?;
    environment.add_template("sweep.html", include_str!("sweep.html"))?;
    let style = Value::from_safe_string(include_str!("style.css").to_owned());
    let version = env!("CARGO_PKG_VERSION");
    environment.get_template(name)?.render(context! { style, version, ..values })
}

/// A rule of either rule set.
#[derive(Debug, serde::Serialize)]
struct RuleLine<'r> {
    rule: &'r str,
    is_shadow: bool,
    old: Option<&'r super::tally::RuleOutcome>,
    new: Option<&'r super::tally::RuleOutcome>,
}

fn rules(found: &Backtest) -> Vec<RuleLine<'_>> {
    let (old, new) = (&found.old.outcome.rules, &found.new.outcome.rules);
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let line = |name: &'_ String| {
        let (rule, old) =
            old.get_key_value(name).or_else(|| new.get_key_value(name)).map(|(r, _)| (r.as_str(), old.get(name)))?;
        let new = new.get(name);
        Some(RuleLine { rule, is_shadow: new.or(old).is_some_and(|rule| rule.is_shadow), old, new })
    };
    names.into_iter().filter_map(line).collect()
}

fn by_day(found: &Backtest) -> String {
    let days = &found.days;
    let series = |class, of: &dyn Fn(&super::backtest::Day) -> u64| {
        let point = |(at, day): (usize, &super::backtest::Day)| {
            (
                at as f64,
                of(day) as f64,
                format!(
                    "{}, {class} rules: {} of {}",
                    day.day,
                    counted(of(day), "alert"),
                    counted(day.events, "event")
                ),
            )
        };
        Series { class, points: days.iter().enumerate().map(point).collect() }
    };
    let most = days.iter().map(|day| day.old.max(day.new)).max().unwrap_or(0);
    let axes = Axes {
        x: "day (UTC)",
        y: "alerts",
        x_max: days.len().saturating_sub(1).max(1) as f64,
        y_max: most as f64,
        is_percent: false,
        words: days
            .iter()
            .enumerate()
            .map(|(at, day)| (at as f64, day.day.get(5..).unwrap_or_default().to_owned()))
            .collect(),
    };
    plot::lines(&axes, &[series("old", &|day| day.old), series("new", &|day| day.new)])
}

fn by_score(found: &Backtest) -> String {
    let series = |class, outcome: &Outcome| {
        let point = |(at, scores): (usize, &[u64])| {
            let (from, to) = (at * SCORES_A_BAR, at * SCORES_A_BAR + scores.len() - 1);
            let n: u64 = scores.iter().sum();
            (at as f64, n as f64, format!("score {from} to {to}, {class} rules: {}", counted(n, "alert")))
        };
        Series { class, points: outcome.by_score.chunks(SCORES_A_BAR).enumerate().map(point).collect() }
    };
    let all = [series("old", &found.old.outcome), series("new", &found.new.outcome)];
    let most = all.iter().flat_map(|series| series.points.iter().map(|(_, n, _)| *n)).fold(0.0, f64::max);
    let places = found.new.outcome.by_score.len().div_ceil(SCORES_A_BAR);
    let words = (0..=100 / SCORES_A_BAR).step_by(100 / SCORES_A_BAR / 4);
    let axes = Axes {
        x: "score",
        y: "alerts",
        x_max: places as f64,
        y_max: most,
        is_percent: false,
        words: words.map(|at| (at as f64, (at * SCORES_A_BAR).to_string())).collect(),
    };
    plot::bars(&axes, &all)
}

/// `None` without labels of fraud.
fn recall(found: &Backtest) -> Option<String> {
    let series = |class, outcome: &Outcome| {
        let points = outcome.curve(found.events.days).into_iter().map(|point| {
            let says = format!(
                "{class} rules, score {} and above: {:.1} alerts a day, recall {}",
                point.score,
                point.alerts_a_day,
                percent(Some(point.recall))
            );
            (point.alerts_a_day, point.recall, says)
        });
        Series { class, points: points.collect() }
    };
    let all = [series("old", &found.old.outcome), series("new", &found.new.outcome)];
    let most = all.iter().flat_map(|series| series.points.iter().map(|(x, ..)| *x)).fold(0.0, f64::max);
    let axes =
        Axes { x: "alerts a day", y: "recall", x_max: most * 1.05, y_max: 1.0, is_percent: true, words: Vec::new() };
    (most > 0.0).then(|| plot::lines(&axes, &all))
}

fn values(point: &super::sweep::Point) -> String {
    point.values.join(", ")
}

fn by_value(found: &Sweep) -> String {
    let point = |(at, point): (usize, &super::sweep::Point)| {
        let a_day = point.outcome.alerts_a_day.unwrap_or(0.0);
        (at as f64, a_day, format!("{}: {a_day:.1} alerts a day", values(point)))
    };
    let is_now = |at: &usize| found.points.get(*at).is_some_and(|point| point.is_current);
    let points: Vec<(f64, f64, String)> = found.points.iter().enumerate().map(point).collect();
    // The value in force in the other colour; each is a series of its own.
    let some = |class, now: bool| Series {
        class,
        points: points.iter().enumerate().filter(|(at, _)| is_now(at) == now).map(|(_, p)| p.clone()).collect(),
    };
    let most = points.iter().map(|(_, y, _)| *y).fold(0.0, f64::max);
    let axes = Axes {
        x: "value",
        y: "alerts a day",
        x_max: found.points.len().max(1) as f64,
        y_max: most,
        is_percent: false,
        words: found.points.iter().enumerate().map(|(at, p)| (at as f64 + 0.5, values(p))).collect(),
    };
    plot::bars_of_one(&axes, &[some("new", false), some("old now", true)])
}

fn tradeoff(found: &Sweep) -> String {
    let point = |point: &super::sweep::Point| {
        let a_day = point.outcome.alerts_a_day?;
        let recall = point.outcome.labelled.as_ref()?.recall?;
        let now = if point.is_current { ", now" } else { "" };
        Some((
            a_day,
            recall,
            format!("{}{now}: {a_day:.1} alerts a day, recall {}", values(point), percent(Some(recall))),
        ))
    };
    let some = |class, now: bool| Series {
        class,
        points: found.points.iter().filter(|point| point.is_current == now).filter_map(point).collect(),
    };
    let all = [some("old now", true), some("new", false)];
    let most = all.iter().flat_map(|series| series.points.iter().map(|(x, ..)| *x)).fold(0.0, f64::max);
    let axes =
        Axes { x: "alerts a day", y: "recall", x_max: most * 1.05, y_max: 1.0, is_percent: true, words: Vec::new() };
    plot::dots(&axes, &all)
}
