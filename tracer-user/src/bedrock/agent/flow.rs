//! `InvokeFlow`: the nodes that ran, by the trace among the events of the answer (`FlowResponseStream` of the service model).

use crate::event::Monotonic;

use super::super::family::Facts;
use super::super::json::{Json, Malformed};
use super::clock::{Moment, ServerTime};
use super::ledger::{Event, Outcome, Teller};
use super::step::{NodeKind, NodeWork, Work};
use super::{Agent, trace};

/// Reads one event.
pub(super) fn event(
    kind: &str,
    payload: Json<'_>,
    arrival: Monotonic,
    facts: &mut Facts,
) -> Result<(), Malformed> {
    match kind {
        "flowOutputEvent" | "flowMultiTurnInputRequestEvent" => facts.spoke = true,
        "flowCompletionEvent" => {
            facts.ended = true;
            facts.agent.facts.flow.completion = payload.member("completionReason").and_then(Json::text);
        }
        "flowTraceEvent" => {
            if let Some(trace) = payload.member("trace") {
                let agent = &mut facts.agent;
                let _broken = trace.members(|kind, value| node(kind, value, arrival, agent));
            }
        }
        _ => {}
    }
    payload.members(|_, _| ())
}

/// One event of the trace, which names its node.
fn node(kind: &str, value: Json<'_>, arrival: Monotonic, agent: &mut Agent) {
    let name = value.member("nodeName").and_then(Json::text);
    let server = value
        .member("timestamp")
        .and_then(Json::string)
        .and_then(|text| ServerTime::parse(&text));
    let moment = Moment { server, arrival };
    let teller = Teller::default();
    let trace_id = name.clone().unwrap_or_default();
    let event = Event {
        teller: &teller,
        trace_id: &trace_id,
        phase: None,
        moment,
    };
    let ledger = &mut agent.ledger;
    let node = Work::Node(NodeWork::named(NodeKind::Flow, name));
    ledger.observe(moment);
    match kind {
        "nodeInputTrace" => ledger.begin(&event, node),
        // A condition has branches instead of an output.
        "nodeOutputTrace" | "conditionNodeResultTrace" => {
            ledger.end(&event, node, Outcome::default(), |_| ());
        }
        "nodeActionTrace" => {
            let text = |name: &str| value.member(name).and_then(Json::text);
            ledger.amend(&event, &node, |work| {
                if let Work::Node(node) = work {
                    node.service = text("serviceName");
                    node.operation = text("operationName");
                }
            });
        }
        "nodeDependencyTrace" => {
            ledger.enter(&trace_id);
            if let Some(traces) = value.at(&["traceElements", "agentTraces"]) {
                let _broken = traces.items(|part| {
                    let _broken = trace::part(part, arrival, &mut agent.ledger, &mut agent.said);
                });
            }
            agent.ledger.leave();
            // It is that of an agent which the flow asked, not of the flow.
            agent.said = super::Said::default();
        }
        _ => {}
    }
}
