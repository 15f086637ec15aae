//! Converse and `ConverseStream`: Bedrock's own shape for every model (`ConverseRequest`, `ConverseResponse`,
//! `ConverseStreamOutput` of the service model).

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::call::Usage;
use super::super::content::Message;
use super::super::json::{Json, Malformed};
use super::super::parameters::Parameters;
use super::super::session::Session;
use super::{Facts, blocks, set};

/// Members of a request that hold facts.
const REQUEST: [&str; 9] = [
    "inferenceConfig",
    "additionalModelRequestFields",
    "guardrailConfig",
    "outputConfig",
    "requestMetadata",
    "serviceTier",
    "performanceConfig",
    "toolConfig",
    "system",
];

/// Members of a response that hold facts.
const RESPONSE: [&str; 6] = [
    "stopReason",
    "usage",
    "metrics",
    "trace",
    "serviceTier",
    "performanceConfig",
];

/// Reads a request body.
pub(in crate::bedrock) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut extra = Parameters::default();
    let end = body.members(&REQUEST, |name, value| match name {
        "inferenceConfig" => facts.parameters.take_all(value),
        "outputConfig" => facts.parameters.take(name, value),
        "requestMetadata" => Session::prefer(&mut facts.session, Session::of_metadata(value)),
        "serviceTier" | "performanceConfig" => facts.billing.take(name, value),
        "additionalModelRequestFields" => {
            extra.take_all(value);
            // Nova's own name for the place of `topK`.
            if let Some(config) = value.member("inferenceConfig") {
                extra.take_all(config);
            }
        }
        "guardrailConfig" => facts.guardrail.take_config(value),
        _ => content_of_request(name, value, facts),
    });
    facts.parameters.fill(extra);
    end
}

/// System, messages and tools, shared with Nova.
pub(super) fn content_of_request(name: &str, value: Json<'_>, facts: &mut Facts) {
    let Some(content) = &mut facts.content else {
        return;
    };
    let budget = &mut content.asked;
    match name {
        "system" => {
            let _broken = value.items(|block| {
                let text = block
                    .member("text")
                    .or_else(|| block.at(&["guardContent", "text", "text"]));
                if text.is_some() && budget.envelope() {
                    content.system.push(budget.text(text));
                }
            });
        }
        "messages" => {
            let _broken =
                value.items(|message| content.input.extend(blocks::message(message, "user", budget)));
        }
        "toolConfig" => {
            if let Some(tools) = value.member("tools") {
                let _broken = tools.items(|tool| content.tools.extend(blocks::tool(tool, budget)));
            }
        }
        _ => {}
    }
}

/// Reads a response body.
pub(in crate::bedrock) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "output" => {
            if let Some(message) = value.member("message") {
                answer(message, facts);
            }
        }
        "stopReason" => stop(value, facts),
        "usage" => usage(value, &mut facts.usage),
        "metrics" | "trace" | "serviceTier" | "performanceConfig" => metadata(name, value, facts),
        _ => facts.take_bedrocks_own(name, value),
    })
}

/// An answer in one piece.
fn answer(message: Json<'_>, facts: &mut Facts) {
    facts.spoke = true;
    if let Some(content) = message.member("content") {
        let _broken = content.items(|block| {
            if let Some(tool) = block.member("toolUse").filter(|tool| awaits_an_answer(*tool)) {
                facts.tool_call(
                    tool.member("toolUseId").and_then(Json::text),
                    tool.member("name").and_then(Json::text),
                );
            }
        });
    }
    if let Some(content) = &mut facts.content {
        content
            .output
            .extend(blocks::message(message, "assistant", &mut content.answered));
    }
}

