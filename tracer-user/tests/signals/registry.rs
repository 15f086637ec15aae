//! The registry of OpenTelemetry decides which names exist: those of the crate `opentelemetry-semantic-conventions`, read from
//! its source, so that a name that is new there needs no hand. Whatever else we spell stands below, with its reason.

use std::collections::BTreeMap;
use std::process::Command;

use regex::Regex;
use tracer_user::genai::semconv;

/// Names that the registry does not have, or has replaced; those that end in a dot stand for all that begin with them.
const OURS: [(&str, &str); 13] = [
    ("geophone.", "what no convention has a word for"),
    (
        "gen_ai.usage.cache_write.input_tokens",
        "in the next release, by pull request 440 of semantic-conventions-genai",
    ),
    (
        "gen_ai.prompt.version",
        "in the next release of semantic-conventions-genai",
    ),
    (
        "gen_ai.request.reasoning.level",
        "in the next release of semantic-conventions-genai",
    ),
    (
        "gen_ai.usage.total_tokens",
        "what OpenLLMetry, Strands and dashboards made for them have",
    ),
    ("llm.cost.usd", "no convention has money yet"),
    (
        "rpc.system",
        "replaced by rpc.system.name, while AWS's instrumentations still tell it so",
    ),
    (
        "rpc.service",
        "taken into rpc.method, while AWS's instrumentations still tell it so",
    ),
    (
        "gen_ai.client.inference.",
        "metrics of the next release (pull requests 374 and 521), and an event, of which the crate lists none",
    ),
    (
        "gen_ai.client.embeddings.",
        "metrics of the next release of semantic-conventions-genai",
    ),
    (
        "gen_ai.retrieval.top_k",
        "an attribute of the next release, by pull request 217",
    ),
    (
        "gen_ai.token.modality",
        "an attribute of the next release's metrics, by pull request 374",
    ),
    (
        "otel.metric.overflow",
        "the specification of the metrics SDK gives it, not the conventions",
    ),
];

/// Events whose names the conventions for exceptions give.
const EVENTS: [&str; 1] = ["exception"];

/// Every name in the crate's source, and whether another has replaced it.
fn registry() -> BTreeMap<String, bool> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tells where the crate is");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo tells it in JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "opentelemetry-semantic-conventions")
        .and_then(|package| package["manifest_path"].as_str())
        .expect("the crate is a dependency of the tests");
    let source = std::path::Path::new(manifest).with_file_name("src");
    let constant =
        Regex::new(r#"((?:#\[[^\n]*\n|    [^\n]*\n|\)\]\n)*)pub const [A-Z0-9_]+: &str =\s*"([^"]+)";"#)
            .expect("a valid expression");
    let mut names = BTreeMap::new();
    for file in ["attribute.rs", "metric.rs"] {
        let text = std::fs::read_to_string(source.join(file)).expect("the crate's source is there");
        for found in constant.captures_iter(&text) {
            // All of `gen_ai` is marked as moved to a registry of its own, which has no release yet.
            let replaced = found[1].contains("deprecated") && !found[1].contains("Moved to");
            names.insert(found[2].to_owned(), replaced);
        }
    }
    assert!(names.len() > 500, "only {} names were read", names.len());
    names
}

/// Every name that the code spells.
fn spelled() -> impl Iterator<Item = &'static str> {
    let spans = semconv::ATTRIBUTES.iter().chain(semconv::EVENTS);
    let metrics = semconv::METRICS.iter().chain(semconv::METRIC_ATTRIBUTES);
    spans.chain(metrics).copied()
}

fn reason(name: &str) -> Option<&'static str> {
    let fits = |listed: &str| listed == name || (listed.ends_with('.') && name.starts_with(listed));
    OURS.iter()
        .find(|(listed, _)| fits(listed))
        .map(|(_, reason)| *reason)
}

#[test]
fn every_name_exists_or_has_a_reason() {
    let registry = registry();
    let unknown: Vec<&str> = spelled()
        .filter(|name| {
            registry.get(*name) != Some(&false) && reason(name).is_none() && !EVENTS.contains(name)
        })
        .collect();
    assert!(
        unknown.is_empty(),
        "neither in the registry nor on the list of our own: {unknown:?}"
    );
}

#[test]
fn a_reason_is_given_for_nothing_that_needs_none() {
    let registry = registry();
    for (listed, _) in OURS {
        assert_ne!(registry.get(listed), Some(&false), "the registry has {listed}");
        assert!(
            spelled().any(|name| name.starts_with(listed)),
            "nothing spells {listed}"
        );
    }
}
