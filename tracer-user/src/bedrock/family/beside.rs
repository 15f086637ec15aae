//! Operations beside the conversation: a guardrail asked by itself, tokens counted, jobs that run by themselves.

use super::super::body::Body;
use super::super::content::Message;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set, video};

/// A job that runs by itself (`StartAsyncInvoke`, `GetAsyncInvoke`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// Its ARN.
    pub arn: Option<String>,
    /// How it stands: `InProgress`, `Completed`, `Failed`.
    pub status: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Where its result goes.
    pub output: Option<String>,
}

/// Reads a request to `ApplyGuardrail`.
pub(in crate::bedrock) fn guardrail_request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let end = body.members(&["source", "outputScope"], |name, value| {
        if name == "source" {
            set(&mut facts.guardrail.source, value.text());
        }
    });
    let role = match facts.guardrail.source.as_deref() {
        Some("OUTPUT") => "assistant",
        _ => "user",
    };
    if let Some(asked) = Json::new(&body.text()).member("content") {
        let _broken = asked.items(|block| {
            if let Some(text) = block.at(&["text", "text"]) {
                facts.asked(role, text);
            }
        });
    }
    end
}

/// Reads an answer of `ApplyGuardrail` or `InvokeGuardrailChecks`.
pub(in crate::bedrock) fn guardrail_response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let names = [
        "usage",
        "action",
        "actionReason",
        "assessments",
        "guardrailCoverage",
    ];
    body.members(&names, |name, value| match name {
        "action" => {
            let action = value.text();
            set(
                &mut facts.guardrail.intervened,
                action.map(|action| action == "GUARDRAIL_INTERVENED"),
            );
        }
        "actionReason" => set(&mut facts.guardrail.reason, value.text()),
        "usage" => {
            // That of the whole; the assessments have their parts of it.
            facts.guardrail.units.clear();
            facts.guardrail.usage(value);
        }
        "assessments" => {
            let (whole, stepped_in) = (facts.guardrail.units.clone(), facts.guardrail.intervened);
            let _broken = value.items(|one| facts.guardrail.assessment(one));
            if !whole.is_empty() {
                facts.guardrail.units = whole;
            }
            facts.guardrail.intervened = stepped_in.or(facts.guardrail.intervened);
        }
        "outputs" => {
            let _broken = value.items(|output| {
                if let Some(content) = &mut facts.content
                    && content.answered.envelope()
                {
                    let text = content.answered.text(output.member("text"));
                    content.output.push(Message::text("assistant", text));
                }
            });
        }
        _ => {}
    })
}

/// Reads a request to count tokens. Of Anthropic's the model is in the body.
pub(in crate::bedrock) fn count_request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&["model"], |name, value| {
        if name == "model" {
            set(&mut facts.asked_model, value.text());
        }
    })
}

/// Reads how many tokens a request would be.
pub(in crate::bedrock) fn count_response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&["inputTokens", "input_tokens"], |name, value| {
        if matches!(name, "inputTokens" | "input_tokens") {
            set(&mut facts.counted_tokens, value.count());
        }
    })
}

/// Reads a request to `StartAsyncInvoke`: model and its input in one body, in any order.
pub(in crate::bedrock) fn job_request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let names = ["modelId", "outputDataConfig", "clientRequestToken", "tags"];
    let end = body.members(&names, |name, value| match name {
        "modelId" => set(&mut facts.asked_model, value.text()),
        "outputDataConfig" => set(
            &mut facts.job.output,
            value.at(&["s3OutputDataConfig", "s3Uri"]).and_then(Json::text),
        ),
        _ => {}
    });
    let task = facts.asked_model.as_deref().and_then(Task::of_model);
    if let Some(input) = Json::new(&body.text()).member("modelInput") {
        if task == Some(Task::Embedding) {
            let _broken = input.members(|_, value| facts.parameters.take_all(value));
            facts.parameters.take_all(input);
        } else {
            let _broken = video::film(input, facts);
        }
    }
    facts.task = task.or(facts.task);
    end
}

/// Reads what is said of a job.
pub(in crate::bedrock) fn job_response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let names = [
        "invocationArn",
        "status",
        "modelArn",
        "failureMessage",
        "outputDataConfig",
    ];
    body.members(&names, |name, value| match name {
        "invocationArn" => set(&mut facts.job.arn, value.text()),
        "status" => set(&mut facts.job.status, value.text()),
        "failureMessage" => set(&mut facts.job.failure, value.text()),
        "modelArn" => set(&mut facts.asked_model, value.text()),
        "outputDataConfig" => set(
            &mut facts.job.output,
            value.at(&["s3OutputDataConfig", "s3Uri"]).and_then(Json::text),
        ),
        _ => {}
    })
}
