//! Hosted agents and what belongs to them: agents, flows and knowledge bases of `bedrock-agent-runtime`, agents, tools and
//! memories of `bedrock-agentcore`. What a trace tells of the work behind an answer becomes [`Step`]s.

mod clock;
mod core;
mod flow;
mod hosted;
mod knowledge;
mod ledger;
mod mcp;
mod said;
pub mod step;
mod trace;

#[cfg(test)]
mod service_tests;
#[cfg(test)]
pub(crate) mod tests;

use crate::event::Monotonic;
use crate::http::Fields;

use super::assembly::Assembly;
use super::body::Body;
use super::call::Usage;
use super::failure::Failure;
use super::family::Facts;
use super::headers;
use super::json::{Json, Malformed};
use super::operation::Operation;
use ledger::Ledger;
use step::{Fault, Step, Work};
use trace::Said;

pub use step::Step as AgentStep;

/// What a call and its answer say about the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentFacts {
    /// Name, where the request gives one.
    pub name: Option<String>,
    /// Version, as the trace tells it.
    pub version: Option<String>,
    /// Memory that it remembers the user by.
    pub memory: Option<String>,
    /// Invocation that the agent handed over: the caller is to run the tools and to come back with this id.
    pub handed_over: Option<String>,
    /// Invocation whose results the request brings.
    pub brought_back: Option<String>,
    /// Files in the answer.
    pub files: u64,
    /// User on whose behalf `AgentCore` is called.
    pub user: Option<String>,
    /// The flow that ran.
    pub flow: FlowFacts,
    /// The search.
    pub retrieval: RetrievalFacts,
    /// The tool that the call itself runs.
    pub tool: Option<ToolFacts>,
    /// The message to a server of tools.
    pub mcp: Option<McpFacts>,
}

/// What is said about a flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowFacts {
    /// This run of it.
    pub execution: Option<String>,
    /// How it ended: `SUCCESS`, or `INPUT_REQUIRED` where it waits for its caller.
    pub completion: Option<String>,
}

/// What is said about a search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetrievalFacts {
    /// How many documents were asked for.
    pub limit: Option<u64>,
    /// How many were found, or given as sources of the answer.
    pub documents: Option<u64>,
}

/// A tool that a call runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolFacts {
    /// Name.
    pub name: Option<String>,
    /// Whether it says itself that it failed. What it says of that is content.
    pub failed: bool,
}

/// A message to a server that speaks the Model Context Protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct McpFacts {
    /// JSON-RPC method.
    pub method: Option<String>,
    /// JSON-RPC id, as its source text without quotes.
    pub id: Option<String>,
    /// Session of the protocol.
    pub session: Option<String>,
    /// Version of the protocol.
    pub version: Option<String>,
}

/// An agent's answer as far as it came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Agent {
    pub(super) facts: AgentFacts,
    /// Knowledge base that a body names.
    knowledge_base: Option<String>,
    /// What an answer in one piece says of a failure.
    failure: Option<Failure>,
    ledger: Ledger,
    said: Said,
    harness: core::Harness,
}

/// An agent's answer that is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    pub(super) facts: AgentFacts,
    pub(super) knowledge_base: Option<String>,
    pub(super) steps: Vec<Step>,
    /// Tokens of all models together.
    pub(super) usage: Usage,
    /// Why the agent gave up, where its trace says so.
    pub(super) failure: Option<Failure>,
    pub(super) intervened: Option<bool>,
    /// Events that told of steps beyond the caps.
    pub(super) dropped: u64,
}

impl Agent {
    /// Bytes kept.
    pub(super) fn held(&self) -> usize {
        self.ledger.held()
    }

    /// The call is over. `window`: from when to when it lasted.
    pub(super) fn settle(self, window: (Monotonic, Monotonic), failure: Option<&Failure>) -> Settled {
        let Self {
            mut facts,
            knowledge_base,
            failure: answered,
            harness: _,
            ledger,
            said:
                Said {
                    version,
                    failure: gave_up,
                    intervened,
                },
        } = self;
        let broken_off = failure.map(|failure| {
            let fault = Fault::Failed {
                code: Some(failure.code.clone()),
                message: None,
            };
            (failure.in_stream.unwrap_or(window.1), fault)
        });
        let broken_off = broken_off.as_ref().map(|(time, fault)| (*time, fault));
        let steps = ledger.settle((window.0, window.1.max(window.0)), broken_off);
        facts.version = version;
        Settled {
            facts,
            knowledge_base,
            usage: total(&steps),
            steps,
            failure: answered.or_else(|| {
                gave_up.map(|(fault, time)| {
                    let (code, message) = match fault {
                        Fault::Failed { code, message } => (code, message),
                        Fault::ExecutionError | Fault::ExecutionTimeout => (None, None),
                    };
                    Failure {
                        code: code.unwrap_or_else(|| "AgentFailure".into()),
                        message,
                        in_stream: Some(time),
                    }
                })
            }),
            intervened,
            dropped: ledger.dropped(),
        }
    }
}

/// Whether the bodies of an operation are read here.
pub(super) fn reads(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::InvokeAgent
            | Operation::InvokeInlineAgent
            | Operation::InvokeFlow
            | Operation::Retrieve
            | Operation::RetrieveAndGenerate
            | Operation::RetrieveAndGenerateStream
            | Operation::AgenticRetrieveStream
            | Operation::Rerank
            | Operation::GenerateQuery
            | Operation::OptimizePrompt
            | Operation::InvokeAgentRuntime
            | Operation::InvokeAgentRuntimeCommand
            | Operation::InvokeHarness
            | Operation::InvokeCodeInterpreter
            | Operation::InvokeBrowser
            | Operation::InvokeWebSearch
            | Operation::RetrieveMemoryRecords
            | Operation::CreateEvent
            | Operation::InvokeGateway
    )
}

