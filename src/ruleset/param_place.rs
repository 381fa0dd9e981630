//! Where a rule set's params stand, so that one can be given another value as a person would: in the text.
//!
//! Guarantees: what is changed is the value of one param and nothing else; the result is loaded and checked like
//! any rule set. Does not check values: loading does.

use std::ops::Range;

use super::read::{self, RULE_FILES};
use super::sources::{FilePath, Layer, OVERLAY, Sources};
use crate::event::Value;
use crate::yaml::{self, Kind, Map, Node};

/// A param that files declare.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamPlace {
    /// The rule that has it; `None`: all rules share it.
    pub rule: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value<'static>,
    /// The least it may be.
    pub min: Option<Value<'static>>,
    /// The most it may be.
    pub max: Option<Value<'static>>,
    /// Other rules that take it from the same place, the `defaults` of their file.
    pub shared_with: Vec<String>,
    /// Whose file it is, and its path below the rules directory.
    layer: Layer,
    path: String,
    /// The bytes of its value there.
    span: Range<usize>,
}

impl ParamPlace {
    /// How it is called in commands: `RULE.NAME`, or `NAME` where all rules share it.
    pub fn called(&self) -> String {
        match &self.rule {
            Some(rule) => format!("{rule}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether both are one value of one file.
    pub fn is_same_place(&self, other: &ParamPlace) -> bool {
        self.layer == other.layer && self.path == other.path && self.span == other.span
    }

    /// Where its value begins, bytes of its file.
    pub fn start(&self) -> usize {
        self.span.start
    }
}

impl Sources {
    /// Every param that can be read, by file and place.
    pub fn params(&self) -> Vec<ParamPlace> {
        let mut places = Vec::new();
        for path in self.rule_files() {
            let mut unread = Vec::new();
            let Some(file) = self.text(path, &mut unread) else { continue };
            let Some(tree) = yaml::parse(&file, &RULE_FILES, &mut unread) else { continue };
            let Some(top) = tree.as_map() else { continue };
            params_of(top, path, None, &[], &mut places);
            rules_of(top, path, &mut places);
        }
        self.lay_over(&mut places);
        places
    }

    /// What an overlay sets is set there: the value in force, and where another one goes.
    fn lay_over(&self, places: &mut [ParamPlace]) {
        let mut unread = Vec::new();
        let path = FilePath { layer: Layer::Own, path: OVERLAY };
        let Some(file) = self.text(path, &mut unread) else { return };
        let Some(tree) = yaml::parse(&file, &RULE_FILES, &mut unread) else { return };
        let Some(rules) = tree.as_map().and_then(|top| top.get("rules")?.as_map()) else { return };
        let mut alone: Vec<(String, String)> = Vec::new();
        for place in places.iter_mut() {
            let params = place.rule.as_deref().and_then(|rule| rules.get(rule)?.as_map()?.get("params")?.as_map());
            let Some(node) = params.and_then(|params| params.get(&place.name)) else { continue };
            let Some((value, _)) = read::constant(node) else { continue };
            *place = ParamPlace {
                value,
                layer: path.layer,
                path: path.path.to_owned(),
                span: node.span.clone(),
                shared_with: Vec::new(),
                ..place.clone()
            };
            alone.extend(place.rule.clone().map(|rule| (rule, place.name.clone())));
        }
        for ParamPlace { name, shared_with, .. } in places {
            shared_with.retain(|rule| !alone.iter().any(|(of, set)| of == rule && set == name));
        }
    }

    /// The same rule set with another value of a param, written as a file would.
    #[must_use]
    pub fn with_param(&self, place: &ParamPlace, value: &str) -> Sources {
        let file = FilePath { layer: place.layer, path: &place.path };
        let mut changed = self.text(file, &mut Vec::new()).map(|file| file.text.clone()).unwrap_or_default();
        if changed.get(place.span.clone()).is_some() {
            changed.replace_range(place.span.clone(), value);
        }
        self.replaced(file, changed)
    }
}

fn rules_of(top: &Map, path: FilePath<'_>, places: &mut Vec<ParamPlace>) {
    let defaults = top.get("defaults").and_then(Node::as_map).filter(|defaults| defaults.get("params").is_some());
    let rules: Vec<(&Map, &str)> = top
        .get("rules")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|rule| Some((rule.as_map()?, rule.as_map()?.get("id")?.as_text()?)))
        .collect();
    let by_default: Vec<String> =
        rules.iter().filter(|(rule, _)| rule.get("params").is_none()).map(|(_, id)| (*id).to_owned()).collect();
    for (rule, id) in rules {
        match (rule.get("params"), defaults) {
            (Some(_), _) => params_of(rule, path, Some(id), &[], places),
            (None, Some(defaults)) => params_of(defaults, path, Some(id), &by_default, places),
            (None, None) => {}
        }
    }
}

fn params_of(of: &Map, path: FilePath<'_>, rule: Option<&str>, sharing: &[String], places: &mut Vec<ParamPlace>) {
    let Some(params) = of.get("params").and_then(Node::as_map) else { return };
    for entry in &params.entries {
        let Some(param) = entry.value.as_map() else { continue };
        let constant = |key: &str| Some(read::constant(param.get(key)?)?.0);
        let (Some(node), Some(value)) = (param.get("value"), constant("value")) else { continue };
        places.push(ParamPlace {
            rule: rule.map(str::to_owned),
            name: entry.key.clone(),
            value,
            min: constant("min"),
            max: constant("max"),
            shared_with: sharing.iter().filter(|id| Some(id.as_str()) != rule).cloned().collect(),
            layer: path.layer,
            path: path.path.to_owned(),
            span: node.span.clone(),
        });
    }
}

/// A constant as commands take it: a number, a time, an amount of money.
pub fn parse_constant(text: &str) -> Option<Value<'static>> {
    let scalar = yaml::Scalar { text: text.trim().to_owned(), style: yaml::Style::Plain };
    Some(read::constant(&Node { span: 0..0, kind: Kind::Scalar(scalar) })?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1
params:
  cap: {value: 3, max: 9}
defaults:
  params: {share: {value: 0.5, min: 0, max: 1}}
rules:
  - id: a
    params:
      limit:
        value: 5000 CNY # a day's pay
        min: 100 CNY
  - id: b
  - id: c
";

    #[test]
    fn an_overlay_has_the_last_word() {
        let mut sources = Sources::new("rules");
        sources.add("x.yaml", TEXT, None);
        let overlay = "version: 1\nrules:\n  b: {params: {share: 0.7}}\n";
        sources.add("overlay.yaml", overlay, None);
        let places = sources.params();
        assert_eq!((&places[2].value, &places[3].value), (&Value::Float(0.7), &Value::Float(0.5)));
        assert!(!places[2].is_same_place(&places[3]) && places[3].shared_with.is_empty());
        let changed = sources.with_param(&places[2], "0.9");
        let file = FilePath { layer: Layer::Own, path: OVERLAY };
        let text = changed.text(file, &mut Vec::new()).map(|file| file.text.clone());
        assert_eq!(text, Some(overlay.replace("0.7", "0.9")));
    }

    #[test]
    fn a_value_is_changed_and_nothing_else() {
        let mut sources = Sources::new("rules");
        sources.add("x.yaml", TEXT, None);
        let places = sources.params();
        let called: Vec<String> = places.iter().map(ParamPlace::called).collect();
        assert_eq!(called, ["cap", "a.limit", "b.share", "c.share"]);
        assert_eq!(places[2].shared_with, ["c"]);
        assert_eq!(places[1].min.as_ref().map(ToString::to_string).as_deref(), Some("100.00 CNY"));
        let changed = sources.with_param(&places[1], "700.50 CNY");
        let text = |sources: &Sources| {
            let file = FilePath { layer: Layer::Own, path: "x.yaml" };
            sources.text(file, &mut Vec::new()).map(|file| file.text.clone())
        };
        assert_eq!(text(&changed).expect("a text"), TEXT.replace("5000 CNY", "700.50 CNY"));
        assert_eq!(text(&sources).expect("a text"), TEXT);
    }
}
