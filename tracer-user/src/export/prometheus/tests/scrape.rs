//! What a Prometheus server has of geophone after a scrape, read back from the text that is really served.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::exposition::text;
use super::super::negotiation::Format;
use crate::bedrock::Call;
use crate::bedrock::tests::{EVENTSTREAM, Play, chunk};
use crate::counters::Counters;
use crate::enrich::Resources;
use crate::event::pod::{Container, Pod, Workload, WorkloadKind};
use crate::event::{Host, Monotonic, Process};
use crate::export::Health;
use crate::export::metrics::{Collected, health};
use crate::export::tests::process;
use crate::genai::Convention;
use crate::genai::cost::Prices;
use crate::genai::metrics::Metrics;
use crate::http::BodyPart;
use crate::probe::coverage::Verdict;

/// Labels that Prometheus itself gives to each series of a target.
const OF_THE_TARGET: [(&str, &str); 2] = [("instance", "node-1:9464"), ("job", "geophone")];

/// A series.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// Everything that can be asked for.
pub(super) fn scrape() -> Vec<Series> {
    let text = text(&collected(), Format::Text);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let up = Series {
        name: "up".to_owned(),
        labels: BTreeMap::new(),
    };
    let mut all: Vec<Series> = lines.map(series).chain([up]).collect();
    for Series { labels, .. } in &mut all {
        labels.extend(OF_THE_TARGET.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    all
}

/// Calls of a pod that have a point in every metric, and all that geophone tells of itself.
fn collected() -> Collected {
    let host = Host {
        boot_id: String::new(),
        name: "node-1".to_owned(),
        wall_offset_ns: 0,
    };
    let process = Arc::new(Process {
        pod: Some(Arc::new(pod())),
        ..process(7, "weather").as_ref().clone()
    });
    let mut metrics = Metrics::new(Convention::default(), Some(Prices::compiled_in()));
    for call in [priced(), unpriced(), streamed(), throttled()] {
        metrics.record(&call, &process, &host);
    }
    let some = |words: &[&'static str]| words.iter().map(|word| (*word, 1)).collect();
    let health = Health {
        counters: Counters::default(),
        processes: some(&Verdict::ALL.map(Verdict::word)),
        libraries: some(&["OpenSSL"]),
        probes: 12,
        tables: some(&["connections"]),
    };
    let own = health::metrics(&health, &[("otlp", 1)], 0, Some(&host));
    let snapshot = metrics.collect(Monotonic(9_000_000), &host);
    Collected::new(snapshot, Some(own), &mut Resources::default())
}

fn pod() -> Pod {
    let workload = |kind, name: &str| Workload {
        kind,
        name: name.to_owned(),
    };
    Pod {
        namespace: "agents".to_owned(),
        name: "weather-7d9f-x2x".to_owned(),
        workloads: vec![
            workload(WorkloadKind::ReplicaSet, "weather-7d9f"),
            workload(WorkloadKind::Deployment, "weather"),
        ],
        container: Some(Container {
            name: "app".to_owned(),
            image: "weather:1".to_owned(),
        }),
        ..Pod::default()
    }
}

const ANSWER: &str =
    r#"{"output": {}, "stopReason": "end_turn", "usage": {"inputTokens": 100, "outputTokens": 20}}"#;

fn priced() -> Call {
    answered("amazon.nova-lite-v1%3A0")
}

fn unpriced() -> Call {
    answered("nobody.knows-this-v1%3A0")
}

fn answered(model: &str) -> Call {
    Play::new("POST", &format!("/model/{model}/converse"))
        .request("{}")
        .response(200, &[])
        .answer(ANSWER)
        .call()
}

fn streamed() -> Call {
    let mut play = Play::invoke_stream("amazon.nova-lite-v1%3A0");
    play.request(r#"{"messages": []}"#).response(200, &[EVENTSTREAM]);
    for text in ["a", "b", "c"] {
        let delta =
            format!(r#"{{"contentBlockDelta": {{"contentBlockIndex": 0, "delta": {{"text": "{text}"}}}}}}"#);
        play.part(&BodyPart::Bytes(&chunk(&delta)));
    }
    play.call()
}

fn throttled() -> Call {
    Play::converse()
        .request("{}")
        .response(429, &[("x-amzn-ErrorType", "ThrottlingException")])
        .answer("{}")
        .call()
}

/// `name{label="value",…} number`.
fn series(line: &str) -> Series {
    let (name, rest) = line.split_once('{').expect("each line has labels");
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    while !rest.starts_with('}') {
        let (label, after) = rest.split_once("=\"").expect("a label and its value");
        let end = end_of_value(after);
        labels.insert(label.trim_start_matches(',').to_owned(), after[..end].to_owned());
        rest = &after[end + 1..];
    }
    Series {
        name: name.to_owned(),
        labels,
    }
}

/// Where a value ends: at the first quote that no backslash stands before.
fn end_of_value(text: &str) -> usize {
    let mut escaped = false;
    let end = text.find(|letter| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    end.expect("a value ends with a quote")
}
