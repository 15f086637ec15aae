//! `bedrock-agentcore`: hosted agents and harnesses, the sandbox for code, the browser, searches of the web and of a memory,
//! gateways to tools.

use crate::event::Monotonic;

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::family::{Facts, converse};
use super::super::json::{Json, Malformed};
use super::super::operation::Operation;
use super::super::session::{Session, SessionSource};
use super::clock::Moment;
use super::ledger::{Event, Outcome, Teller};
use super::step::{Fault, ModelWork, Phase, ToolWork, Work};
use super::trace::count;
use super::{ToolFacts, mcp};

/// Members of requests that hold facts.
const REQUEST: [&str; 6] = ["model", "name", "action", "searchCriteria", "sessionId", "method"];

/// The loop of a harness as its stream shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Harness {
    /// When the message began that is being told.
    begun: Option<Moment>,
    /// Whether the model tells it.
    by_model: bool,
    /// Tools that the model asked for and that have not answered: id and name.
    asked: Vec<(String, Option<String>)>,
    /// When the model had asked for them.
    asked_at: Option<Moment>,
}

/// Most tools that may be asked for at once.
const MAX_ASKED: usize = 256;

/// Reads a request body.
pub(super) fn request(operation: Operation, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut message = mcp::Request::default();
    let end = body.members(&REQUEST, |name, value| match (operation, name) {
        (Operation::InvokeHarness, "model") => {
            let _broken = value.members(|_, config| {
                let _broken = config.members(|name, value| match name {
                    "modelId" => facts.asked_model = value.text(),
                    "additionalParams" => {}
                    _ => facts.parameters.take(name, value),
                });
            });
        }
        (Operation::InvokeCodeInterpreter, "name") => tool(value.text(), facts),
        (Operation::InvokeBrowser, "action") => {
            let mut action = None;
            let _broken = value.members(|name, _| action = Some(name.to_owned()));
            tool(action, facts);
        }
        (Operation::RetrieveMemoryRecords, "searchCriteria") => {
            facts.agent.facts.retrieval.limit = value.member("topK").and_then(Json::count);
        }
        (Operation::CreateEvent, "sessionId") => {
            let session = value.text().and_then(|id| Session::new(id, SessionSource::Body));
            Session::prefer(&mut facts.session, session);
        }
        (Operation::InvokeGateway | Operation::InvokeAgentRuntime, _) => {
            mcp::request(&mut message, name, value);
        }
        _ => {}
    });
    message.finish(&mut facts.agent.facts);
    match operation {
        Operation::InvokeWebSearch => tool(Some("web_search".into()), facts),
        // What an agent is sent need not be JSON.
        Operation::InvokeAgentRuntime => return Ok(()),
        _ => {}
    }
    end
}

fn tool(name: Option<String>, facts: &mut Facts) {
    facts.agent.facts.tool = Some(ToolFacts { name, failed: false });
}

/// Reads an answer that came in one piece.
pub(super) fn response(operation: Operation, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let end = body.members(&[], |name, value| member(operation, name, value, facts));
    match operation {
        Operation::InvokeAgentRuntime => Ok(()),
        _ => end,
    }
}

/// Reads a message among server-sent events.
pub(super) fn message(operation: Operation, data: Json<'_>, facts: &mut Facts) {
    let _foreign = data.members(|name, value| member(operation, name, value, facts));
}

fn member(operation: Operation, name: &str, value: Json<'_>, facts: &mut Facts) {
    match (operation, name) {
        (Operation::RetrieveMemoryRecords, "memoryRecordSummaries")
        | (Operation::InvokeWebSearch, "results") => {
            facts.agent.facts.retrieval.documents = Some(count(value));
        }
        (Operation::InvokeBrowser, "result") => {
            let _broken = value.members(|_, outcome| {
                let failed = outcome.member("status").and_then(Json::text);
                failed_if(failed.as_deref() == Some("FAILED"), facts);
            });
        }
        (Operation::InvokeGateway | Operation::InvokeAgentRuntime, _) => {
            mcp::response(&mut facts.agent, name, value);
        }
        _ => {}
    }
}

