//! Operations beside the conversation: guardrails, counted tokens, jobs; and what Converse says beside its answer.

use super::play::{EVENTSTREAM, Play, frame};
use crate::bedrock::Call;
use crate::bedrock::billing::ServiceTier;
use crate::bedrock::call::Gaps;
use crate::bedrock::content::Part;
use crate::bedrock::family::Task;
use crate::bedrock::operation::Operation;
use crate::http::BodyPart;

fn asked(method: &'static str, path: &str, request: &str, response: &str) -> Call {
    Play::new(method, path)
        .with_content()
        .request(request)
        .response(200, &[])
        .answer(response)
        .call()
}

#[test]
fn a_guardrail_asked_by_itself() {
    let call = asked(
        "POST",
        "/guardrail/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aguardrail%2Fgr-1/version/2/apply",
        r#"{"source": "OUTPUT", "content": [{"text": {"text": "Call 555-0100.", "qualifiers": ["guard_content"]}}]}"#,
        r#"{"action": "GUARDRAIL_INTERVENED", "actionReason": "Guardrail masked.", "outputs": [{"text": "Call {PHONE}."}],
            "usage": {"topicPolicyUnits": 0, "sensitiveInformationPolicyUnits": 1, "sensitiveInformationPolicyFreeUnits": 0},
            "assessments": [{"sensitiveInformationPolicy": {"piiEntities": [{"match": "555-0100", "type": "PHONE", "action": "ANONYMIZED"}]},
                "invocationMetrics": {"guardrailProcessingLatency": 80, "usage": {"sensitiveInformationPolicyUnits": 1}}}]}"#,
    );
    assert_eq!(call.route.operation, Operation::ApplyGuardrail);
    assert_eq!(
        call.guardrail.id.as_deref(),
        Some("arn:aws:bedrock:us-east-1:1:guardrail/gr-1")
    );
    assert_eq!(call.guardrail.version.as_deref(), Some("2"));
    assert_eq!(call.guardrail.intervened, Some(true));
    assert_eq!(call.guardrail.source.as_deref(), Some("OUTPUT"));
    assert_eq!(call.guardrail.reason.as_deref(), Some("Guardrail masked."));
    assert_eq!(call.guardrail.findings, ["pii:PHONE:ANONYMIZED"]);
    assert_eq!(
        call.guardrail.units,
        [("sensitiveInformationPolicy".to_owned(), 1)]
    );
    assert_eq!(call.guardrail.latency_ms, Some(80));
    let content = call.content.expect("content");
    assert_eq!(content.input[0].role, "assistant");
    assert_eq!(content.input[0].parts, [Part::Text("Call 555-0100.".into())]);
    assert_eq!(content.output[0].parts, [Part::Text("Call {PHONE}.".into())]);
}

#[test]
fn a_guardrail_that_finds_nothing_says_so() {
    let call = asked(
        "POST",
        "/guardrail/gr-1/version/DRAFT/apply",
        r#"{"source": "INPUT", "content": []}"#,
        r#"{"usage": {"contentPolicyUnits": 1}, "action": "NONE", "outputs": [], "assessments": [{}]}"#,
    );
    assert_eq!(call.guardrail.intervened, Some(false));
    assert!(call.guardrail.findings.is_empty());
    assert_eq!(call.gaps, Gaps::default());
}

