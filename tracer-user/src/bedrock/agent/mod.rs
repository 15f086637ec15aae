//! Hosted agents (`InvokeAgent`, `InvokeInlineAgent`): what they answer, and by their trace what they did before.

mod clock;
mod ledger;
pub mod step;
mod trace;

#[cfg(test)]
pub(crate) mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::event::Monotonic;

use super::assembly::Assembly;
use super::body::Body;
use super::call::{MAX_TOOL_CALLS, ToolCall, Usage};
use super::content::Message;
use super::failure::Failure;
use super::family::Facts;
use super::json::{Json, Malformed};
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
}

/// An agent's answer as far as it came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Agent {
    pub(super) facts: AgentFacts,
    ledger: Ledger,
    said: Said,
}

/// An agent's answer that is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    pub(super) facts: AgentFacts,
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
            usage: total(&steps),
            steps,
            failure: gave_up.map(|(fault, time)| {
                let (code, message) = match fault {
                    Fault::Failed { code, message } => (code, message),
                    Fault::ExecutionError | Fault::ExecutionTimeout => (None, None),
                };
                Failure {
                    code: code.unwrap_or_else(|| "AgentFailure".into()),
                    message,
                    in_stream: Some(time),
                }
            }),
            intervened,
            dropped: ledger.dropped(),
        }
    }
}

/// Members of a request that hold facts.
const REQUEST: [&str; 6] = [
    "agentName",
    "foundationModel",
    "memoryId",
    "guardrailConfiguration",
    "sessionState",
    "inlineSessionState",
];

/// Reads a request body.
pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&REQUEST, |name, value| match name {
        "agentName" => facts.agent.facts.name = value.text(),
        "foundationModel" => facts.request_model = value.text(),
        "memoryId" => facts.agent.facts.memory = value.text(),
        "guardrailConfiguration" => {
            facts.guardrail.id = value.member("guardrailIdentifier").and_then(Json::text);
            facts.guardrail.version = value.member("guardrailVersion").and_then(Json::text);
        }
        "sessionState" | "inlineSessionState" => {
            let brought = value
                .member("returnControlInvocationResults")
                .is_some_and(|results| results.items(|_| ()).is_ok() && results.source() != "[]");
            if brought {
                facts.agent.facts.brought_back = value.member("invocationId").and_then(Json::text);
            }
        }
        "inputText" => {
            if let Some(content) = &mut facts.content
                && content.asked.envelope()
            {
                let text = content.asked.text(Some(value));
                content.input.push(Message::text("user", text));
            }
        }
        _ => {}
    })
}

/// Reads one event of the answer.
pub(super) fn event(
    kind: &str,
    payload: Json<'_>,
    arrival: Monotonic,
    facts: &mut Facts,
    assembly: &mut Assembly,
) -> Result<(), Malformed> {
    match kind {
        "chunk" => {
            facts.spoke = true;
            if facts.content.is_some() {
                let bytes = payload.member("bytes").and_then(Json::string);
                let text = bytes
                    .and_then(|text| STANDARD.decode(text.as_bytes()).ok())
                    .ok_or(Malformed)?;
                assembly.text(0, &String::from_utf8_lossy(&text));
            }
            payload.members(|_, _| ())
        }
        "trace" => trace::part(payload, arrival, &mut facts.agent.ledger, &mut facts.agent.said),
        "returnControl" => return_control(payload, facts),
        "files" => payload.members(|name, value| {
            if name == "files" {
                let _broken = value.items(|_| facts.agent.facts.files += 1);
            }
        }),
        _ => payload.members(|_, _| ()),
    }
}

/// The agent asks its caller to run tools (`ReturnControlPayload`).
fn return_control(payload: Json<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    let id = payload.member("invocationId").and_then(Json::text);
    let end = payload.members(|name, value| {
        if name != "invocationInputs" {
            return;
        }
        let _broken = value.items(|input| {
            let _broken = input.members(|_, input| {
                if facts.tool_calls.len() < MAX_TOOL_CALLS {
                    facts.tool_calls.push(ToolCall {
                        id: id.clone(),
                        name: trace::tool_name(input, "actionGroup", "httpMethod"),
                    });
                }
            });
        });
    });
    facts.agent.facts.handed_over = id;
    end
}

/// For each step the tokens of all models at work in it and beneath it: of those that told.
pub fn usage_by_step(steps: &[Step]) -> Vec<Usage> {
    let mut usage: Vec<Usage> = steps
        .iter()
        .map(|step| match &step.work {
            Work::Model(work) => work.usage,
            Work::Tool(_) | Work::Retrieval(_) | Work::Agent(_) | Work::Guardrail(_) => Usage::default(),
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
