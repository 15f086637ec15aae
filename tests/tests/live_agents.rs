//! Hosted agents, knowledge bases and AgentCore under live probes: boto3 calls them, and their spans say what was served.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::client::Kind;
use tracer_tests::environment::can_trace;
use tracer_tests::fake::script::{self, ModelCall};
use tracer_tests::fake::{FakeBedrock, Options, Served};
use tracer_tests::harness::{self, Recording};
use tracer_tests::program::DEADLINE;
use tracer_tests::span::{ERROR, Span};

const RUNTIME: &str = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/quarry-Ab12345678";
const SESSION: &str = "a-session-of-more-than-thirty-three-characters";

/// What boto3 told of each call, what was served, and the recording.
fn traced(calls: &Value) -> Result<(Vec<Value>, Vec<Served>, Recording)> {
    let fake = FakeBedrock::start(&Options::default())?;
    let (told, recording) = harness::record(Kind::Boto3Agents, &fake, |client| client.exchange(calls))?;
    let served = fake.log().wait_for(told.len(), DEADLINE);
    for (told, served) in told.iter().zip(&served) {
        ensure!(
            told["request_id"] == served.request_id.as_str() && served.complete,
            "the client is harmed: {told}, served was {}",
            served.told()
        );
    }
    recording.replay_equals_live()?;
    Ok((told, served, recording))
}

/// The span of an exchange.
fn span_of<'s>(spans: &'s [Span], served: &Served) -> Result<&'s Span> {
    let mut about = spans
        .iter()
        .filter(|span| span.text("aws.request_id") == Some(&served.request_id));
    let span = about
        .next()
        .with_context(|| format!("no span for {}", served.told()))?;
    ensure!(about.next().is_none(), "two spans for {}", served.told());
    ensure!(span.status != ERROR, "{span:?}");
    Ok(span)
}

/// Wants attributes to have these values.
fn says(span: &Span, expected: &Value) -> Result<()> {
    for (key, value) in expected.as_object().context("an object")? {
        let is = span.attributes.get(key).unwrap_or(&Value::Null);
        ensure!(is == value, "{key} is {is}, should be {value}, in {span:#?}");
    }
    Ok(())
}

#[test]
fn an_agent_tells_its_steps_if_it_is_asked_to() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let ask = |traced: bool| {
        json!({"service": "bedrock-agent-runtime", "method": "invoke_agent", "arguments": {
            "agentId": "QUARRY1234", "agentAliasId": "TSTALIASID", "sessionId": "a:b/c",
            "inputText": "What hums?", "enableTrace": traced,
        }})
    };
    let (told, served, recording) = traced(&json!([ask(true), ask(false)]))?;
    ensure!(
        told.iter().all(|told| told["text"]
            .as_str()
            .is_some_and(|text| text.contains(script::ANSWER))),
        "{told:?}"
    );
    let [with, without] = served.as_slice() else {
        panic!("two exchanges, not {served:?}");
    };
    let quiet = span_of(&recording.spans, without)?;
    let agent = span_of(&recording.spans, with)?;
    for span in [quiet, agent] {
        ensure!(span.name.starts_with("invoke_agent"), "{span:?}");
        says(
            span,
            &json!({
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.id": "QUARRY1234",
                "geophone.agent.alias": "TSTALIASID",
                "gen_ai.conversation.id": "a:b/c",
                "rpc.method": "InvokeAgent",
                "http.response.status_code": 200,
            }),
        )?;
    }
    let children = |parent: &Span| -> Vec<&Span> {
        let of_parent = |span: &&Span| span.parent_span_id == parent.span_id;
        recording.spans.iter().filter(of_parent).collect()
    };
    assert_eq!(children(quiet), Vec::<&Span>::new());
    assert_eq!(recording.spans.len(), 2 + script::MODEL_CALLS.len() + 2);
    steps(agent, &children(agent))
}

