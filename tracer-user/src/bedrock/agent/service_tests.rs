//! Knowledge bases, flows and `AgentCore`: bodies and events as they come, and what the call says.

use serde_json::{Value, json};

use super::step::{Fault, NodeKind, Work};
use super::tests::{model_input, model_output, part, tree};
use crate::bedrock::Call;
use crate::bedrock::operation::Operation;
use crate::bedrock::session::SessionSource;
use crate::bedrock::tests::{EVENTSTREAM, Play, frame};
use crate::http::BodyPart;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn play(path: &str) -> Play {
    Play::new("POST", path).host("bedrock-agentcore.us-east-1.amazonaws.com")
}

/// A call that is asked and answered in one piece.
fn answered(path: &str, asked: &Value, answer: &Value) -> Call {
    let mut play = play(path);
    play.request(&asked.to_string())
        .response(200, &[JSON])
        .answer(&answer.to_string());
    play.call()
}

/// A call that is answered in events, 100 ms apart.
fn streamed(path: &str, asked: &Value, events: &[(&str, Value)]) -> Call {
    let mut play = play(path);
    play.request(&asked.to_string()).response(200, &[EVENTSTREAM]);
    for (number, (kind, payload)) in (1..).zip(events) {
        let bytes = frame("event", kind, &payload.to_string());
        play.at(number * 100).part(&BodyPart::Bytes(&bytes));
    }
    play.call()
}