/// Whether an answer may come as server-sent events: those of a customer's own agent, and of the Model Context Protocol.
pub(super) fn answers_in_lines(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::InvokeAgentRuntime | Operation::InvokeGateway
    )
}

/// Whether a stream of the operation ends with an event of its own.
pub(super) fn tells_the_end(operation: Operation) -> bool {
    matches!(operation, Operation::InvokeFlow | Operation::InvokeHarness)
}

/// Reads the head of a request.
pub(super) fn asked(fields: &Fields<'_>, facts: &mut AgentFacts) {
    facts.user = headers::value(fields, "x-amzn-bedrock-agentcore-runtime-user-id");
    mcp::head(fields, facts);
}

/// Reads the head of a response.
pub(super) fn answered(fields: &Fields<'_>, facts: &mut AgentFacts) {
    if let Some(memory) = headers::value(fields, "x-amz-bedrock-agent-memory-id") {
        facts.memory = Some(memory);
    }
    facts.flow.execution = headers::value(fields, "x-amz-bedrock-flow-execution-id");
    mcp::head(fields, facts);
}

/// Reads a request body.
pub(super) fn request(operation: Operation, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    match operation {
        Operation::InvokeAgent | Operation::InvokeInlineAgent => hosted::request(body, facts),
        Operation::InvokeFlow => Ok(()),
        Operation::Retrieve
        | Operation::RetrieveAndGenerate
        | Operation::RetrieveAndGenerateStream
        | Operation::AgenticRetrieveStream
        | Operation::Rerank
        | Operation::GenerateQuery
        | Operation::OptimizePrompt => knowledge::request(body, facts),
        _ => core::request(operation, body, facts),
    }
}

/// Reads an answer that came in one piece.
pub(super) fn response(operation: Operation, body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    match operation {
        Operation::Retrieve | Operation::RetrieveAndGenerate | Operation::Rerank => {
            knowledge::response(body, facts)
        }
        Operation::InvokeAgent
        | Operation::InvokeInlineAgent
        | Operation::InvokeFlow
        | Operation::GenerateQuery => Ok(()),
        _ => core::response(operation, body, facts),
    }
}

/// Reads one event of the answer.
pub(super) fn event(
    operation: Operation,
    kind: &str,
    payload: Json<'_>,
    arrival: Monotonic,
    facts: &mut Facts,
    assembly: &mut Assembly,
) -> Result<(), Malformed> {
    match operation {
        Operation::InvokeAgent | Operation::InvokeInlineAgent => {
            if facts.content.is_some() {
                facts.agent.ledger.keep_content();
            }
            hosted::event(kind, payload, arrival, facts, assembly)
        }
        Operation::InvokeFlow => flow::event(kind, payload, arrival, facts),
        Operation::RetrieveAndGenerateStream
        | Operation::AgenticRetrieveStream
        | Operation::OptimizePrompt => knowledge::event(kind, payload, arrival, facts, assembly),
        _ => core::event(operation, kind, payload, arrival, facts, assembly),
    }
}

/// Reads one server-sent event of the answer.
pub(super) fn server_sent(operation: Operation, data: Json<'_>, facts: &mut Facts) {
    facts.spoke = true;
    core::message(operation, data, facts);
}

/// For each step the tokens of all models at work in it and beneath it: of those that told.
pub fn usage_by_step(steps: &[Step]) -> Vec<Usage> {
    let mut usage: Vec<Usage> = steps
        .iter()
        .map(|step| match &step.work {
            Work::Model(work) => work.usage,
            Work::Tool(_) | Work::Retrieval(_) | Work::Agent(_) | Work::Guardrail(_) | Work::Node(_) => {
                Usage::default()
            }
        })
        .collect();
    // A step stands behind the one that it is part of.
    for (place, step) in steps.iter().enumerate().rev() {
        if let Some(parent) = step.parent
            && let Some(own) = usage.get(place).copied()
            && let Some(sum) = usage.get_mut(parent)
        {
            *sum = add(*sum, own);
        }
    }
    usage
}

/// Tokens of all models together.
fn total(steps: &[Step]) -> Usage {
    steps
        .iter()
        .zip(usage_by_step(steps))
        .filter(|(step, _)| step.parent.is_none())
        .fold(Usage::default(), |sum, (_, usage)| add(sum, usage))
}

/// Both together. What one of them does not tell, the other does.
fn add(left: Usage, right: Usage) -> Usage {
    let sum = |left: Option<u64>, right: Option<u64>| match (left, right) {
        (Some(left), Some(right)) => Some(left.saturating_add(right)),
        (left, right) => left.or(right),
    };
    Usage {
        input: sum(left.input_without_cache(), right.input_without_cache()),
        output: sum(left.output, right.output),
        cache_read: sum(left.cache_read, right.cache_read),
        cache_write: sum(left.cache_write, right.cache_write),
        cache_write_1h: sum(left.cache_write_1h, right.cache_write_1h),
        reasoning: sum(left.reasoning, right.reasoning),
        input_is_total: false,
    }
}
