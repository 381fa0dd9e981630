//! The dashboard: whole, readable, and of nothing that is not there.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{expression, path, said, text, tool};

/// What Grafana puts in the place of its variables.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "1m"), ("$instance", ".*")];

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/walletwatch.json")).expect("JSON")
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row").collect()
}

/// Every expression, with the place it stands in, and the template beside it.
fn expressions(dashboard: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut all = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().expect("targets") {
            all.push((text(&panel["title"]), text(&target["expr"]), text(&target["legendFormat"])));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        let told = format!("{} {}", text(&annotation["titleFormat"]), text(&annotation["textFormat"]));
        all.push((text(&annotation["name"]), text(&annotation["expr"]), told));
    }
    all
}

/// The names in `{{…}}`.
fn shown(template: &str) -> Vec<String> {
    template.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned())).collect()
}

/// Every expression as Prometheus gets it from Grafana, with the place it stands in.
pub fn asked() -> Vec<(String, String)> {
    let with_values =
        |expr: &str| VARIABLES.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value));
    expressions(&dashboard()).into_iter().map(|(whose, expr, _)| (whose, with_values(&expr))).collect()
}

#[test]
fn every_metric_and_label_of_the_dashboard_exists() {
    let dashboard = dashboard();
    for (whose, expr, template) in expressions(&dashboard) {
        expression::exists(&whose, &expr, &shown(&template));
    }
    let variable = dashboard["templating"]["list"][1]["definition"].as_str().expect("a definition");
    assert_eq!(variable, "label_values(walletwatch_build_info, instance)");
    assert!(expression::labels("walletwatch_build_info").is_some());
}

#[test]
fn every_expression_of_the_dashboard_is_promql() {
    let rules: String = asked()
        .iter()
        .enumerate()
        .map(|(at, (_, expr))| {
            assert!(!expr.contains('$'), "a variable that is none: {expr}");
            format!("  - {{record: \"dashboard:{at}\", expr: {expr:?}}}\n")
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dashboard.yml");
    std::fs::write(&file, format!("groups:\n- name: dashboard\n  rules:\n{rules}")).expect("written");
    let output = tool("prometheus", Command::new("promtool").args(["check", "rules"]).arg(&file));
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_has_its_own_place() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(41), "the schema of Grafana 12");
    assert_eq!(dashboard["uid"], "walletwatch");
    let variables = &dashboard["templating"]["list"];
    assert_eq!((&variables[0]["name"], &variables[0]["type"]), (&"datasource".into(), &"datasource".into()));
    let rows: Vec<_> = dashboard["panels"].as_array().expect("panels").iter().filter(|p| p["type"] == "row").collect();
    let titles: Vec<_> = rows.iter().filter_map(|row| row["title"].as_str()).collect();
    assert_eq!(titles, ["Is it well?", "What does it find?", "Who was told?", "What does it cost?"]);
    let (mut ids, mut taken, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(names.insert(title), "{title}: twice");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is taken");
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 30 && description.ends_with('.'), "{title}: no description");
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(defaults["unit"].is_string(), "{title}: no unit");
        assert!(!defaults["thresholds"]["steps"].as_array().expect("steps").is_empty(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let legend = target["legendFormat"].as_str().expect("a legend");
            assert!(!legend.is_empty() && legend != "__auto", "{title}: no legend");
        }
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{title}: wider than the page");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
    }
    assert!(path("deploy/compose/grafana/dashboards/walletwatch.yaml").exists(), "who shows it");
}