#[test]
fn tokens_counted_are_none_used() {
    let bedrock = asked(
        "POST",
        "/model/anthropic.claude-3-haiku-20240307-v1%3A0/count-tokens",
        r#"{"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}}}"#,
        r#"{"inputTokens": 12}"#,
    );
    let mantle = Play::on(
        "bedrock-mantle.eu-west-1.api.aws",
        "/anthropic/v1/messages/count_tokens",
    )
    .request(r#"{"model": "anthropic.claude-haiku-4-5", "messages": []}"#)
    .response(200, &[])
    .answer(r#"{"input_tokens": 12}"#)
    .call();
    assert_eq!(
        mantle.route.resource.model.as_deref(),
        Some("anthropic.claude-haiku-4-5")
    );
    for call in [bedrock, mantle] {
        assert_eq!(call.counted_tokens, Some(12));
        assert_eq!(call.usage.input, None);
    }
}

#[test]
fn jobs_name_their_model_in_the_body() {
    for (model, input, task, words) in [
        (
            "amazon.nova-reel-v1:1",
            r#"{"taskType": "TEXT_VIDEO", "textToVideoParams": {"text": "a cat"}, "videoGenerationConfig": {"seed": 7}}"#,
            Task::Video,
            Some("a cat"),
        ),
        (
            "luma.ray-v2:0",
            r#"{"prompt": "a cat", "duration": "5s"}"#,
            Task::Video,
            Some("a cat"),
        ),
        (
            "twelvelabs.marengo-embed-2-7-v1:0",
            r#"{"inputType": "video", "mediaSource": {}}"#,
            Task::Embedding,
            None,
        ),
    ] {
        let call = asked(
            "POST",
            "/async-invoke",
            &format!(
                r#"{{"clientRequestToken": "t", "modelInput": {input}, "modelId": "{model}",
                    "outputDataConfig": {{"s3OutputDataConfig": {{"s3Uri": "s3://films/"}}}}}}"#
            ),
            r#"{"invocationArn": "arn:aws:bedrock:us-east-1:1:async-invoke/abc"}"#,
        );
        assert_eq!(call.route.operation, Operation::StartAsyncInvoke);
        assert_eq!(call.route.resource.model.as_deref(), Some(model));
        assert_eq!(call.task, Some(task), "{model}");
        assert_eq!(
            call.job.arn.as_deref(),
            Some("arn:aws:bedrock:us-east-1:1:async-invoke/abc")
        );
        assert_eq!(call.job.output.as_deref(), Some("s3://films/"));
        let said = call.content.and_then(|content| content.input.into_iter().next());
        assert_eq!(
            said.map(|message| message.parts),
            words.map(|words| vec![Part::Text(words.into())]),
            "{model}"
        );
    }
}

#[test]
fn a_job_is_looked_after() {
    let call = asked(
        "GET",
        "/async-invoke/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aasync-invoke%2Fabc",
        "",
        r#"{"invocationArn": "arn:aws:bedrock:us-east-1:1:async-invoke/abc", "status": "Failed", "failureMessage": "Refused.",
            "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/luma.ray-v2:0"}"#,
    );
    assert_eq!(call.route.operation, Operation::GetAsyncInvoke);
    assert_eq!(call.job.status.as_deref(), Some("Failed"));
    assert_eq!(call.job.failure.as_deref(), Some("Refused."));
    assert_eq!(
        call.route.resource.model.as_deref(),
        Some("arn:aws:bedrock:us-east-1::foundation-model/luma.ray-v2:0")
    );
}

const USAGE: &str = r#""usage": {"inputTokens": 12, "outputTokens": 5, "totalTokens": 3017, "cacheReadInputTokens": 1000,
    "cacheWriteInputTokens": 2000, "cacheDetails": [{"ttl": "5m", "inputTokens": 500}, {"ttl": "1h", "inputTokens": 1500}]}"#;

const TRACE: &str = r#""trace": {"promptRouter": {"invokedModelId": "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku"},
    "guardrail": {"actionReason": "Guardrail blocked.", "inputAssessment": {"gr-1": {"topicPolicy": {"topics": [
        {"name": "Investment", "type": "DENY", "action": "BLOCKED", "detected": true}]}}}}}"#;

#[test]
fn converse_says_who_answered_from_which_cache_on_which_tier_and_what_was_blocked() {
    let request = r#"{"serviceTier": {"type": "priority"}, "performanceConfig": {"latency": "optimized"},
        "guardrailConfig": {"guardrailIdentifier": "gr-1", "guardrailVersion": "1", "trace": "enabled"}}"#;
    let router = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Adefault-prompt-router%2Fanthropic.claude%3A1";
    let rest = r#""performanceConfig": {"latency": "standard"}, "serviceTier": {"type": "default"}"#;
    let whole = Play::new("POST", &format!("/model/{router}/converse"))
        .request(request)
        .response(200, &[])
        .answer(&format!(
            r#"{{"output": {{"message": {{"role": "assistant", "content": [{{"text": "No."}}]}}}}, "stopReason": "guardrail_intervened",
                "metrics": {{"latencyMs": 5}}, {USAGE}, {TRACE}, {rest}}}"#
        ))
        .call();
    let mut play = Play::new("POST", &format!("/model/{router}/converse-stream"));
    play.request(request).response(200, &[EVENTSTREAM]);
    for (name, payload) in [
        ("messageStart", r#"{"role": "assistant"}"#.to_owned()),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex": 0, "delta": {"text": "No."}}"#.to_owned(),
        ),
        (
            "messageStop",
            r#"{"stopReason": "guardrail_intervened"}"#.to_owned(),
        ),
        (
            "metadata",
            format!(r#"{{"metrics": {{"latencyMs": 5}}, {USAGE}, {TRACE}, {rest}}}"#),
        ),
    ] {
        play.part(&BodyPart::Bytes(&frame("event", name, &payload)));
    }
    for call in [whole, play.call()] {
        assert_eq!(
            call.response_model.as_deref(),
            Some("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku")
        );
        assert_eq!(call.usage.input_with_cache(), Some(3012));
        assert_eq!(
            (call.usage.cache_write, call.usage.cache_write_1h),
            (Some(2000), Some(1500))
        );
        assert_eq!(call.billing.tier, Some(ServiceTier::Standard));
        assert!(!call.billing.latency_optimised);
        assert_eq!(call.guardrail.intervened, Some(true));
        assert_eq!(call.guardrail.findings, ["topic:Investment:BLOCKED"]);
        assert_eq!(call.guardrail.reason.as_deref(), Some("Guardrail blocked."));
        assert_eq!(call.gaps, Gaps::default());
    }
}

