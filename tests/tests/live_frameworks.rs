//! Frameworks and SDKs on top of Bedrock under live probes: each span is compared value by value with what was served, and
//! the recording replays to the same spans.

use anyhow::{Result, ensure};
use tracer_tests::calls::{CLAUDE, Call, GPT_OSS, NOVA, claude_repertoire, compatible_repertoire};
use tracer_tests::client::Kind;
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::{Answer, Failure, Scenario};
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{self, prove};
use tracer_tests::program::DEADLINE;

const CONVERSE: [Operation; 2] = [Operation::Converse, Operation::ConverseStream];

/// A plain answer, an uneven one and a tool call, whole and streamed.
fn conversations() -> Vec<Call> {
    let uneven = Scenario {
        chunks: 20,
        size: 20_000,
        ragged: Some(5),
        ..Scenario::default()
    };
    CONVERSE
        .into_iter()
        .flat_map(|operation| {
            [
                Call::new(operation, CLAUDE, &Scenario::default()),
                Call::new(operation, NOVA, &uneven),
                Call::new(operation, CLAUDE, &tool()).with_tools(),
            ]
        })
        .collect()
}

fn tool() -> Scenario {
    Scenario {
        answer: Answer::Tool,
        ..Scenario::default()
    }
}

#[test]
fn litellm() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::LiteLlm, &Options::default(), &conversations(), 1)?;
    Ok(())
}

#[test]
fn langchain() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(Kind::LangChain, &Options::default(), &conversations(), 1)?;
    Ok(())
}

#[test]
fn anthropics_sdk_for_python() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    prove(
        Kind::AnthropicPython,
        &Options::default(),
        &claude_repertoire(),
        1,
    )?;
    Ok(())
}

#[test]
fn anthropics_own_operation() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let calls = compatible_repertoire(Operation::Messages, CLAUDE);
    prove(Kind::AnthropicPython, &Options::default(), &calls, 1)?;
    Ok(())
}

#[test]
fn openais_sdk_for_python() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let calls = compatible_repertoire(Operation::ChatCompletions, GPT_OSS);
    prove(Kind::OpenAiPython, &Options::default(), &calls, 1)?;
    Ok(())
}

#[test]
fn an_agent_of_strands_calls_until_its_tools_have_answered() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let fake = FakeBedrock::start(&Options::default())?;
    let calls = CONVERSE.map(|operation| Call::new(operation, CLAUDE, &tool()).with_tools());
    let (seen, recording) = harness::record(Kind::Strands, &fake, |client| client.make(&calls, 1))?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    // The model asks for the tool, the agent runs it and sends what it gave, the model is done.
    let served = fake.log().wait_for(2 * calls.len(), DEADLINE);
    let reasons: Vec<_> = served
        .iter()
        .map(|served| served.stop_reason.as_deref())
        .collect();
    assert_eq!(reasons, [Some("tool_use"), Some("end_turn")].repeat(2));
    recording.proves(&served)
}

#[test]
fn langchain_tries_again() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let scenario = Scenario {
        fail: Some(Failure::Throttling),
        failures: 1,
        ..Scenario::default()
    };
    let fake = FakeBedrock::start(&Options::default())?;
    let call = Call::new(Operation::Converse, CLAUDE, &scenario);
    let (seen, recording) = harness::record(Kind::LangChain, &fake, |client| client.make(&[call], 1))?;
    ensure!(seen.iter().all(|seen| seen.error.is_none()), "{seen:?}");
    recording.proves(&fake.log().wait_for(2, DEADLINE))
}
