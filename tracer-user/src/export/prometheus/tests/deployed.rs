//! What is deployed beside geophone asks only for what geophone serves: the dashboard and the alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::query::{Names, check};
use super::scrape::{Series, scrape};

fn deployed(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What Grafana puts in the place of its variables before it asks.
const FILLED_IN: [(&str, &str); 4] = [
    ("$__rate_interval", "5m"),
    ("$__range", "1h"),
    ("$service", ".*"),
    ("$model", ".*"),
];

fn filled_in(query: &str) -> String {
    FILLED_IN
        .iter()
        .fold(query.to_owned(), |query, (variable, value)| {
            query.replace(variable, value)
        })
}

fn dashboard() -> Value {
    serde_json::from_str(&deployed("grafana/geophone.json")).expect("JSON")
}

/// Panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("panels");
    panels.iter().filter(|panel| panel["type"] != "row")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}"))
}

/// The names between `{{` and `}}`, without `prefix`.
fn placeholders<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    let inner = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    inner.filter_map(move |(name, _)| name.trim().strip_prefix(prefix))
}

fn wants_labels(template: &str, prefix: &str, has: &Names) {
    for name in placeholders(template, prefix) {
        assert!(has.contains(name), "{name} of {template:?} is not among {has:?}");
    }
}

#[test]
fn each_panel_asks_for_what_is_served() {
    let (dashboard, served) = (dashboard(), scrape());
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = text(panel, "title");
        assert!(
            ids.insert(panel["id"].as_u64().expect("a number")),
            "the id of {title} is taken"
        );
        assert_eq!(panel["datasource"]["uid"], "$datasource", "{title}");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title} asks for nothing");
        for target in targets {
            let query = text(target, "expr");
            let labels = check(&filled_in(query), &served);
            let labels = labels.unwrap_or_else(|error| panic!("{title}: {error}\n{query}"));
            wants_labels(text(target, "legendFormat"), "", &labels);
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    let dashboard = dashboard();
    let mut taken = BTreeMap::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = text(panel, "title");
        let [x, y, width, height] = ["x", "y", "w", "h"].map(|side| {
            panel["gridPos"][side]
                .as_u64()
                .unwrap_or_else(|| panic!("{title} has no place"))
        });
        assert!(x + width <= 24, "{title} is beyond the right side");
        for cell in (y..y + height).flat_map(|row| (x..x + width).map(move |column| (row, column))) {
            let other = taken.insert(cell, title);
            assert_eq!(other, None, "{title} stands at the place of another");
        }
    }
}

#[test]
fn the_dashboard_can_be_narrowed_by_what_is_served() {
    let (dashboard, served) = (dashboard(), scrape());
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let mut names: BTreeSet<_> = variables.iter().map(|variable| text(variable, "name")).collect();
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = text(variable, "definition");
        let arguments = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (metric, label) = arguments
            .and_then(|both| both.rsplit_once(", "))
            .expect("label_values");
        let labels = check(&filled_in(metric), &served).expect(query);
        assert!(labels.contains(label), "{query}");
        assert_eq!(variable["query"]["query"], query);
    }
    // Every variable is used, and none that is not there.
    let used = panels(&dashboard).map(ToString::to_string).collect::<String>();
    names.retain(|name| !used.contains(&format!("${name}")));
    assert_eq!(names, BTreeSet::new());
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

/// An alert as Prometheus reads it, every part of it wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    lasting: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[test]
fn each_alert_asks_for_what_is_served() {
    let served = scrape();
    let rules: Rules = serde_saphyr::from_str(&deployed("prometheus/alerts.yaml")).expect("rules");
    let mut names = BTreeSet::new();
    for Group { name: group, rules } in rules.groups {
        assert!(!rules.is_empty(), "{group}");
        for rule in rules {
            let Rule {
                alert,
                expr,
                lasting,
                labels: set,
                annotations,
            } = rule;
            let labels = check(&expr, &served);
            let labels = labels.unwrap_or_else(|error| panic!("{alert}: {error}\n{expr}"));
            promql_parser::util::parse_duration(&lasting).expect(&lasting);
            assert!(["info", "warning", "critical"].contains(&set["severity"].as_str()));
            for text in ["summary", "description"] {
                wants_labels(&annotations[text], "$labels.", &labels);
            }
            assert!(names.insert(alert.clone()), "{alert} is there twice");
        }
    }
}

fn refused(query: &str, served: &[Series], with: &str) {
    let error = check(query, served).expect_err(query);
    assert!(error.contains(with), "{query}: {error}");
}

/// The examination itself: a name that is not served, in each place where one can stand, is found.
#[test]
fn what_is_not_served_is_told() {
    let served = scrape();
    refused("rate(geophone_drops_total[5m])", &served, "geophone_drops_total");
    // A counter by its name without the suffix.
    refused("llm_cost_usd", &served, "llm_cost_usd is not served");
    refused("llm_cost_usd_total{service=\"a\"}", &served, "no label service");
    refused(
        "geophone_lost_records_total{geophone_reason=\"ring\"}",
        &served,
        "no series",
    );
    refused("sum by (model) (llm_cost_usd_total)", &served, "no label model");
    refused("geophone_probes and on (pod) up", &served, "no label pod");
    refused("geophone_probes / up", &served, "never meet");
    refused(
        "histogram_quantile(0.5, sum by (service_name) (rate(gen_ai_client_token_usage_bucket[5m])))",
        &served,
        "no label le",
    );
    refused("sum by (instance (up)", &served, "");
    assert!(check("sum by (geophone_verdict) (geophone_processes)", &served).is_ok());
}
