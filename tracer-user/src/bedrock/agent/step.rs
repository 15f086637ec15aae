//! `Step`: one piece of work that a hosted agent or a flow did before it answered, as its trace tells it.

use crate::event::Monotonic;

use super::super::call::{ToolCall, Usage};
use super::super::content::Content;
use super::super::parameters::Parameters;
use super::super::stop::StopReason;

/// One piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The step that this one was part of: its place in the same list, always before this one.
    pub parent: Option<usize>,
    /// Part of the agent's loop that it belongs to.
    pub phase: Option<Phase>,
    /// What was done.
    pub work: Work,
    /// Start, on the host's clock, within the call and within the step above.
    pub start: Monotonic,
    /// End, the same; never before the start.
    pub end: Monotonic,
    /// Id that the service gave to this piece of work (`clientRequestId`).
    pub request_id: Option<String>,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// What of it is not known.
    pub gaps: StepGaps,
    /// What was said, if it was asked for.
    pub content: Option<Box<Content>>,
}

/// Parts of an agent's loop, after the members of `Trace` in the service model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The input is looked at before anything is done.
    PreProcessing,
    /// The loop proper.
    Orchestration,
    /// A supervisor decides who is to answer.
    RoutingClassifier,
    /// The answer is reworded.
    PostProcessing,
    /// A guardrail looks at input or answer.
    Guardrail,
}

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A model answered.
    Model(Box<ModelWork>),
    /// A tool ran.
    Tool(ToolWork),
    /// A knowledge base was searched.
    Retrieval(RetrievalWork),
    /// Another agent was asked.
    Agent(AgentWork),
    /// A guardrail looked at a text.
    Guardrail(GuardrailWork),
    /// A node of a flow was run, or a stage of a planned search.
    Node(NodeWork),
}

/// A model answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelWork {
    /// Model as asked for.
    pub model: Option<String>,
    /// Inference parameters.
    pub parameters: Parameters,
    /// Token counts.
    pub usage: Usage,
    /// Why the answer ended, where the model's own body is there to tell.
    pub stop_reasons: Vec<StopReason>,
    /// Id of the answer, by the same body.
    pub response_id: Option<String>,
    /// Model that answered, by the same body.
    pub response_model: Option<String>,
    /// Tools that the model asked for, by the same body.
    pub tool_calls: Vec<ToolCall>,
}

/// A tool ran.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolWork {
    /// Name as the model knows it: `GROUP__FUNCTION`, or `GROUP VERB /path`.
    pub name: Option<String>,
    /// Id under which the model asked for it, where its own body is there to tell.
    pub call_id: Option<String>,
}

/// A knowledge base was searched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetrievalWork {
    /// Which.
    pub knowledge_base: Option<String>,
    /// How many documents were found.
    pub documents: Option<u64>,
}

/// Another agent was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentWork {
    /// Name under which the supervisor knows it.
    pub name: Option<String>,
    /// Agent id.
    pub id: Option<String>,
    /// Alias id.
    pub alias: Option<String>,
    /// Version.
    pub version: Option<String>,
}

impl AgentWork {
    /// The agent behind `arn:aws:bedrock:REGION:ACCOUNT:agent-alias/AGENT/ALIAS`; any other text is an id as it is.
    pub(super) fn of_alias(text: &str) -> Self {
        let parts = text
            .rsplit_once(":agent-alias/")
            .and_then(|(_, parts)| parts.split_once('/'));
        let (id, alias) = parts.map_or((text, None), |(id, alias)| (id, Some(alias)));
        Self {
            id: Some(id.to_owned()),
            alias: alias.map(str::to_owned),
            ..Self::default()
        }
    }
}

/// A guardrail looked at a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardrailWork {
    /// Which, where the assessment says so.
    pub id: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Whether it stepped in.
    pub intervened: Option<bool>,
}

/// A node of a flow was run, or a stage of a planned search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWork {
    /// Which of the two.
    pub kind: NodeKind,
    /// Name of the node or the stage.
    pub name: Option<String>,
    /// Service that the node called.
    pub service: Option<String>,
    /// Operation of that service.
    pub operation: Option<String>,
}

/// What has nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A flow.
    Flow,
    /// A planned search.
    Search,
}

impl NodeWork {
    /// A node of that name.
    pub(super) fn named(kind: NodeKind, name: Option<String>) -> Self {
        Self {
            kind,
            name,
            service: None,
            operation: None,
        }
    }
}

/// Why a step failed. What a tool printed is content and not kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The service gave the work up.
    Failed {
        /// Its code, where it has one.
        code: Option<String>,
        /// What it said.
        message: Option<String>,
    },
    /// The tool that was run ended with an error.
    ExecutionError,
    /// The tool that was run took too long.
    ExecutionTimeout,
}

/// What of a step is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepGaps {
    /// The event that tells what was asked was not seen.
    pub request_unseen: bool,
    /// The event that tells how it ended was not seen.
    pub outcome_unseen: bool,
}

impl Work {
    /// Roughly how many bytes are kept for it.
    pub(super) fn weight(&self) -> usize {
        fn of<const N: usize>(texts: [&Option<String>; N]) -> usize {
            texts
                .iter()
                .map(|text| text.as_ref().map_or(0, String::len))
                .sum()
        }
        let own = match self {
            Work::Model(work) => {
                let ModelWork {
                    model,
                    parameters,
                    usage: _,
                    stop_reasons,
                    response_id,
                    response_model,
                    tool_calls,
                } = &**work;
                let stops = parameters.stop_sequences.iter().map(String::len);
                let reasons = stop_reasons.iter().map(|reason| reason.wire.len());
                let tools = tool_calls.iter().map(|call| of([&call.id, &call.name]));
                stops.chain(reasons).chain(tools).sum::<usize>() + of([model, response_id, response_model])
            }
            Work::Tool(ToolWork { name, call_id }) => of([name, call_id]),
            Work::Retrieval(RetrievalWork {
                knowledge_base,
                documents: _,
            }) => of([knowledge_base]),
            Work::Agent(AgentWork {
                name,
                id,
                alias,
                version,
            }) => of([name, id, alias, version]),
            Work::Guardrail(GuardrailWork {
                id,
                version,
                intervened: _,
            }) => of([id, version]),
            Work::Node(NodeWork {
                kind: _,
                name,
                service,
                operation,
            }) => of([name, service, operation]),
        };
        own + size_of::<Step>()
    }
}
