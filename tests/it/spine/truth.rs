//! What the generator planted, and whether it was found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// Rules that are shipped in shadow: they reach nobody.
const SHADOW: &[&str] = &["impossible-travel", "anonymiser"];

/// The truth's lines.
pub struct Truth {
    planted: Vec<Value>,
    /// Refused records by reason.
    pub malformed: BTreeMap<String, u64>,
    /// Events that come a second time.
    pub duplicates: u64,
    /// Events later than lateness allows.
    pub late: u64,
}

/// The texts of a JSON array.
fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

impl Truth {
    /// Reads a file of `--truth`.
    pub fn read(path: &Path) -> Truth {
        let text = std::fs::read_to_string(path).expect("the truth");
        let mut planted: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let totals = planted.pop().expect("a last line");
        assert_eq!(totals["kind"], "totals");
        let malformed = serde_json::from_value(totals["malformed"].clone()).expect("counts");
        let number = |name: &str| totals[name].as_u64().expect("a number");
        Truth { malformed, duplicates: number("duplicates"), late: number("late"), planted }
    }

    fn attacks(&self) -> impl Iterator<Item = (&Value, &str)> {
        self.planted.iter().flat_map(|one| texts(&one["expect"]).into_iter().map(move |rule| (one, rule)))
    }

    /// Each attack a live rule is to find has an alert with that rule, on one of its events.
    pub fn live_attacks_are_among(&self, alerts: &[Value]) {
        let mut looked_for = BTreeSet::new();
        for (attack, rule) in self.attacks().filter(|(_, rule)| !SHADOW.contains(rule)) {
            let events = texts(&attack["events"]);
            let found = alerts.iter().any(|alert| {
                events.contains(alert["event"]["id"].as_str().expect("an id"))
                    && alert["findings"].as_array().expect("findings").iter().any(|f| f["rule"] == rule)
            });
            assert!(found, "{rule} missed {attack}");
            looked_for.insert(rule);
        }
        assert_eq!(looked_for.len(), 7, "every live rule has an attack of its own: {looked_for:?}");
    }

    /// Each attack a shadow rule is to find has a finding of it.
    pub fn shadow_attacks_are_among(&self, findings: &[Value]) {
        let mut looked_for = BTreeSet::new();
        for (attack, rule) in self.attacks().filter(|(_, rule)| SHADOW.contains(rule)) {
            let events = texts(&attack["events"]);
            let found = findings.iter().any(|finding| {
                finding["rule"] == rule
                    && finding["state"] == "shadow"
                    && finding["outcome"] == "fired"
                    && finding["score"] == 0
                    && events.contains(finding["event"].as_str().expect("an id"))
            });
            assert!(found, "{rule} missed {attack}");
            looked_for.insert(rule);
        }
        assert_eq!(looked_for.len(), SHADOW.len(), "{looked_for:?}");
    }

    /// No event of a look-alike made an alert.
    pub fn look_alikes_are_not_among(&self, alerts: &[Value]) {
        let quiet: Vec<&Value> = self.planted.iter().filter(|one| texts(&one["expect"]).is_empty()).collect();
        assert!(quiet.len() >= 10, "look-alikes are planted");
        for alert in alerts {
            let event = alert["event"]["id"].as_str().expect("an id");
            let lookalike = quiet.iter().find(|one| texts(&one["events"]).contains(event));
            assert!(lookalike.is_none(), "{} is told as {}", lookalike.unwrap_or(&&Value::Null)["kind"], alert);
        }
    }
}
