//! Loops of agents, as their calls come.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::bedrock::call::{ToolCall, ToolResult};
use crate::bedrock::tests::Play;
use crate::bedrock::{Calls, Settings};
use crate::event::{Host, ProbeEvent};
use crate::genai::span::{Span, SpanKind, Value};
use crate::genai::{Options, Spans, semconv};

const SECOND: u64 = 1_000_000_000;

/// A call of one second over a connection of its own. An exclamation mark stands for a tool that failed.
fn call(pid: u32, start: u64, results: &[&str], asks: &[&str]) -> Call {
    let mut call = Play::converse()
        .request("{}")
        .response(200, &[])
        .answer(r#"{"output": {}, "stopReason": "end_turn"}"#)
        .call();
    call.connection.process.pid = pid;
    call.connection.address = start;
    call.timings.request = Monotonic(start * SECOND);
    call.timings.end = Monotonic((start + 1) * SECOND);
    call.tool_results = results
        .iter()
        .map(|id| ToolResult {
            id: id.trim_end_matches('!').to_owned(),
            failed: id.ends_with('!'),
        })
        .collect();
    call.tool_calls = asks
        .iter()
        .map(|id| ToolCall {
            id: Some((*id).to_owned()),
            name: Some("weather".into()),
        })
        .collect();
    call
}

/// What comes out, in a word each.
fn told(loops: &mut ToolLoops) -> Vec<String> {
    loops
        .outputs()
        .map(|output| match output {
            Output::Call(call) => match call.tool_loop {
                Some(origin) => format!(
                    "call {} of {}",
                    call.connection.address, origin.connection.address
                ),
                None => format!("call {}", call.connection.address),
            },
            Output::Tool(tool) => format!(
                "tool {} {}-{}",
                tool.id,
                tool.start.0 / SECOND,
                tool.end.0 / SECOND
            ),
            Output::Loop(whole) => format!(
                "loop of {}: {} calls, {} tools{}",
                whole.origin.connection.address,
                whole.calls,
                whole.tools,
                if whole.answered { "" } else { ", unfinished" }
            ),
            Output::Count(counter, _) => counter.name().to_owned(),
        })
        .collect()
}

fn play(loops: &mut ToolLoops, calls: Vec<Call>) -> Vec<String> {
    for call in calls {
        loops.call(Box::new(call));
    }
    told(loops)
}

#[test]
fn tools_asked_for_and_answered_make_a_loop() {
    let mut loops = ToolLoops::default();
    assert_eq!(
        play(&mut loops, vec![call(1, 0, &[], &["a", "b"])]),
        [""; 0],
        "it waits"
    );
    assert_eq!(
        play(&mut loops, vec![call(1, 3, &["a", "b"], &["c"])]),
        ["call 0 of 0", "tool a 1-3", "tool b 1-3", "call 3 of 0"]
    );
    assert_eq!(
        play(&mut loops, vec![call(1, 6, &["a", "b", "c"], &[])]),
        ["tool c 4-6", "call 6 of 0", "loop of 0: 3 calls, 3 tools"]
    );
    assert!(is_empty(&loops));
}

fn is_empty(loops: &ToolLoops) -> bool {
    let ToolLoops {
        open,
        next: _,
        asked,
        silent,
        held,
        outputs,
    } = loops;
    open.is_empty() && asked.is_empty() && silent.is_empty() && *held == 0 && outputs.is_empty()
}

#[test]
fn what_asks_for_no_tool_or_fails_is_told_at_once() {
    let mut loops = ToolLoops::default();
    let mut refused = call(1, 2, &[], &["a"]);
    refused.failure = Some(crate::bedrock::failure::Failure {
        code: "ThrottlingException".into(),
        message: None,
        in_stream: None,
    });
    let calls = vec![call(1, 0, &["gone"], &[]), refused];
    assert_eq!(play(&mut loops, calls), ["call 0", "call 2"]);
    assert!(is_empty(&loops));
}

#[test]
fn an_answer_in_the_form_of_a_tool_call_is_a_call_like_any_other_in_the_end() {
    let mut loops = ToolLoops::default();
    play(&mut loops, vec![call(1, 0, &[], &["json"])]);
    loops.tick(Monotonic(SECOND + PATIENCE_NS - 1));
    assert_eq!(told(&mut loops), [""; 0]);
    loops.tick(Monotonic(SECOND + PATIENCE_NS));
    assert_eq!(told(&mut loops), ["call 0"]);
    play(
        &mut loops,
        vec![call(1, 700, &[], &["json"]), call(2, 701, &[], &["json"])],
    );
    loops.process_exit(call(1, 0, &[], &[]).connection.process);
    assert_eq!(told(&mut loops), ["call 700"]);
    loops.finish();
    assert_eq!(told(&mut loops), ["call 701"]);
    assert!(is_empty(&loops));
}

#[test]
fn another_process_proves_nothing() {
    let mut loops = ToolLoops::default();
    let calls = vec![call(1, 0, &[], &["a"]), call(2, 2, &["a"], &[])];
    assert_eq!(play(&mut loops, calls), ["call 2"]);
}

#[test]
fn an_id_that_two_answers_ask_for_proves_nothing() {
    // Kimi and others count from 0 in every conversation.
    let mut loops = ToolLoops::default();
    let calls = vec![call(1, 0, &[], &["call_0"]), call(1, 1, &[], &["call_0"])];
    play(&mut loops, calls);
    assert_eq!(play(&mut loops, vec![call(1, 5, &["call_0"], &[])]), ["call 5"]);
    // One after the other is fine.
    let mut loops = ToolLoops::default();
    for start in [0, 10] {
        let first = call(1, start, &[], &["call_0"]);
        let last = call(1, start + 5, &["call_0"], &[]);
        assert_eq!(play(&mut loops, vec![first, last]).len(), 4, "loop of {start}");
    }
}

#[test]
fn a_result_sent_before_the_answer_was_there_proves_nothing() {
    let mut loops = ToolLoops::default();
    let calls = vec![call(1, 10, &[], &["a"]), call(1, 5, &["a"], &[])];
    assert_eq!(play(&mut loops, calls), ["call 5"]);
}

#[test]
fn a_call_that_fails_within_a_loop_may_be_made_again() {
    let mut loops = ToolLoops::default();
    let mut refused = call(1, 3, &["a"], &[]);
    refused.failure = Some(crate::bedrock::failure::Failure {
        code: "ValidationException".into(),
        message: Some("too long".into()),
        in_stream: None,
    });
    let calls = vec![call(1, 0, &[], &["a"]), refused.clone(), call(1, 6, &["a"], &[])];
    assert_eq!(
        play(&mut loops, calls),
        [
            "call 0 of 0",
            "tool a 1-3",
            "call 3 of 0",
            "call 6 of 0",
            "loop of 0: 3 calls, 1 tools"
        ]
    );
    play(
        &mut loops,
        vec![call(1, 20, &[], &["a"]), refused_at(refused, 23)],
    );
    loops.finish();
    let whole = loops.outputs().last();
    assert!(
        matches!(whole, Some(Output::Loop(whole)) if whole.failed == Some(("ValidationException".into(), "too long".into())))
    );
}

fn refused_at(mut call: Call, start: u64) -> Call {
    call.timings.request = Monotonic(start * SECOND);
    call.timings.end = Monotonic((start + 1) * SECOND);
    call
}

#[test]
fn loops_are_bounded_and_the_quietest_is_ended() {
    let mut loops = ToolLoops::default();
    let calls = (0..=MAX_LOOPS as u64)
        .map(|start| call(1, start, &[], &[start.to_string().as_str()]))
        .collect();
    assert_eq!(play(&mut loops, calls), ["tool_loops_evicted", "call 0"]);
}

#[test]
fn a_loop_that_never_ends_is_told_unfinished() {
    let mut loops = ToolLoops::default();
    play(
        &mut loops,
        vec![call(1, 0, &[], &["a"]), call(1, 2, &["a"], &["b"])],
    );
    loops.tick(Monotonic(3 * SECOND + PATIENCE_NS));
    assert_eq!(told(&mut loops), ["loop of 0: 2 calls, 1 tools, unfinished"]);
    assert!(is_empty(&loops));
}

/// The spans of calls with these `traceparent`s.
fn spans(parents: [Option<&str>; 3]) -> Vec<Span> {
    let mut spans = Spans::new(Options::default());
    spans.learn(&ProbeEvent::Host(Host {
        boot_id: "boot".into(),
        name: "node".into(),
        wall_offset_ns: 0,
    }));
    let mut loops = ToolLoops::default();
    let calls = [
        call(1, 0, &[], &["a"]),
        call(1, 3, &["a"], &["b"]),
        call(1, 6, &["a", "b!"], &[]),
    ];
    for (mut call, parent) in calls.into_iter().zip(parents) {
        call.trace.traceparent = parent.map(str::to_owned);
        loops.call(Box::new(call));
    }
    loops
        .outputs()
        .filter_map(|output| match output {
            Output::Call(call) => Some(spans.span(&call)),
            Output::Tool(tool) => Some(spans.of_tool(&tool)),
            Output::Loop(whole) => Some(spans.of_loop(&whole)),
            Output::Count(..) => None,
        })
        .collect()
}

fn has(span: &Span, name: &str, value: &Value) -> bool {
    span.attributes
        .iter()
        .any(|attribute| attribute.key == name && attribute.value == *value)
}

#[test]
fn a_loop_is_a_trace_of_its_own_and_says_that_it_is_inferred() {
    let spans = spans([None; 3]);
    let names: Vec<(&str, SpanKind)> = spans.iter().map(|span| (span.name.as_str(), span.kind)).collect();
    let chat = ("chat amazon.nova-lite-v1:0", SpanKind::Client);
    let tool = ("execute_tool weather", SpanKind::Internal);
    assert_eq!(
        names,
        [chat, tool, chat, tool, chat, ("invoke_agent", SpanKind::Internal)]
    );
    let (root, children) = spans.split_last().expect("spans");
    assert_eq!(root.parent, None);
    assert_eq!((root.start_unix_ns, root.end_unix_ns), (0, 7 * SECOND));
    let mut ids: Vec<_> = spans.iter().map(|span| span.span_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
    for span in children {
        assert_eq!(span.trace_id, root.trace_id);
        assert_eq!(
            span.parent.as_ref().map(|parent| parent.span_id),
            Some(root.span_id)
        );
        let is_inferred = span.kind == SpanKind::Internal;
        assert_eq!(has(span, semconv::INFERRED, &Value::Bool(true)), is_inferred);
    }
    assert!(has(root, semconv::INFERRED, &Value::Bool(true)));
    assert!(has(root, semconv::LOOP_CALLS, &Value::Int(3)));
    let failed = Value::String("tool_error".into());
    assert!(has(&spans[3], semconv::ERROR_TYPE, &failed));
    assert!(!has(&spans[1], semconv::ERROR_TYPE, &failed));
    assert!(has(&spans[1], semconv::TOOL_CALL_ID, &Value::String("a".into())));
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

#[test]
fn a_loop_within_the_callers_span_nests_there() {
    let spans = spans([Some(PARENT); 3]);
    let root = spans.last().expect("spans");
    let parent = root.parent.as_ref().expect("the caller's span");
    assert_eq!(parent.span_id.0[0], 0xb7);
    assert_eq!(root.trace_id.0[0], 0x0a);
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    assert_eq!(
        spans[0]
            .parent
            .as_ref()
            .map(|parent| (parent.span_id, parent.flags)),
        Some((root.span_id, 0))
    );
}

#[test]
fn where_the_callers_own_spans_tell_the_loop_nothing_is_inferred() {
    let names: Vec<String> = spans([Some(PARENT), Some(OTHER), None])
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert_eq!(names, ["chat amazon.nova-lite-v1:0"; 3]);
}

#[test]
fn requests_tell_their_results_only_where_they_are_asked_for() {
    let body =
        r#"{"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": []}}]}]}"#;
    let asked = |tool_results| {
        Play::converse()
            .with(Calls::new(Settings {
                tool_results,
                ..Settings::default()
            }))
            .request(body)
            .response(200, &[])
            .answer("{}")
            .call()
            .tool_results
    };
    assert_eq!(asked(true).len(), 1);
    assert_eq!(asked(false), []);
}

proptest! {
    /// Loops of several processes, in any interleaving that keeps the order within each.
    #[test]
    fn interleaving_changes_nothing_but_the_order(
        lengths in prop::collection::vec((1_u32..4, 1_u64..5), 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 64),
    ) {
        let mut steps: Vec<VecDeque<Call>> = lengths
            .iter()
            .zip(0_u64..)
            .map(|((pid, length), number)| {
                let id = |turn: u64| format!("{number}-{turn}");
                (0..*length)
                    .map(|turn| {
                        let results: Vec<String> = (0..turn).map(id).collect();
                        let results: Vec<&str> = results.iter().map(String::as_str).collect();
                        let asks = id(turn);
                        let asks = if turn + 1 == *length { vec![] } else { vec![asks.as_str()] };
                        call(*pid, number * 1000 + turn * 2, &results, &asks)
                    })
                    .collect()
            })
            .collect();
        let mut loops = ToolLoops::default();
        for pick in picks {
            let left: Vec<usize> = (0..steps.len()).filter(|index| !steps[*index].is_empty()).collect();
            if left.is_empty() {
                break;
            }
            if let Some(call) = steps[left[pick.index(left.len())]].pop_front() {
                loops.call(Box::new(call));
            }
        }
        let mut found = told(&mut loops);
        found.retain(|line| line.starts_with("loop"));
        found.sort();
        let mut expected: Vec<String> = lengths
            .iter()
            .zip(0_u64..)
            .filter(|((_, length), _)| *length > 1)
            .map(|((_, length), number)| {
                format!("loop of {}: {length} calls, {} tools", number * 1000, length - 1)
            })
            .collect();
        expected.sort();
        prop_assert_eq!(found, expected);
        prop_assert!(is_empty(&loops));
    }
}
