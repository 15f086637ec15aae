//! The alerts that are deployed: read by Prometheus' own tool, and each seen to come and not to come. That they ask for what is
//! served, and for no label that is not there, is examined beside what serves it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tracer_tests::environment::{deploy_tool, workspace};

const RULES: &str = "deploy/prometheus/alerts.yaml";
const CASES: &str = "tests/deploy/alerts.yaml";

fn file(name: &str) -> PathBuf {
    workspace().join(name)
}

/// Wants promtool to have nothing against a file.
fn passes(words: [&str; 2], name: &str) -> Result<()> {
    let output = Command::new(deploy_tool("promtool")?)
        .args(words)
        .arg(file(name))
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
fn prometheus_reads_the_rules() -> Result<()> {
    passes(["check", "rules"], RULES)
}

#[test]
fn each_alert_comes_when_it_should_and_says_what_is_the_matter() -> Result<()> {
    passes(["test", "rules"], CASES)
}

#[test]
fn each_alert_has_a_case_where_it_comes_and_one_where_it_does_not() -> Result<()> {
    let rules = std::fs::read_to_string(file(RULES))?;
    let cases = std::fs::read_to_string(file(CASES))?;
    let cases: Vec<&str> = cases.split("- alertname: ").skip(1).collect();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    ensure!(!alerts.is_empty(), "no alert in {RULES}");
    for alert in alerts {
        let of_it = || cases.iter().filter(|case| case.lines().next() == Some(alert));
        ensure!(
            of_it().any(|case| case.contains("exp_labels")),
            "{alert} never comes"
        );
        ensure!(
            of_it().any(|case| case.contains("exp_alerts: []")),
            "{alert} always comes"
        );
    }
    Ok(())
}
