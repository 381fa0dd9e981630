//! What a PromQL expression reads: the metrics with the labels they are chosen by, and the labels it groups by.
//! Not a parser: whether it is PromQL says promtool.

use std::collections::BTreeSet;

use walletwatch::telemetry::catalogue::{self, Kind};

/// Labels that Prometheus itself puts on everything.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// What an expression reads.
#[derive(Debug, Default, PartialEq)]
pub struct Reads {
    /// Each metric with the labels of its selectors.
    pub metrics: Vec<(String, BTreeSet<String>)>,
    /// The labels of `by (…)` and its like.
    pub grouping: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
    /// A text, a number, a duration, a range.
    Other,
}

/// The words and signs of an expression.
fn tokens(expression: &str) -> Vec<Token> {
    let mut rest = expression;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let end_of = |is_in: fn(char) -> bool| rest.find(|c| !is_in(c)).unwrap_or(rest.len());
        let (token, end) = match first {
            '"' => (Token::Other, 2 + rest[1..].find('"').expect("the end of a text")),
            '[' => (Token::Other, 1 + rest.find(']').expect("the end of a range")),
            '0'..='9' => (Token::Other, end_of(|c| c.is_ascii_alphanumeric() || c == '.')),
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = end_of(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                (Token::Word(rest[..end].to_owned()), end)
            }
            other => (Token::Sign(other), other.len_utf8()),
        };
        if token != Token::Sign(' ') && token != Token::Sign('\n') {
            tokens.push(token);
        }
        rest = &rest[end..];
    }
    tokens
}

/// What an expression reads.
pub fn reads(expression: &str) -> Reads {
    let tokens = tokens(expression);
    let mut reads = Reads::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else { continue };
        let next = tokens.get(at);
        // An aggregation may say what it keeps before what it reads.
        let is_called =
            next == Some(&Token::Sign('(')) || next.and_then(word_of).is_some_and(|next| is_label_list(&next));
        if is_label_list(word) {
            let end = tokens[at..].iter().position(|token| *token == Token::Sign(')')).expect("the end of a list");
            reads.grouping.extend(tokens[at..at + end].iter().filter_map(word_of));
            at += end;
        } else if OPERATORS.contains(&word.as_str()) || is_called {
            continue;
        } else if next == Some(&Token::Sign('{')) {
            let end = tokens[at..].iter().position(|token| *token == Token::Sign('}')).expect("the end of a selector");
            let labels = tokens[at..at + end].iter().filter_map(word_of).collect();
            reads.metrics.push((word.clone(), labels));
            at += end;
        } else {
            reads.metrics.push((word.clone(), BTreeSet::new()));
        }
    }
    reads
}

fn is_label_list(word: &str) -> bool {
    LABEL_LISTS.contains(&word)
}

fn word_of(token: &Token) -> Option<String> {
    if let Token::Word(word) = token { Some(word.clone()) } else { None }
}

/// The labels of a metric that is there, those of the scrape among them; `None` for one that is not.
pub fn labels(metric: &str) -> Option<BTreeSet<&'static str>> {
    let mut labels = BTreeSet::from(OF_THE_SCRAPE);
    if metric == "up" {
        return Some(labels);
    }
    let is_it = |family: &&catalogue::Family| match (family.kind, metric.strip_prefix(family.name)) {
        (Kind::Histogram, Some(part)) => matches!(part, "_bucket" | "_sum" | "_count"),
        (_, Some(part)) => part.is_empty(),
        (_, None) => false,
    };
    let family = catalogue::ALL.iter().chain(catalogue::PROCESS).find(is_it)?;
    labels.extend(family.labels);
    if family.kind == Kind::Histogram && metric.ends_with("_bucket") {
        labels.insert("le");
    }
    Some(labels)
}

/// Fails where an expression reads what is not there, or where a text beside it shows a label that its metrics do
/// not have. `whose`: for the message.
pub fn exists(whose: &str, expression: &str, shown: &[String]) {
    let reads = reads(expression);
    assert!(!reads.metrics.is_empty(), "{whose} reads nothing: {expression}");
    let mut known = BTreeSet::new();
    for (metric, chosen_by) in &reads.metrics {
        let labels = labels(metric).unwrap_or_else(|| panic!("{whose}: there is no metric {metric}"));
        for label in chosen_by {
            assert!(labels.contains(label.as_str()), "{whose}: {metric} has no label {label}");
        }
        known.extend(labels);
    }
    for label in reads.grouping.iter().chain(shown) {
        assert!(known.contains(label.as_str()), "{whose}: no metric of it has a label {label}: {expression}");
    }
}

#[test]
fn metrics_and_labels_are_found_in_an_expression() {
    let set = |labels: &[&str]| -> BTreeSet<String> { labels.iter().map(|label| (*label).to_owned()).collect() };
    let found = reads(
        "histogram_quantile(0.99, sum by (le, job) (rate(a_bucket{x=~\"q{1}\",y!=\"\"}[5m] offset 1h))) > on (z) \
         group_left () 0.9 * b:c unless\nd",
    );
    let metrics = [("a_bucket", set(&["x", "y"])), ("b:c", set(&[])), ("d", set(&[]))];
    let metrics = metrics.map(|(name, labels)| (name.to_owned(), labels)).to_vec();
    assert_eq!(found, Reads { metrics, grouping: set(&["job", "le", "z"]) });
    assert_eq!(labels("walletwatch_alert_latency_seconds_bucket"), Some(BTreeSet::from(["instance", "job", "le"])));
    assert_eq!(labels("walletwatch_alert_latency_seconds"), None, "a histogram is its parts");
    assert_eq!(labels("walletwatch_ready_total"), None);
}
