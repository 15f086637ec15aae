//! The spans of a loop and its tools, each marked as inferred.

use std::sync::Arc;

use crate::event::{Host, Process};
use crate::genai::attributes::{List, add_session};
use crate::genai::ids;
use crate::genai::semconv::{self, error, incomplete, operation, tool};
use crate::genai::span::{Span, SpanKind, SpanStatus};
use crate::genai::span_builder::wall;

use super::{Loop, Tool};

/// The span around a loop.
pub(in crate::genai) fn loop_span(of: &Loop, host: &Host, process: Arc<Process>) -> Span {
    let Loop {
        origin,
        process: _,
        session,
        start,
        end,
        calls,
        tools,
        failed,
        answered,
    } = of;
    let ids::Place {
        trace_id,
        span_id,
        parent,
    } = ids::of_loop(&host.boot_id, origin);
    let mut list = List::default();
    list.text(semconv::OPERATION_NAME, Some(operation::INVOKE_AGENT));
    add_session(&mut list, session.as_ref());
    list.truth(semconv::INFERRED, Some(true));
    list.count(semconv::LOOP_CALLS, Some(*calls));
    list.count(semconv::LOOP_TOOLS, Some(*tools));
    list.string(semconv::ERROR_TYPE, failed.as_ref().map(|(kind, _)| kind));
    let unfinished = !answered && failed.is_none();
    list.strings(
        semconv::INCOMPLETE,
        if unfinished {
            vec![incomplete::LOOP_UNFINISHED.to_owned()]
        } else {
            Vec::new()
        },
    );
    let start_unix_ns = wall(host, *start);
    Span {
        process,
        trace_id,
        span_id,
        parent,
        name: operation::INVOKE_AGENT.to_owned(),
        kind: SpanKind::Internal,
        start_unix_ns,
        end_unix_ns: wall(host, *end).max(start_unix_ns),
        status: failed
            .as_ref()
            .map_or(SpanStatus::Unset, |(_, description)| SpanStatus::Error {
                description: description.clone(),
            }),
        attributes: list.into_attributes(),
        events: Vec::new(),
        links: Vec::new(),
    }
}

/// The span of a tool.
pub(in crate::genai) fn tool_span(of: &Tool, host: &Host, process: Arc<Process>) -> Span {
    let Tool {
        origin,
        process: _,
        id,
        name,
        failed,
        session,
        start,
        end,
    } = of;
    let ids::Place {
        trace_id,
        span_id,
        parent,
    } = ids::of_tool(&host.boot_id, origin, id);
    let mut list = List::default();
    list.text(semconv::OPERATION_NAME, Some(operation::EXECUTE_TOOL));
    list.string(semconv::TOOL_NAME, name.as_ref());
    list.string(semconv::TOOL_CALL_ID, Some(id));
    list.text(semconv::TOOL_TYPE, Some(tool::FUNCTION));
    add_session(&mut list, session.as_ref());
    list.truth(semconv::INFERRED, Some(true));
    list.text(semconv::ERROR_TYPE, failed.then_some(error::TOOL_ERROR));
    let start_unix_ns = wall(host, *start);
    Span {
        process,
        trace_id,
        span_id,
        parent,
        name: name.as_ref().map_or_else(
            || operation::EXECUTE_TOOL.to_owned(),
            |name| format!("{} {name}", operation::EXECUTE_TOOL),
        ),
        kind: SpanKind::Internal,
        start_unix_ns,
        end_unix_ns: wall(host, *end).max(start_unix_ns),
        status: if *failed {
            SpanStatus::Error {
                description: "the result says that the tool failed".to_owned(),
            }
        } else {
            SpanStatus::Unset
        },
        attributes: list.into_attributes(),
        events: Vec::new(),
        links: Vec::new(),
    }
}