#[test]
fn a_tier_in_a_head_goes_before_what_a_vendors_body_calls_its_own() {
    let answer = r#"{"type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 4, "service_tier": "standard"}}"#;
    let given = ("X-Amzn-Bedrock-Service-Tier", "priority");
    for (head, tier) in [(vec![], ServiceTier::Flex), (vec![given], ServiceTier::Priority)] {
        let call = Play::invoke("anthropic.claude-sonnet-4-5")
            .header("X-Amzn-Bedrock-Service-Tier", "flex")
            .request(r#"{"anthropic_version": "bedrock-2023-05-31", "messages": []}"#)
            .response(200, &head)
            .answer(answer)
            .call();
        assert_eq!(call.billing.tier, Some(tier));
    }
    let call = Play::invoke("anthropic.claude-sonnet-4-5")
        .request(r#"{"messages": [], "service_tier": "standard_only"}"#)
        .response(200, &[])
        .answer(answer)
        .call();
    assert_eq!(call.billing.tier, Some(ServiceTier::Standard));
}

#[test]
fn what_the_server_does_with_its_own_tools_asks_nothing_of_the_application() {
    let call = Play::converse()
        .request("{}")
        .response(200, &[])
        .answer(
            r#"{"output": {"message": {"role": "assistant", "content": [
                    {"toolUse": {"toolUseId": "t1", "name": "nova_grounding", "type": "server_tool_use", "input": {}}},
                    {"toolResult": {"toolUseId": "t1", "type": "nova_grounding_result", "content": []}},
                    {"citationsContent": {"content": [{"text": "It rains."}], "citations": [{"title": "Weather"}]}},
                    {"toolUse": {"toolUseId": "t2", "name": "umbrella", "input": {}}}]}}, "stopReason": "tool_use"}"#,
        )
        .call();
    let names: Vec<Option<&str>> = call.tool_calls.iter().map(|tool| tool.name.as_deref()).collect();
    assert_eq!(names, [Some("umbrella")]);
}

#[test]
fn documents_images_and_thoughts_are_told_by_their_kinds() {
    let call = Play::converse()
        .with_content()
        .request(
            r#"{"system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}], "messages": [{"role": "user", "content": [
                {"document": {"format": "pdf", "name": "a", "source": {"bytes": "AAAA"}, "citations": {"enabled": true}}},
                {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}},
                {"guardContent": {"text": {"text": "Guarded."}}}, {"cachePoint": {"type": "default", "ttl": "1h"}},
                {"searchResult": {"source": "x"}}]}]}"#,
        )
        .response(200, &[])
        .answer(
            r#"{"output": {"message": {"role": "assistant", "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}, {"reasoningContent": {"redactedContent": "AAAA"}},
                    {"citationsContent": {"content": [{"text": "It rains."}], "citations": []}}]}}, "stopReason": "end_turn"}"#,
        )
        .call();
    let content = call.content.expect("content");
    assert_eq!(content.system, ["Be brief."]);
    assert_eq!(
        content.input[0].parts,
        [
            Part::Blob {
                modality: "document",
                mime_type: Some("application/pdf".into()),
                size: 3,
            },
            Part::Uri {
                modality: "image",
                mime_type: Some("image/png".into()),
                uri: "s3://b/k".into(),
            },
            Part::Text("Guarded.".into()),
            Part::Other {
                kind: "searchResult".into(),
            },
        ]
    );
    assert_eq!(
        content.output[0].parts,
        [
            Part::Reasoning("hm".into()),
            Part::Other {
                kind: "redacted_reasoning".into(),
            },
            Part::Text("It rains.".into()),
        ]
    );
}