/// Reads one event: of `ConverseStream`, or a member of one of Nova's chunks.
pub(in crate::bedrock) fn event(
    kind: &str,
    value: Json<'_>,
    facts: &mut Facts,
    assembly: &mut Assembly,
) -> Result<(), Malformed> {
    let index = || {
        value
            .member("contentBlockIndex")
            .and_then(Json::count)
            .unwrap_or(0)
    };
    match kind {
        "contentBlockStart" => {
            if let Some(tool) = value
                .at(&["start", "toolUse"])
                .filter(|tool| awaits_an_answer(*tool))
            {
                assembly.tool(
                    index(),
                    tool.member("toolUseId").and_then(Json::text),
                    tool.member("name").and_then(Json::text),
                );
            }
        }
        "contentBlockDelta" => {
            facts.spoke = true;
            if facts.content.is_some()
                && let Some(delta) = value.member("delta")
            {
                let index = index();
                let _broken = delta.members(|name, value| match name {
                    "text" => assembly.text(index, &value.string().unwrap_or_default()),
                    "toolUse" => {
                        let input = value.member("input").and_then(Json::string);
                        assembly.tool_input(index, &input.unwrap_or_default());
                    }
                    "reasoningContent" => {
                        let text = value.member("text").and_then(Json::string);
                        assembly.reasoning(index, &text.unwrap_or_default());
                    }
                    _ => {}
                });
            }
        }
        "messageStop" => {
            facts.ended = true;
            if let Some(reason) = value.member("stopReason") {
                stop(reason, facts);
            }
        }
        "metadata" => {
            return value.members(|name, value| match name {
                "usage" => usage(value, &mut facts.usage),
                _ => metadata(name, value, facts),
            });
        }
        _ => {}
    }
    value.members(|_, _| ())
}

fn stop(value: Json<'_>, facts: &mut Facts) {
    let reason = value.text();
    if reason.as_deref() == Some("guardrail_intervened") {
        facts.guardrail.intervened = Some(true);
    }
    facts.stop(reason);
}

fn metadata(name: &str, value: Json<'_>, facts: &mut Facts) {
    match name {
        "metrics" => set(
            &mut facts.server_latency_ms,
            value.member("latencyMs").and_then(Json::count),
        ),
        "trace" => {
            set(
                &mut facts.response_model,
                value.at(&["promptRouter", "invokedModelId"]).and_then(Json::text),
            );
            if let Some(trace) = value.member("guardrail") {
                facts.guardrail.take_trace(trace);
            }
        }
        "serviceTier" | "performanceConfig" => facts.billing.take(name, value),
        _ => {}
    }
}

/// Token counts. Cache counts come under two names, sometimes both at once.
pub(super) fn usage(value: Json<'_>, usage: &mut Usage) {
    let _broken = value.members(|name, value| match name {
        "inputTokens" => set(&mut usage.input, value.count()),
        "outputTokens" => set(&mut usage.output, value.count()),
        "cacheReadInputTokens" | "cacheReadInputTokenCount" => set(&mut usage.cache_read, value.count()),
        "cacheWriteInputTokens" | "cacheWriteInputTokenCount" => set(&mut usage.cache_write, value.count()),
        "cacheDetails" => {
            let _broken = value.items(|detail| {
                if detail.member("ttl").and_then(Json::text).as_deref() == Some("1h") {
                    set(
                        &mut usage.cache_write_1h,
                        detail.member("inputTokens").and_then(Json::count),
                    );
                }
            });
        }
        _ => {}
    });
}

/// Whether the application has to make the call; what the server's own tools do is not one.
fn awaits_an_answer(tool: Json<'_>) -> bool {
    tool.member("type").and_then(Json::text).as_deref() != Some("server_tool_use")
}

/// A streamed answer that is over.
pub(in crate::bedrock) fn finish_stream(assembly: Assembly, facts: &mut Facts) {
    let (calls, choices) = assembly.finish();
    facts.tool_calls.extend(calls);
    if let Some(content) = &mut facts.content {
        content.output.extend(choices.into_iter().map(|parts| Message {
            role: "assistant".into(),
            parts,
        }));
    }
}