#[test]
fn a_search_says_how_much_it_was_to_find_and_found() {
    let asked = json!({"retrievalQuery": {"text": "secret"}, "guardrailConfiguration": {"guardrailId": "gr1", "guardrailVersion": "2"},
        "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 7}}});
    let answer = json!({"retrievalResults": [{"content": {"text": "a"}}, {"content": {"text": "b"}}], "guardrailAction": "NONE"});
    let call = answered("/knowledgebases/KB1/retrieve", &asked, &answer);
    let retrieval = &call.agent.retrieval;
    assert_eq!((retrieval.limit, retrieval.documents), (Some(7), Some(2)));
    assert_eq!(call.route.resource.knowledge_base.as_deref(), Some("KB1"));
    assert_eq!(call.guardrail.id.as_deref(), Some("gr1"));
    assert_eq!(call.guardrail.intervened, Some(false));
}

#[test]
fn an_answer_from_a_knowledge_base_names_model_and_session() {
    let asked = json!({"input": {"text": "secret"}, "sessionId": "s-1", "retrieveAndGenerateConfiguration": {
        "type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": {"knowledgeBaseId": "KB1", "modelArn": "anthropic.claude-v9",
            "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 4}},
            "generationConfiguration": {"inferenceConfig": {"textInferenceConfig": {"maxTokens": 99, "topP": 0.5}},
                "additionalModelRequestFields": {"top_k": 3}}}}});
    let reference = json!({"retrievedReferences": [{"content": {"text": "a"}}, {"content": {"text": "b"}}]});
    let answer =
        json!({"output": {"text": "secret"}, "citations": [reference, reference], "sessionId": "s-1"});
    let call = answered("/retrieveAndGenerate", &asked, &answer);
    assert_eq!(call.route.resource.model.as_deref(), Some("anthropic.claude-v9"));
    assert_eq!(call.route.resource.knowledge_base.as_deref(), Some("KB1"));
    assert_eq!(
        (call.parameters.max_tokens, call.parameters.top_k),
        (Some(99), Some(3.0))
    );
    assert_eq!(call.agent.retrieval.documents, Some(4));
    let session = call.session.expect("the body names one");
    assert_eq!(
        (session.id.as_str(), session.source),
        ("s-1", SessionSource::Body)
    );

    let events = [
        ("output", json!({"text": "se"})),
        ("output", json!({"text": "cret"})),
        ("citation", reference),
        ("guardrail", json!({"action": "INTERVENED"})),
    ];
    let call = streamed("/retrieveAndGenerateStream", &asked, &events);
    assert_eq!(call.timings.first_chunk.map(|time| time.0), Some(100_000_000));
    assert_eq!(call.guardrail.intervened, Some(true));
    assert_eq!(call.agent.retrieval.documents, Some(2));
}

#[test]
fn the_stages_of_a_planned_search_are_steps() {
    let asked = json!({"messages": [{"role": "user"}], "retrievers": [{"configuration": {"knowledgeBase": {"knowledgeBaseId": "KB9"}}}],
        "agenticRetrieveConfiguration": {"foundationModelConfiguration": {"bedrockFoundationModelConfiguration": {"modelConfiguration": {"modelArn": "m"}}}}});
    let stage = |id: &str, step: &str, status: &str| {
        (
            "traceEvent",
            json!({"id": id, "attributes": {"step": step, "status": status}}),
        )
    };
    let call = streamed(
        "/agenticRetrieveStream",
        &asked,
        &[
            stage("1", "Planning", "IN_PROGRESS"),
            stage("1", "Planning", "SUCCEEDED"),
            stage("2", "Retrieval", "IN_PROGRESS"),
            stage("2", "Retrieval", "FAILED"),
            ("result", json!({"results": [{}, {}, {}]})),
        ],
    );
    let failed = Fault::Failed {
        code: None,
        message: None,
    };
    assert_eq!(
        tree(&call.steps),
        format!("\nnode Planning 100..200\nnode Retrieval 300..400 {failed:?}\n")
    );
    assert_eq!(call.route.resource.model.as_deref(), Some("m"));
    assert_eq!(call.route.resource.knowledge_base.as_deref(), Some("KB9"));
    assert_eq!(call.agent.retrieval.documents, Some(3));
}

#[test]
fn what_else_is_done_with_texts_names_its_model() {
    let asked = json!({"rerankingConfiguration": {"bedrockRerankingConfiguration": {"numberOfResults": 2,
        "modelConfiguration": {"modelArn": "arn:aws:bedrock:us-west-2::foundation-model/amazon.rerank-v1:0"}}}});
    let call = answered(
        "/rerank",
        &asked,
        &json!({"results": [{"index": 1, "relevanceScore": 0.9}]}),
    );
    assert_eq!(
        call.route.resource.model.as_deref(),
        Some("arn:aws:bedrock:us-west-2::foundation-model/amazon.rerank-v1:0")
    );
    let retrieval = call.agent.retrieval;
    assert_eq!((retrieval.limit, retrieval.documents), (Some(2), Some(1)));

    let events = [
        ("analyzePromptEvent", json!({})),
        ("optimizedPromptEvent", json!({})),
    ];
    let call = streamed("/optimize-prompt", &json!({"targetModelId": "m"}), &events);
    assert_eq!(call.route.resource.model.as_deref(), Some("m"));

    let asked = json!({"transformationConfiguration": {"textToSqlConfiguration": {"knowledgeBaseConfiguration":
        {"knowledgeBaseArn": "arn:aws:bedrock:us-east-1:1:knowledge-base/KB7"}}}});
    let call = answered("/generateQuery", &asked, &json!({"queries": []}));
    assert_eq!(call.route.resource.knowledge_base.as_deref(), Some("KB7"));
}

#[test]
fn the_nodes_of_a_flow_are_steps_and_an_agent_among_them_has_its_own() {
    let at = |milliseconds: u64| format!("2025-05-30T12:00:00.{milliseconds:03}Z");
    let node = |kind: &str, name: &str, time: u64| {
        (
            "flowTraceEvent",
            json!({"trace": {kind: {"nodeName": name, "timestamp": at(time), "fields": [{"content": {"document": "secret"}}]}}}),
        )
    };
    let agent =
        |time: u64, trace: Value| part(&["AGENT1/ALIAS1"], time, &json!({ "orchestrationTrace": trace }));
    let mut action = node("nodeActionTrace", "ask", 120);
    action.1["trace"]["nodeActionTrace"]["serviceName"] = "Bedrock".into();
    action.1["trace"]["nodeActionTrace"]["operationName"] = "InvokeAgent".into();
    let mut agents = node("nodeDependencyTrace", "ask", 180);
    agents.1["trace"]["nodeDependencyTrace"]["traceElements"] = json!({"agentTraces": [agent(130, model_input("0")), agent(170, model_output("0", 140, 160, "<answer>"))]});
    let call = streamed(
        "/flows/FLOW1/aliases/LIVE",
        &json!({"inputs": [], "enableTrace": true}),
        &[
            node("nodeInputTrace", "start", 100),
            node("nodeOutputTrace", "start", 101),
            node("nodeInputTrace", "ask", 110),
            action,
            agents,
            node("nodeOutputTrace", "ask", 190),
            node("nodeInputTrace", "which", 191),
            node("conditionNodeResultTrace", "which", 192),
            (
                "flowOutputEvent",
                json!({"nodeName": "end", "content": {"document": "secret"}}),
            ),
            ("flowCompletionEvent", json!({"completionReason": "SUCCESS"})),
        ],
    );
    // The events came 100 ms apart, the first 100 ms after the request: the first is the one that waited least.
    assert_eq!(
        tree(&call.steps),
        "
node start 100..101
node ask 110..190
  model anthropic.claude-v9 140..160
node which 191..192
"
    );
    let Work::Node(asks) = &call.steps[1].work else {
        panic!("a node")
    };
    assert_eq!(asks.kind, NodeKind::Flow);
    assert_eq!(
        (asks.service.as_deref(), asks.operation.as_deref()),
        (Some("Bedrock"), Some("InvokeAgent"))
    );
    assert_eq!(call.agent.flow.completion.as_deref(), Some("SUCCESS"));
    assert_eq!(call.route.resource.flow.as_deref(), Some("FLOW1"));
    assert_eq!(call.route.resource.alias.as_deref(), Some("LIVE"));
    assert!(!call.gaps.no_stop_event);
    let cut = streamed(
        "/flows/FLOW1/aliases/LIVE",
        &json!({}),
        &[node("nodeInputTrace", "start", 100)],
    );
    assert!(cut.gaps.no_stop_event);
}

#[test]
fn a_harness_shows_its_loop() {
    let asked = json!({"messages": [{"role": "user", "content": [{"text": "secret"}]}],
        "model": {"bedrockModelConfig": {"modelId": "amazon.nova-pro-v1:0", "maxTokens": 50, "temperature": 0.5}}});
    let tool = |index: u64, block: Value| {
        (
            "contentBlockStart",
            json!({"contentBlockIndex": index, "start": block}),
        )
    };
    let stop = |reason: &str| ("messageStop", json!({"stopReason": reason}));
    let role = |role: &str| ("messageStart", json!({"role": role}));
    let call = streamed(
        "/harnesses/invoke?harnessArn=arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aharness%2Fh1&qualifier=live",
        &asked,
        &[
            role("assistant"),
            tool(0, json!({"toolUse": {"toolUseId": "t1", "name": "ferries"}})),
            stop("tool_use"),
            (
                "hookEvent",
                json!({"type": "before_tool_call", "name": "audit", "decision": "allow"}),
            ),
            role("user"),
            tool(0, json!({"toolResult": {"toolUseId": "t1", "status": "error"}})),
            stop("tool_result"),
            role("assistant"),
            (
                "contentBlockDelta",
                json!({"contentBlockIndex": 0, "delta": {"text": "secret"}}),
            ),
            stop("end_turn"),
            (
                "metadata",
                json!({"usage": {"inputTokens": 30, "outputTokens": 4}, "metrics": {"latencyMs": 900}}),
            ),
        ],
    );
    assert_eq!(
        tree(&call.steps),
        "
model amazon.nova-pro-v1:0 100..300
tool ferries 300..600 ExecutionError
model amazon.nova-pro-v1:0 800..1000
"
    );
    assert_eq!(
        call.route.resource.agent.as_deref(),
        Some("arn:aws:bedrock-agentcore:us-east-1:1:harness/h1")
    );
    assert_eq!(call.route.resource.alias.as_deref(), Some("live"));
    assert_eq!(call.parameters.max_tokens, Some(50));
    assert_eq!((call.usage.input, call.usage.output), (Some(30), Some(4)));
    let reasons: Vec<_> = call
        .stop_reasons
        .iter()
        .map(|reason| reason.wire.as_str())
        .collect();
    assert_eq!(reasons, ["end_turn"], "of all turns the last is the agent's");
}

#[test]
fn tools_of_agentcore_are_named_and_may_fail() {
    let events = [(
        "result",
        json!({"isError": true, "content": [{"type": "text", "text": "secret"}], "structuredContent": {"exitCode": 1}}),
    )];
    let call = streamed(
        "/code-interpreters/aws.codeinterpreter.v1/tools/invoke",
        &json!({"name": "executeCode", "arguments": {"code": "secret"}}),
        &events,
    );
    let tool = call.agent.tool.expect("a tool");
    assert_eq!((tool.name.as_deref(), tool.failed), (Some("executeCode"), true));

    let call = answered(
        "/browsers/aws.browser.v1/sessions/invoke",
        &json!({"action": {"mouseClick": {"x": 1}}}),
        &json!({"result": {"mouseClick": {"status": "FAILED", "error": "secret"}}}),
    );
    let tool = call.agent.tool.expect("a tool");
    assert_eq!((tool.name.as_deref(), tool.failed), (Some("mouseClick"), true));

    let call = answered(
        "/web-search/w1/invoke",
        &json!({"searchQuery": "secret"}),
        &json!({"results": [{}, {}]}),
    );
    assert_eq!(
        call.agent.tool.and_then(|tool| tool.name).as_deref(),
        Some("web_search")
    );
    assert_eq!(call.agent.retrieval.documents, Some(2));

    let call = answered(
        "/memories/m1/retrieve",
        &json!({"namespace": "n", "searchCriteria": {"searchQuery": "secret", "topK": 5}}),
        &json!({"memoryRecordSummaries": [{"content": {"text": "secret"}}]}),
    );
    assert_eq!(call.route.resource.memory.as_deref(), Some("m1"));
    let retrieval = call.agent.retrieval;
    assert_eq!((retrieval.limit, retrieval.documents), (Some(5), Some(1)));
}

/// A message to a gateway, and its answer in one piece or as an event.
fn gateway(asked: &Value, answer: &Value, in_lines: bool) -> Call {
    let mut play = Play::new("POST", "/mcp").host("gw-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com");
    play.header("Mcp-Session-Id", "mcp-1");
    play.header("Mcp-Protocol-Version", "2025-06-18");
    play.request(&asked.to_string());
    if in_lines {
        play.response(200, &[("Content-Type", "text/event-stream")])
            .answer(&format!("event: message\ndata: {answer}\n\n"));
    } else {
        play.response(200, &[JSON]).answer(&answer.to_string());
    }
    play.call()
}

#[test]
fn a_gateway_is_asked_for_a_tool_by_name() {
    let asked = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "ferries___next", "arguments": {"port": "secret"}}});
    for in_lines in [false, true] {
        let call = gateway(
            &asked,
            &json!({"jsonrpc": "2.0", "id": 3, "result": {"isError": true, "content": []}}),
            in_lines,
        );
        assert_eq!(call.route.operation, Operation::InvokeGateway);
        let tool = call.agent.tool.expect("a tool");
        assert_eq!(
            (tool.name.as_deref(), tool.failed),
            (Some("ferries___next"), true)
        );
        let mcp = call.agent.mcp.expect("a message");
        assert_eq!(mcp.method.as_deref(), Some("tools/call"));
        assert_eq!(mcp.id.as_deref(), Some("3"));
        assert_eq!(mcp.session.as_deref(), Some("mcp-1"));
        assert_eq!(mcp.version.as_deref(), Some("2025-06-18"));
        assert_eq!(call.streaming, in_lines);
    }
    let call = gateway(
        &asked,
        &json!({"jsonrpc": "2.0", "id": 3, "error": {"code": -32602, "message": "Unknown tool"}}),
        false,
    );
    let failure = call.failure.expect("the server refused");
    assert_eq!(
        (failure.code.as_str(), failure.message.as_deref()),
        ("-32602", Some("Unknown tool"))
    );
    let call = gateway(
        &asked,
        &json!({"jsonrpc": "2.0", "id": 3, "result": {"content": []}, "error": null}),
        false,
    );
    assert_eq!(call.failure, None);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let call = gateway(
        &list,
        &json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}),
        false,
    );
    assert_eq!(call.agent.tool, None);
}