/// Compares the steps of the agent with the script, one by one.
fn steps(agent: &Span, steps: &[&Span]) -> Result<()> {
    let tokens = |tokens: fn(&ModelCall) -> u64| script::MODEL_CALLS.iter().map(tokens).sum::<u64>();
    says(
        agent,
        &json!({
            "gen_ai.usage.input_tokens": tokens(|call| call.input),
            "gen_ai.usage.output_tokens": tokens(|call| call.output),
            "gen_ai.agent.version": script::AGENT_VERSION,
        }),
    )?;
    let model = |number: usize| {
        let ModelCall {
            input,
            output,
            stop_reason,
        } = script::MODEL_CALLS[number];
        json!({
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": script::MODEL,
            "gen_ai.request.max_tokens": 2048,
            "gen_ai.usage.input_tokens": input,
            "gen_ai.usage.output_tokens": output,
            "gen_ai.response.id": format!("msg_bdrk_{number}"),
            "geophone.response.stop_reasons": [stop_reason],
        })
    };
    let (group, function) = script::TOOL;
    let tool = json!({
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": format!("{group}__{function}"),
    });
    let search = json!({
        "gen_ai.operation.name": "retrieval",
        "aws.bedrock.knowledge_base.id": script::KNOWLEDGE_BASE,
        "geophone.retrieval.document_count": script::DOCUMENTS.len(),
    });
    let expected = [model(0), tool, model(1), search, model(2)];
    ensure!(steps.len() == expected.len(), "{steps:#?}");
    let mut earlier = agent.start;
    for (step, expected) in steps.iter().zip(&expected) {
        says(step, expected)?;
        ensure!(step.trace_id == agent.trace_id, "{step:?}");
        ensure!(
            earlier <= step.start && step.start <= step.end && step.end <= agent.end,
            "a step lies outside the call or before the one that it follows: {step:?}"
        );
        earlier = step.start;
    }
    Ok(())
}

#[test]
fn knowledge_bases() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let model = format!("arn:aws:bedrock:us-east-1::foundation-model/{}", script::MODEL);
    let (told, served, recording) = traced(&json!([
        {"service": "bedrock-agent-runtime", "method": "retrieve", "arguments": {
            "knowledgeBaseId": script::KNOWLEDGE_BASE, "retrievalQuery": {"text": "What hums?"},
        }},
        {"service": "bedrock-agent-runtime", "method": "retrieve_and_generate", "arguments": {
            "input": {"text": "What hums?"},
            "retrieveAndGenerateConfiguration": {
                "type": "KNOWLEDGE_BASE",
                "knowledgeBaseConfiguration": {
                    "knowledgeBaseId": script::KNOWLEDGE_BASE, "modelArn": model,
                },
            },
        }},
    ]))?;
    let texts: Vec<&str> = told.iter().filter_map(|told| told["text"].as_str()).collect();
    ensure!(texts[0].contains(script::DOCUMENTS[0]) && texts[1].contains(script::ANSWER));
    let [found, answered] = served.as_slice() else {
        panic!("two exchanges, not {served:?}");
    };
    says(
        span_of(&recording.spans, found)?,
        &json!({
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": script::KNOWLEDGE_BASE,
            "geophone.retrieval.document_count": script::DOCUMENTS.len(),
            "rpc.method": "Retrieve",
            "http.response.status_code": 200,
        }),
    )?;
    says(
        span_of(&recording.spans, answered)?,
        &json!({
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "gen_ai.data_source.id": script::KNOWLEDGE_BASE,
            "geophone.retrieval.document_count": script::DOCUMENTS.len(),
            "rpc.method": "RetrieveAndGenerate",
            "http.response.status_code": 200,
        }),
    )?;
    assert_eq!(recording.spans.len(), 2);
    Ok(())
}

#[test]
fn agentcore() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let ask = |accept: &str| {
        json!({"service": "bedrock-agentcore", "method": "invoke_agent_runtime", "arguments": {
            "agentRuntimeArn": RUNTIME, "runtimeSessionId": SESSION, "qualifier": "DEFAULT",
            "contentType": "application/json", "accept": accept, "payload": "{\"prompt\": \"What hums?\"}",
        }})
    };
    let run = json!({"service": "bedrock-agentcore", "method": "invoke_code_interpreter", "arguments": {
        "codeInterpreterIdentifier": "aws.codeinterpreter.v1", "sessionId": SESSION, "name": "executeCode",
        "arguments": {"language": "python", "code": "print(42)"},
    }});
    let (told, served, recording) = traced(&json!([ask("application/json"), ask("text/event-stream"), run]))?;
    ensure!(
        told[2]["text"]
            .as_str()
            .is_some_and(|text| text.contains(script::OUTPUT)),
        "{told:?}"
    );
    let spans = served
        .iter()
        .map(|served| span_of(&recording.spans, served))
        .collect::<Result<Vec<_>>>()?;
    for span in &spans[..2] {
        says(
            span,
            &json!({
                "gen_ai.operation.name": "invoke_agent",
                "rpc.method": "InvokeAgentRuntime",
                "gen_ai.conversation.id": SESSION,
                "http.response.status_code": 200,
            }),
        )?;
    }
    assert_eq!(spans[0].attributes.get("gen_ai.request.stream"), None);
    says(spans[1], &json!({"gen_ai.request.stream": true}))?;
    says(
        spans[2],
        &json!({
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "executeCode",
            "gen_ai.conversation.id": SESSION,
            "rpc.method": "InvokeCodeInterpreter",
        }),
    )?;
    assert_eq!(recording.spans.len(), served.len());
    Ok(())
}
