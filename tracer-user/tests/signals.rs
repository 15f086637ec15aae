//! `docs/signals.md` tells of every name that is emitted, and of no other.

#[path = "signals/observed.rs"]
mod observed;
#[path = "signals/page.rs"]
mod page;
#[path = "signals/registry.rs"]
mod registry;

use std::collections::BTreeSet;

use tracer_user::export::health_metric_names;
use tracer_user::genai::cost::Unpriced;
use tracer_user::genai::semconv::{self, error, finish, incomplete, operation, output, phase, tool};

/// Words in back quotes.
fn quoted(page: &str) -> BTreeSet<&str> {
    page.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

fn page() -> String {
    page_of("signals.md")
}

fn page_of(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the page is part of the repository")
}

#[test]
fn every_name_and_value_is_told() {
    let page = page();
    let prices = page_of("prices.md");
    let told = &quoted(&page) | &quoted(&prices);
    let values = [
        operation::CHAT,
        operation::TEXT_COMPLETION,
        operation::GENERATE_CONTENT,
        operation::EMBEDDINGS,
        operation::INVOKE_AGENT,
        operation::RETRIEVAL,
        operation::RERANK,
        finish::STOP,
        finish::LENGTH,
        finish::TOOL_CALL,
        finish::CONTENT_FILTER,
        finish::ERROR,
        output::JSON,
        output::IMAGE,
        output::SPEECH,
        operation::EXECUTE_TOOL,
        tool::EXTENSION,
        semconv::PROVIDER,
        semconv::RPC_AWS,
    ];
    let reasons = Unpriced::ALL.map(Unpriced::name);
    let health = health_metric_names();
    let health: Vec<&str> = health.iter().map(String::as_str).collect();
    let missing: Vec<&str> = semconv::ATTRIBUTES
        .iter()
        .chain(semconv::EVENTS)
        .chain(semconv::METRICS)
        .chain(semconv::METRIC_ATTRIBUTES)
        .chain(&reasons)
        .chain(&health)
        .chain(&incomplete::ALL)
        .chain(&error::ALL)
        .chain(&phase::ALL)
        .chain(&values)
        .copied()
        .filter(|name| !told.contains(name))
        .collect();
    assert!(missing.is_empty(), "docs/signals.md does not tell of {missing:?}");
}

#[test]
fn no_name_is_told_that_is_not_emitted() {
    let page = page();
    let health = health_metric_names();
    let invented: Vec<&str> = quoted(&page)
        .into_iter()
        .filter(|word| {
            ["gen_ai.", "aws.bedrock.", "geophone."]
                .iter()
                .any(|start| word.starts_with(start) && *word != *start)
        })
        .filter(|name| {
            let lists = [
                semconv::ATTRIBUTES,
                semconv::EVENTS,
                semconv::METRICS,
                semconv::METRIC_ATTRIBUTES,
            ];
            !lists.iter().any(|list| list.contains(name)) && !health.contains(&(*name).to_owned())
        })
        .collect();
    assert!(
        invented.is_empty(),
        "docs/signals.md tells of {invented:?}, which nothing emits"
    );
}

#[test]
fn names_are_spelled_once() {
    let names: BTreeSet<&&str> = semconv::ATTRIBUTES.iter().collect();
    assert_eq!(names.len(), semconv::ATTRIBUTES.len());
}
