//! `InvokeAgent` and `InvokeInlineAgent`: what is asked, and the events of the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::event::Monotonic;

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::call::{MAX_TOOL_CALLS, ToolCall};
use super::super::content::Message;
use super::super::family::Facts;
use super::super::json::{Json, Malformed};
use super::trace;

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
        "foundationModel" => facts.asked_model = value.text(),
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
