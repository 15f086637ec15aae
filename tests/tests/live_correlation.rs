//! What belongs together, under live probes: attempts of real SDKs as one span, and the loop of an agent that nobody
//! instrumented.

use anyhow::{Context, Result, ensure};
use tracer_tests::calls::{CLAUDE, Call, GPT_OSS};
use tracer_tests::client::Kind;
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::{Answer, Failure, Scenario};
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness;
use tracer_tests::program::DEADLINE;
use tracer_tests::span::{ERROR, Span};

/// How many attempts come before the answer, and how many there are at most.
const FAILURES: u32 = 2;

/// Every attempt of a call has its event on one span, which says what was served; so does the recording.
fn prove_retries(kind: Kind, operation: Operation, model: &str, failure: Failure) -> Result<()> {
    let scenario = Scenario {
        fail: Some(failure),
        failures: FAILURES,
        ..Scenario::default()
    };
    let fake = FakeBedrock::start(&Options::http2())?;
    let call = Call::new(operation, model, &scenario);
    let (seen, recording) = harness::record(kind, &fake, |client| client.make(&[call], 1))?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{kind:?}: {seen:?}");
    let served = fake.log().wait_for(FAILURES as usize + 1, DEADLINE);
    recording.proves(&served).with_context(|| format!("{kind:?}"))?;
    ensure!(
        recording.spans.len() == 1,
        "{kind:?}: {} spans for one call",
        recording.spans.len()
    );
    Ok(())
}

#[test]
fn awss_sdk_for_python_tries_again_on_the_same_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove_retries(
        Kind::Boto3,
        Operation::ConverseStream,
        CLAUDE,
        Failure::Throttling,
    )
}

#[test]
fn awss_sdk_for_javascript_tries_again_on_another_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove_retries(
        Kind::JavaScriptSdk,
        Operation::Converse,
        CLAUDE,
        Failure::Unavailable,
    )
}

#[test]
fn anthropics_sdk_tries_again_and_names_nothing() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove_retries(
        Kind::AnthropicPython,
        Operation::InvokeModel,
        CLAUDE,
        Failure::Throttling,
    )
}

#[test]
fn openais_sdk_tries_again_and_names_nothing() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove_retries(
        Kind::OpenAiPython,
        Operation::ChatCompletions,
        GPT_OSS,
        Failure::Throttling,
    )
}

#[test]
fn awss_sdk_for_rust_tries_again_on_a_shared_connection() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let kind = Kind::RustSdk { stripped: false };
    prove_retries(kind, Operation::Converse, CLAUDE, Failure::Throttling)
}

#[test]
fn an_sdk_that_gives_up_leaves_one_failed_span() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let scenario = Scenario {
        fail: Some(Failure::Throttling),
        failures: u32::MAX,
        ..Scenario::default()
    };
    let fake = FakeBedrock::start(&Options::default())?;
    let call = Call::new(Operation::Converse, CLAUDE, &scenario);
    let (seen, recording) = harness::record(Kind::Boto3, &fake, |client| client.make(&[call], 1))?;
    ensure!(seen.iter().all(|seen| seen.error.is_some()), "{seen:?}");
    let served = fake.log().wait_for(4, DEADLINE);
    recording.proves(&served)?;
    let [span] = recording.spans.as_slice() else {
        anyhow::bail!("{} spans for one call", recording.spans.len());
    };
    assert_eq!((span.status, span.events.len()), (ERROR, 4));
    Ok(())
}

#[test]
fn an_agent_shows_its_loop_where_that_is_asked_for() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let options = ["--tool-loop"];
    let tool = Scenario {
        answer: Answer::Tool,
        ..Scenario::default()
    };
    let fake = FakeBedrock::start(&Options::default())?;
    let calls = [Operation::Converse, Operation::ConverseStream]
        .map(|operation| Call::new(operation, CLAUDE, &tool).with_tools());
    let (seen, recording) =
        harness::record_with(&options, Kind::Strands, &fake, |client| client.make(&calls, 1))?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    fake.log().wait_for(2 * calls.len(), DEADLINE);

    let roots: Vec<&Span> = recording
        .spans
        .iter()
        .filter(|span| span.name == "invoke_agent")
        .collect();
    assert_eq!(roots.len(), calls.len(), "one loop for each question");
    for root in roots {
        assert!(root.parent_span_id.is_empty());
        let mut children: Vec<&Span> = recording
            .spans
            .iter()
            .filter(|span| span.parent_span_id == root.span_id && span.trace_id == root.trace_id)
            .collect();
        children.sort_by_key(|span| span.start);
        let names: Vec<&str> = children
            .iter()
            .map(|span| span.name.split(' ').next().unwrap_or_default())
            .collect();
        assert_eq!(names, ["chat", "execute_tool", "chat"]);
        assert_eq!(children[1].text("gen_ai.tool.name"), Some("get_weather"));
        assert!(root.start <= children[0].start && children[2].end <= root.end);
        assert!(children[0].end <= children[1].start && children[1].end <= children[2].start);
    }
    assert_eq!(recording.spans.len(), 4 * calls.len());
    recording.replay_with_equals_live(&options)
}
