//! Everything behind the probes, proved without a kernel: the fake taps its own plaintext, which becomes a recording, and
//! `geophone replay` must say of it what was served.

mod tapped;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tracer_tests::calls::{CLAUDE, Call, NOVA, TITAN, TOOL};
use tracer_tests::client::Kind;
use tracer_tests::fake::scenario::{Answer, Failure, Framing, Scenario, Stop};
use tracer_tests::fake::{Operation, Options};
use tracer_tests::harness::{match_spans, replay, replay_with};

fn replay_tells_what_was_served(kind: Kind, calls: &[Call]) -> Result<()> {
    let recording = tapped::record(kind, calls, 4, &Options::default())?;
    let (spans, said) = replay(&recording.file())?;
    match_spans(&spans, &recording.served).with_context(|| format!("replay said:\n{said}"))
}

fn answers() -> Vec<Scenario> {
    let plain = Scenario::default();
    vec![
        plain.clone(),
        Scenario {
            chunks: 40,
            size: 90_000,
            framing: Framing::Chunked,
            ragged: Some(5),
            stop: Some(Stop::MaxTokens),
            ..plain.clone()
        },
        Scenario {
            cache_read: Some(500),
            cache_write: Some(0),
            stop: Some(Stop::StopSequence),
            ..plain.clone()
        },
        Scenario {
            stop: Some(Stop::ContentFiltered),
            ..plain.clone()
        },
        Scenario {
            fail: Some(Failure::Validation),
            ..plain
        },
    ]
}

#[test]
fn every_answer_of_every_family() -> Result<()> {
    let mut calls = Vec::new();
    for scenario in answers() {
        for operation in Operation::ALL {
            calls.extend([CLAUDE, NOVA, TITAN].map(|model| Call::new(operation, model, &scenario)));
        }
    }
    let tool = Scenario {
        answer: Answer::Tool,
        ..Scenario::default()
    };
    for operation in Operation::ALL {
        calls.extend([CLAUDE, NOVA].map(|model| Call::new(operation, model, &tool).with_tools()));
    }
    for kind in [Kind::Boto3, Kind::Aiobotocore, Kind::Node] {
        replay_tells_what_was_served(kind, &calls).with_context(|| format!("{kind:?}"))?;
    }
    Ok(())
}

#[test]
fn compressed_answers_and_remote_parents() -> Result<()> {
    let compressed = Scenario {
        gzip: true,
        ragged: Some(9),
        ..Scenario::default()
    };
    let calls: Vec<Call> = Operation::ALL
        .into_iter()
        .flat_map(|operation| {
            let call = Call::new(operation, CLAUDE, &compressed);
            [
                call.clone().with_header(
                    "traceparent",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                ),
                call.with_header(
                    "X-Amzn-Trace-Id",
                    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                ),
            ]
        })
        .collect();
    replay_tells_what_was_served(Kind::Node, &calls)
}

#[test]
fn streams_that_fail_or_are_cut() -> Result<()> {
    let mut calls = Vec::new();
    for operation in [
        Operation::ConverseStream,
        Operation::InvokeModelWithResponseStream,
    ] {
        for failure in [
            Failure::Throttling,
            Failure::Validation,
            Failure::ModelError,
            Failure::Internal,
            Failure::Unavailable,
        ] {
            let failing = Scenario {
                exception: Some(failure),
                after: 2,
                ..Scenario::default()
            };
            calls.push(Call::new(operation, NOVA, &failing));
        }
        let cut = Scenario {
            cut: true,
            after: 2,
            ..Scenario::default()
        };
        calls.push(Call::new(operation, CLAUDE, &cut));
    }
    replay_tells_what_was_served(Kind::Boto3, &calls)
}

#[test]
fn content_is_what_was_said_and_only_when_asked_for() -> Result<()> {
    const CANARY: &str = "canary-in-the-prompt";
    let tool = Scenario {
        answer: Answer::Tool,
        chunks: 5,
        ragged: Some(2),
        ..Scenario::default()
    };
    let mut calls = Vec::new();
    for operation in Operation::ALL {
        calls.extend([CLAUDE, NOVA].map(|model| Call::new(operation, model, &tool).with_tools()));
        calls.push(Call::new(operation, TITAN, &Scenario::default()));
    }
    for call in &mut calls {
        call.prompt.push_str(CANARY);
    }
    let recording = tapped::record(Kind::Boto3, &calls, 4, &Options::default())?;
    let (without, _) = replay(&recording.file())?;
    let told = format!("{without:?}");
    for word in [CANARY, "geologist", "Granite", "Zürich"] {
        assert!(
            !told.contains(word),
            "{word} is told though nobody asked for content"
        );
    }

    let (with, _) = replay_with(&recording.file(), &["--content"])?;
    assert_eq!(with.len(), recording.served.len());
    for served in &recording.served {
        let span = with
            .iter()
            .find(|span| span.text("aws.request_id") == Some(&served.request_id))
            .context("no span")?;
        let messages = |key: &str| -> Result<Value> {
            let text = span.text(key).with_context(|| format!("no {key}: {span:?}"))?;
            Ok(serde_json::from_str(text)?)
        };
        let input = messages("gen_ai.input.messages")?;
        assert_eq!(input[0]["role"], "user");
        assert_eq!(input[0]["parts"][0]["type"], "text");
        let prompt = input[0]["parts"][0]["content"].as_str().context("a prompt")?;
        assert!(
            prompt.starts_with("What hums below?") && prompt.ends_with(CANARY),
            "{prompt}"
        );

        let output = messages("gen_ai.output.messages")?;
        assert_eq!(output[0]["role"], "assistant");
        let mut parts = vec![json!({"type": "text", "content": served.text})];
        if let Some((name, id)) = &served.tool_call {
            let arguments = json!({"city": "Zürich", "days": 3});
            parts.push(json!({"type": "tool_call", "id": id, "name": name, "arguments": arguments}));
            let tools = messages("gen_ai.tool.definitions")?;
            assert_eq!(tools[0]["name"], TOOL);
        }
        assert_eq!(output[0]["parts"], Value::from(parts), "{span:?}");
    }

    let (redacted, _) = replay_with(
        &recording.file(),
        &[
            "--content=both",
            "--redact-pattern",
            CANARY,
            "--redact-path",
            "$..city",
        ],
    )?;
    let told = format!("{redacted:?}");
    assert!(!told.contains(CANARY) && !told.contains("Zürich"), "{told}");
    assert!(told.contains("[redacted:pattern]") && told.contains("[redacted:path]"));
    Ok(())
}
