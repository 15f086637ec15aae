//! Calls and the metrics they add up to.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Data, MAX_SETS, Metric, Metrics, Number, Snapshot};
use crate::bedrock::Call;
use crate::bedrock::tests::{CONNECTION, Play, chunk};
use crate::event::{Host, Monotonic, Process, ProcessKey};
use crate::genai::Convention;
use crate::genai::cost::Prices;
use crate::genai::span::{Attribute, Value};
use crate::http::{BodyPart, Completion};

const STREAM: (&str, &str) = ("Content-Type", "application/vnd.amazon.eventstream");

fn host() -> Host {
    Host {
        boot_id: String::new(),
        name: "node-1".into(),
        wall_offset_ns: 1_700_000_000_000_000_000,
    }
}

fn process(pid: u32) -> Arc<Process> {
    Arc::new(Process {
        key: ProcessKey { pid, start_ns: 1 },
        parent_pid: 1,
        executable: "/usr/bin/python3".into(),
        command_line: vec!["python3".into()],
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    })
}

fn converse(input: u64, output: u64) -> Call {
    Play::converse()
        .request("{}")
        .response(200, &[])
        .answer(&format!(
            r#"{{"output": {{}}, "stopReason": "end_turn", "usage": {{"inputTokens": {input}, "outputTokens": {output},
                "cacheReadInputTokens": 6}}}}"#
        ))
        .call()
}

fn throttled() -> Call {
    Play::converse()
        .request("{}")
        .response(429, &[("x-amzn-ErrorType", "ThrottlingException")])
        .answer("{}")
        .call()
}