fn failed_if(failed: bool, facts: &mut Facts) {
    if let Some(tool) = &mut facts.agent.facts.tool {
        tool.failed |= failed;
    }
}

/// Reads one event.
pub(super) fn event(
    operation: Operation,
    kind: &str,
    payload: Json<'_>,
    arrival: Monotonic,
    facts: &mut Facts,
    assembly: &mut Assembly,
) -> Result<(), Malformed> {
    match (operation, kind) {
        (Operation::InvokeHarness, _) => {
            harness(kind, payload, arrival, facts);
            // What a tool answers is not the agent's word.
            if kind == "contentBlockDelta" && !facts.agent.harness.by_model {
                return payload.members(|_, _| ());
            }
            if kind == "messageStop" && facts.agent.harness.by_model {
                // Each turn of the loop tells one: the last is the agent's.
                facts.stop_reasons.clear();
            }
            converse::event(kind, payload, facts, assembly)
        }
        (Operation::InvokeCodeInterpreter, "result") => {
            facts.spoke = true;
            payload.members(|name, value| {
                if name == "isError" {
                    failed_if(value.truth() == Some(true), facts);
                }
            })
        }
        (Operation::InvokeAgentRuntimeCommand, "chunk") => {
            facts.spoke |= payload.member("contentDelta").is_some();
            payload.members(|_, _| ())
        }
        _ => payload.members(|_, _| ()),
    }
}

/// The loop behind the answer of a harness: a model's message, what its tools answered, the next message. There is no clock of
/// the service here: what counts is when it came.
fn harness(kind: &str, payload: Json<'_>, arrival: Monotonic, facts: &mut Facts) {
    let moment = Moment {
        server: None,
        arrival,
    };
    let request_model = facts.asked_model.clone();
    let agent = &mut facts.agent;
    let (ledger, harness) = (&mut agent.ledger, &mut agent.harness);
    let teller = Teller::default();
    let event = |trace_id| Event {
        teller: &teller,
        trace_id,
        phase: Some(Phase::Orchestration),
        moment,
    };
    match kind {
        "messageStart" => {
            ledger.observe(moment);
            harness.by_model = payload
                .member("role")
                .and_then(Json::text)
                .is_none_or(|role| role == "assistant");
            harness.begun = Some(moment);
        }
        "contentBlockStart" => {
            ledger.observe(moment);
            let text = |value: Json<'_>, name: &str| value.member(name).and_then(Json::text);
            if let Some(asked) = payload.at(&["start", "toolUse"])
                && harness.asked.len() < MAX_ASKED
            {
                let id = text(asked, "toolUseId").unwrap_or_default();
                harness.asked.push((id, text(asked, "name")));
            }
            if let Some(result) = payload.at(&["start", "toolResult"]) {
                let id = text(result, "toolUseId");
                let place = harness
                    .asked
                    .iter()
                    .position(|(asked, _)| Some(asked) == id.as_ref());
                let name = place.and_then(|place| harness.asked.swap_remove(place).1);
                let failed = text(result, "status").as_deref() == Some("error");
                let outcome = Outcome {
                    start: harness.asked_at,
                    end: Some(moment),
                    request_id: None,
                    fault: failed.then_some(Fault::ExecutionError),
                };
                let trace_id = id.clone().unwrap_or_default();
                let work = Work::Tool(ToolWork { name, call_id: id });
                ledger.whole(&event(&trace_id), work, outcome);
            }
        }
        "messageStop" => {
            ledger.observe(moment);
            if !harness.by_model {
                return;
            }
            let reason = payload.member("stopReason").and_then(Json::text);
            let outcome = Outcome {
                start: harness.begun,
                end: Some(moment),
                ..Outcome::default()
            };
            let work = ModelWork {
                model: request_model,
                stop_reasons: reason
                    .into_iter()
                    .map(|wire| super::super::stop::StopReason { wire })
                    .collect(),
                ..ModelWork::default()
            };
            ledger.whole(&event(""), Work::Model(Box::new(work)), outcome);
            harness.asked_at = Some(moment);
        }
        _ => {}
    }
}
