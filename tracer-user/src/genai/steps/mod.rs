//! The steps of a hosted agent as spans beneath that of the call.
//!
//! They happened within the service: their kind is internal, and what they say of the wire is only what the agent's trace tells.

mod attributes;
mod content;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::bedrock::Call;
use crate::bedrock::agent::step::{Fault, NodeKind, Step, Work};
use crate::bedrock::agent::usage_by_step;
use crate::bedrock::call::Gaps;
use crate::event::Host;

use super::options::Options;
use super::redaction::Hits;
use super::semconv::{error, operation};
use super::span::{Parent, Span, SpanKind, SpanStatus};
use super::span_builder::wall;
use super::{ids, semconv};

/// The spans of a call's steps with the rules that took something out of them, each behind the one that it is part of, and beside one another by their start.
pub(super) fn spans_of_steps(
    call: &Call,
    parent: &Span,
    host: &Host,
    options: &Options,
) -> Vec<(Span, Hits)> {
    let ids: Vec<_> = (0..call.steps.len())
        .map(|step| ids::of_step(parent, step))
        .collect();
    let Gaps {
        response_hole,
        undecodable,
        frames_broken,
        beyond_cap,
        ..
    } = call.gaps;
    // A sum of which parts may be missing is none.
    let partial = response_hole || undecodable || frames_broken || beyond_cap;
    let usage = (!partial).then(|| usage_by_step(&call.steps));
    let span = |place: usize, step: &Step| {
        let above = step.parent.and_then(|parent| ids.get(parent).copied());
        let start_unix_ns = wall(host, step.start);
        let span_id = *ids.get(place)?;
        let (attributes, hits) = attributes::attributes(
            call,
            step,
            usage.as_ref().and_then(|usage| usage.get(place)).copied(),
            options,
        );
        let span = Span {
            process: Arc::clone(&parent.process),
            trace_id: parent.trace_id,
            span_id,
            parent: Some(Parent {
                span_id: above.unwrap_or(parent.span_id),
                // Recorded if the call's own span is.
                flags: parent.parent.as_ref().map_or(1, |caller| caller.flags),
                trace_state: parent
                    .parent
                    .as_ref()
                    .map(|caller| caller.trace_state.clone())
                    .unwrap_or_default(),
            }),
            name: name(&step.work),
            kind: SpanKind::Internal,
            start_unix_ns,
            end_unix_ns: wall(host, step.end).max(start_unix_ns),
            attributes,
            events: Vec::new(),
            links: Vec::new(),
            status: status(step.fault.as_ref()),
        };
        Some((span, hits))
    };
    in_order(&call.steps)
        .into_iter()
        .filter_map(|place| span(place, call.steps.get(place)?))
        .collect()
}

/// Places of the steps as a reader goes through the tree.
fn in_order(steps: &[Step]) -> Vec<usize> {
    let mut beneath: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut next = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        match step.parent.and_then(|parent| beneath.get_mut(parent)) {
            Some(siblings) => siblings.push(place),
            None => next.push(place),
        }
    }
    // The next one is taken from the end.
    let latest_first = |places: &mut Vec<usize>| {
        places.sort_by_key(|place| steps.get(*place).map(|step| (step.start, *place)));
        places.reverse();
    };
    latest_first(&mut next);
    let mut order = Vec::with_capacity(steps.len());
    while let Some(place) = next.pop() {
        order.push(place);
        let mut siblings = beneath.get_mut(place).map(std::mem::take).unwrap_or_default();
        latest_first(&mut siblings);
        next.extend(siblings);
    }
    order
}

/// The `gen_ai` operation; the convention has none for a guardrail.
fn operation_name(work: &Work) -> Option<&'static str> {
    match work {
        Work::Model(_) => Some(operation::CHAT),
        Work::Tool(_) => Some(operation::EXECUTE_TOOL),
        Work::Retrieval(_) => Some(operation::RETRIEVAL),
        Work::Agent(_) => Some(operation::INVOKE_AGENT),
        Work::Guardrail(_) | Work::Node(_) => None,
    }
}

/// `{operation} {target}`.
fn name(work: &Work) -> String {
    let (what, target) = match work {
        Work::Model(work) => (operation::CHAT, &work.model),
        Work::Tool(work) => (operation::EXECUTE_TOOL, &work.name),
        Work::Retrieval(work) => (operation::RETRIEVAL, &work.knowledge_base),
        Work::Agent(work) => (operation::INVOKE_AGENT, &work.name),
        Work::Guardrail(work) => (semconv::phase::GUARDRAIL, &work.id),
        Work::Node(work) => match work.kind {
            NodeKind::Flow => (semconv::node::FLOW, &work.name),
            NodeKind::Search => (semconv::node::SEARCH, &work.name),
        },
    };
    target
        .as_ref()
        .map_or_else(|| what.to_owned(), |target| format!("{what} {target}"))
}

/// `error.type`.
fn error_type(fault: &Fault) -> &str {
    match fault {
        Fault::Failed { code, .. } => code.as_deref().unwrap_or(error::AGENT_FAILURE),
        Fault::ExecutionError => error::EXECUTION_ERROR,
        Fault::ExecutionTimeout => error::EXECUTION_TIMEOUT,
    }
}

fn status(fault: Option<&Fault>) -> SpanStatus {
    let description = match fault {
        None => return SpanStatus::Unset,
        Some(Fault::Failed { message, .. }) => message.clone().unwrap_or_default(),
        Some(Fault::ExecutionError) => "the tool ended with an error".into(),
        Some(Fault::ExecutionTimeout) => "the tool took too long".into(),
    };
    SpanStatus::Error { description }
}