#[test]
fn a_hosted_agent_is_asked_in_its_own_words() {
    let path = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fclerk-1/invocations?qualifier=DEFAULT";
    let mut play = play(path);
    play.header("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "user-7");
    play.request("prompt=secret")
        .response(200, &[("Content-Type", "text/event-stream")])
        .answer("data: \"secret\"\n\ndata: not JSON\n\n");
    let call = play.call();
    assert_eq!(
        call.route.resource.agent.as_deref(),
        Some("arn:aws:bedrock-agentcore:us-east-1:1:runtime/clerk-1")
    );
    assert_eq!(call.route.resource.alias.as_deref(), Some("DEFAULT"));
    assert_eq!(call.agent.user.as_deref(), Some("user-7"));
    assert!(call.timings.first_chunk.is_some());
    assert!(!call.gaps.request_unreadable && !call.gaps.response_unreadable && !call.gaps.no_stop_event);
    assert_eq!(call.failure, None);
}

#[test]
fn agentcores_errors_keep_their_names() {
    for (status, kind) in [
        (402, "ServiceQuotaExceededException"),
        (409, "RetryableConflictException"),
        (424, "RuntimeClientError"),
        (429, "ThrottledException"),
    ] {
        let mut play = play("/runtimes/arn%3Aaws/invocations");
        play.request("{}")
            .response(status, &[JSON, ("x-amzn-ErrorType", kind)])
            .answer(r#"{"message": "no"}"#);
        let failure = play.call().failure.expect("it failed");
        assert_eq!(
            (failure.code.as_str(), failure.message.as_deref()),
            (kind, Some("no"))
        );
    }
}