fn streamed() -> Call {
    let mut play = Play::invoke_stream("amazon.nova-lite-v1%3A0");
    play.request(r#"{"messages": []}"#).response(200, &[STREAM]);
    for text in ["a", "b", "c"] {
        let delta =
            format!(r#"{{"contentBlockDelta": {{"contentBlockIndex": 0, "delta": {{"text": "{text}"}}}}}}"#);
        play.part(&BodyPart::Bytes(&chunk(&delta)));
    }
    for event in [
        r#"{"messageStop": {"stopReason": "end_turn"}}"#,
        r#"{"metadata": {"usage": {"inputTokens": 7, "outputTokens": 3}}}"#,
    ] {
        play.part(&BodyPart::Bytes(&chunk(event)));
    }
    play.end(Completion::Complete).call()
}

fn metered(convention: Convention, calls: &[Call]) -> Snapshot {
    let mut metrics = Metrics::new(convention, Some(Prices::compiled_in()));
    for call in calls {
        metrics.record(call, &process(42), &host());
    }
    metrics.collect(Monotonic(9_000_000), &host())
}

fn listed(metric: &Metric) -> Vec<String> {
    fn words(attributes: &[Attribute], all: bool) -> String {
        let own = ["type", "component", "unpriced", "modality", "overflow", "error"];
        let mut words: Vec<String> = attributes
            .iter()
            .filter(|attribute| all || own.iter().any(|word| attribute.key.contains(word)))
            .map(|Attribute { key, value }| match value {
                Value::String(text) => format!("{key}={text}"),
                value => format!("{key}={value:?}"),
            })
            .collect();
        words.sort();
        words.join(" ")
    }
    let Metric { name, unit, data, .. } = metric;
    match data {
        Data::Histogram { per_unit, points } => points
            .iter()
            .map(|point| {
                #[allow(clippy::cast_precision_loss, reason = "small numbers")]
                let sum = point.value.sum() as f64 / per_unit;
                format!(
                    "{name} [{unit}] {}: {} sum {sum}",
                    words(&point.attributes, false),
                    point.value.count()
                )
            })
            .collect(),
        Data::Counter(points) | Data::Gauge(points) => points
            .iter()
            .map(|point| {
                let value = match point.value {
                    Number::Int(number) => number.to_string(),
                    Number::Double(number) => number.to_string(),
                };
                format!("{name} [{unit}] {}: {value}", words(&point.attributes, false))
            })
            .collect(),
    }
}

fn lines(snapshot: &Snapshot) -> String {
    let metrics = snapshot.processes.iter().flat_map(|process| &process.metrics);
    metrics.flat_map(listed).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_metrics_of_v1_41() {
    let snapshot = metered(
        Convention::V1_41,
        &[converse(100, 20), converse(4, 1), throttled()],
    );
    assert_eq!(snapshot.time_unix_ns, 1_700_000_000_009_000_000);
    insta::assert_snapshot!(lines(&snapshot), @r"
    gen_ai.client.token.usage [{token}] gen_ai.token.type=input: 2 sum 116
    gen_ai.client.token.usage [{token}] gen_ai.token.type=output: 2 sum 21
    gen_ai.client.operation.duration [s] : 2 sum 0.01
    gen_ai.client.operation.duration [s] error.type=ThrottlingException: 1 sum 0.005
    llm.cost.usd [{USD}] geophone.cost.component=cache_read: 0.00000018
    llm.cost.usd [{USD}] geophone.cost.component=input: 0.00000624
    llm.cost.usd [{USD}] geophone.cost.component=output: 0.00000504
    ");
}

#[test]
fn the_metrics_of_the_latest_convention() {
    let snapshot = metered(Convention::Latest, &[converse(100, 20), throttled()]);
    insta::assert_snapshot!(lines(&snapshot), @r"
    gen_ai.client.inference.duration [s] : 1 sum 0.005
    gen_ai.client.inference.duration [s] error.type=ThrottlingException: 1 sum 0.005
    gen_ai.client.inference.usage.input_tokens [{token}] gen_ai.token.modality=unknown: 106
    gen_ai.client.inference.usage.output_tokens [{token}] gen_ai.token.modality=unknown: 20
    gen_ai.client.inference.usage.cache_read.input_tokens [{token}] gen_ai.token.modality=unknown: 6
    gen_ai.client.inference.operation.input_tokens [{token}] : 1 sum 106
    gen_ai.client.inference.operation.output_tokens [{token}] : 1 sum 20
    llm.cost.usd [{USD}] geophone.cost.component=cache_read: 0.00000009
    llm.cost.usd [{USD}] geophone.cost.component=input: 0.000006
    llm.cost.usd [{USD}] geophone.cost.component=output: 0.0000048
    ");
}

#[test]
fn both_conventions_are_all_names_of_each() {
    let calls = [converse(1, 1), streamed()];
    let names = |convention| {
        let snapshot = metered(convention, &calls);
        let names = snapshot.processes[0]
            .metrics
            .iter()
            .map(|metric| metric.name.to_string());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let each = &names(Convention::V1_41) | &names(Convention::Latest);
    assert_eq!(names(Convention::Both), each);
    assert_eq!(each.len(), 13, "{each:?}");
}

#[test]
fn a_streamed_answer_has_a_pace() {
    let snapshot = metered(Convention::V1_41, &[streamed()]);
    let text = lines(&snapshot);
    assert!(text.contains("time_to_first_chunk [s] : 1 sum 0.00"), "{text}");
    // Three pieces, one millisecond after the other.
    assert!(text.contains("time_per_output_chunk [s] : 2 sum 0.002"), "{text}");
}

#[test]
fn what_is_common_to_all_points() {
    let snapshot = metered(Convention::V1_41, &[throttled()]);
    let Data::Histogram { points, .. } = &snapshot.processes[0].metrics[0].data else {
        panic!("a histogram: {snapshot:?}");
    };
    let keys: Vec<_> = points[0]
        .attributes
        .iter()
        .map(|attribute| attribute.key)
        .collect();
    assert_eq!(
        keys,
        [
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.request.model",
            "server.address",
            "server.port",
            "error.type"
        ]
    );
    assert_eq!(points[0].start_unix_ns, 1_700_000_000_001_000_000);
}

#[test]
fn sets_beyond_the_cap_are_counted_together() {
    let mut metrics = Metrics::new(Convention::V1_41, None);
    let mut call = converse(1, 1);
    let beyond = 3;
    let mut overflowed = 0;
    for number in 0..MAX_SETS + beyond {
        call.route.resource.model = Some(format!("m{number}"));
        overflowed += usize::from(metrics.record(&call, &process(42), &host()).overflowed);
    }
    assert_eq!(overflowed, beyond);
    // A set that is known has its room.
    call.route.resource.model = Some("m0".into());
    assert!(!metrics.record(&call, &process(42), &host()).overflowed);
    let snapshot = metrics.collect(Monotonic(0), &host());
    let text = lines(&snapshot);
    let overflow: Vec<_> = text.lines().filter(|line| line.contains("overflow")).collect();
    assert_eq!(
        overflow,
        [
            "gen_ai.client.token.usage [{token}] otel.metric.overflow=Bool(true): 6 sum 24",
            "gen_ai.client.operation.duration [s] otel.metric.overflow=Bool(true): 3 sum 0.015",
        ]
    );
}

#[test]
fn an_ended_process_is_told_once_more_and_then_forgotten() {
    let mut metrics = Metrics::new(Convention::V1_41, None);
    metrics.record(&converse(1, 1), &process(42), &host());
    metrics.process_exit(CONNECTION.process, Monotonic(10));
    let minutes = |minutes: u64| Monotonic(minutes * 60_000_000_000);
    assert_eq!(
        metrics.collect(minutes(7), &host()).processes.len(),
        1,
        "nobody was told"
    );
    assert_eq!(metrics.collect(minutes(8), &host()).processes.len(), 0);
}

#[test]
fn a_call_after_the_end_is_told() {
    let mut metrics = Metrics::new(Convention::V1_41, None);
    metrics.record(&converse(1, 1), &process(42), &host());
    metrics.process_exit(CONNECTION.process, Monotonic(10));
    metrics.collect(Monotonic(20), &host());
    metrics.record(&converse(1, 1), &process(42), &host());
    let late = Monotonic(3_600_000_000_000);
    assert!(lines(&metrics.collect(late, &host())).contains("input: 2 sum 14"));
}

proptest! {
    /// However calls are ordered, the sums are the same.
    #[test]
    fn the_order_of_calls_makes_no_difference(counts in prop::collection::vec((0..9_000_u64, 0..900_u64), 1..8)) {
        let mut calls: Vec<Call> = counts.iter().map(|(input, output)| converse(*input, *output)).collect();
        calls.push(throttled());
        let forward = metered(Convention::Both, &calls);
        calls.reverse();
        prop_assert_eq!(forward, metered(Convention::Both, &calls));
    }
}
