//! Answers that go wrong, under live probes: refusals, retries, streams that fail, break, are cut or are given up.

use anyhow::{Context, Result};
use tracer_tests::calls::{CLAUDE, Call, NOVA, TITAN};
use tracer_tests::client::{Kind, Seen};
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::{Failure, Scenario};
use tracer_tests::fake::{FakeBedrock, Operation, Options, Served};
use tracer_tests::harness::{self, Recording};
use tracer_tests::program::DEADLINE;
use tracer_tests::span::ERROR;

/// Stands for what nobody but the caller and the model may read.
const CANARY: &str = "canary-in-the-prompt";

const STREAMS: [Operation; 2] = [
    Operation::ConverseStream,
    Operation::InvokeModelWithResponseStream,
];

fn traced(kind: Kind, calls: &[Call], responses: usize) -> Result<(Vec<Seen>, Vec<Served>, Recording)> {
    let fake = FakeBedrock::start(&Options::default())?;
    let (seen, recording) = harness::record(kind, &fake, |client| client.make(calls, 1))?;
    Ok((seen, fake.log().wait_for(responses, DEADLINE), recording))
}

#[test]
fn every_refusal_is_a_failed_span_with_its_type() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut calls = Vec::new();
    for failure in [
        Failure::Validation,
        Failure::AccessDenied,
        Failure::ResourceNotFound,
        Failure::ModelTimeout,
        Failure::ModelError,
        Failure::Throttling,
        Failure::Internal,
        Failure::Unavailable,
    ] {
        let scenario = Scenario {
            fail: Some(failure),
            ..Scenario::default()
        };
        for (operation, model) in Operation::ALL.into_iter().zip([CLAUDE, NOVA, TITAN, CLAUDE]) {
            calls.push(Call::new(operation, model, &scenario));
        }
    }
    // node does not retry: as many responses as calls.
    let (_, served, recording) = traced(Kind::Node, &calls, calls.len())?;
    recording.proves(&served)
}

#[test]
fn an_attempt_that_is_throttled_and_the_one_that_succeeds() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let calls: Vec<Call> = [Failure::Throttling, Failure::Unavailable]
        .into_iter()
        .map(|failure| {
            let scenario = Scenario {
                fail: Some(failure),
                failures: 1,
                ..Scenario::default()
            };
            Call::new(Operation::Converse, CLAUDE, &scenario)
        })
        .collect();
    let (seen, served, recording) = traced(Kind::Boto3, &calls, 4)?;
    assert!(
        seen.iter()
            .all(|seen| seen.error.is_none() && seen.attempts == Some(2))
    );
    recording.proves(&served)
}

#[test]
fn an_exception_in_the_middle_of_a_stream() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut calls = Vec::new();
    for failure in [
        Failure::Throttling,
        Failure::Validation,
        Failure::ModelError,
        Failure::Internal,
        Failure::Unavailable,
    ] {
        let scenario = Scenario {
            exception: Some(failure),
            after: 2,
            ..Scenario::default()
        };
        calls.extend(STREAMS.map(|operation| Call::new(operation, NOVA, &scenario)));
    }
    let (seen, served, recording) = traced(Kind::Boto3, &calls, calls.len())?;
    assert!(
        seen.iter()
            .all(|seen| seen.status == Some(200) && seen.error.is_some())
    );
    recording.proves(&served)
}

#[test]
fn a_broken_frame_costs_that_frame_alone() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let scenario = Scenario {
        corrupt: true,
        chunks: 6,
        after: 3,
        ..Scenario::default()
    };
    // node does not check checksums and reads on: everything passes the probes.
    let calls = STREAMS.map(|operation| Call::new(operation, CLAUDE, &scenario));
    let (_, served, recording) = traced(Kind::Node, &calls, calls.len())?;
    assert_eq!(recording.spans.len(), 2);
    for served in &served {
        let span = recording
            .spans
            .iter()
            .find(|span| span.text("aws.request_id") == Some(&served.request_id))
            .context("no span")?;
        let usage = served.usage.context("usage was served")?;
        assert_eq!(
            span.attributes["gen_ai.usage.output_tokens"].as_u64(),
            usage.output
        );
        assert_eq!(
            span.attributes["gen_ai.response.finish_reasons"],
            serde_json::json!(["stop"])
        );
    }
    recording.replay_equals_live()
}

#[test]
fn a_stream_that_the_server_cuts() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let scenario = Scenario {
        cut: true,
        after: 2,
        ..Scenario::default()
    };
    let calls = STREAMS.map(|operation| Call::new(operation, CLAUDE, &scenario));
    let (_, served, recording) = traced(Kind::Boto3, &calls, calls.len())?;
    recording.proves(&served)
}

#[test]
fn a_stream_that_the_client_gives_up() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let scenario = Scenario {
        chunks: 200,
        delay_ms: 20,
        ..Scenario::default()
    };
    for kind in [Kind::Boto3, Kind::Node] {
        let call = Call::new(Operation::ConverseStream, CLAUDE, &scenario).taking(4);
        let (seen, served, recording) = traced(kind, &[call], 1)?;
        assert_eq!(seen[0].events, 4, "{seen:?}");
        assert!(!served[0].complete);
        let [span] = recording.spans.as_slice() else {
            panic!("one span, not {:?}", recording.spans);
        };
        assert_eq!(span.text("aws.request_id"), Some(served[0].request_id.as_str()));
        assert_eq!(
            span.attributes["gen_ai.response.finish_reasons"],
            serde_json::json!(["error"])
        );
        assert!(!span.attributes.contains_key("gen_ai.usage.output_tokens"));
        assert!(
            span.attributes
                .contains_key("gen_ai.response.time_to_first_chunk")
        );
        assert_ne!(
            span.status, ERROR,
            "leaving is not a failure of the service: {span:?}"
        );
        recording.replay_equals_live()?;
    }
    Ok(())
}

#[test]
fn the_first_chunk_is_timed_by_its_arrival() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let scenario = Scenario {
        first_ms: 400,
        delay_ms: 100,
        chunks: 5,
        ..Scenario::default()
    };
    let calls = STREAMS.map(|operation| Call::new(operation, NOVA, &scenario));
    let (_, served, recording) = traced(Kind::Boto3, &calls, calls.len())?;
    recording.proves(&served)?;
    for span in &recording.spans {
        let first = span.attributes["gen_ai.response.time_to_first_chunk"]
            .as_f64()
            .context("a number")?;
        assert!(
            first >= 0.35,
            "the head alone took 0.4 s, the first chunk came after {first} s"
        );
        let rest_ns = 300_000_000;
        assert!(span.end - span.start >= 400_000_000 + rest_ns, "{span:?}");
    }
    Ok(())
}

#[test]
fn neither_content_nor_credentials_leave() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let mut calls = Vec::new();
    for operation in Operation::ALL {
        for model in [CLAUDE, NOVA, TITAN] {
            let mut call = Call::new(operation, model, &Scenario::default());
            call.prompt.push_str(CANARY);
            calls.push(call);
        }
    }
    for (kind, secrets) in [
        (Kind::Boto3, ["Signature=", "YSBzZXNzaW9uIHRva2Vu"]),
        (Kind::Node, ["that-nobody-may-store", "bedrock-api-key"]),
    ] {
        let (_, served, recording) = traced(kind, &calls, calls.len())?;
        recording.proves(&served)?;
        let capture = String::from_utf8_lossy(&std::fs::read(recording.capture())?).into_owned();
        assert!(capture.contains(CANARY), "a recording holds the plaintext");
        let signature = capture.match_indices(secrets[0]).any(|(at, secret)| {
            capture[at + secret.len()..].starts_with(|next: char| next.is_ascii_hexdigit())
        });
        assert!(!signature, "a signature is in the file");
        assert!(!capture.contains(secrets[1]), "{} is in the file", secrets[1]);
        let told = format!("{:?}{}", recording.spans, recording.stderr);
        for forbidden in [CANARY, "Granite", "geologist", secrets[1]] {
            assert!(
                !told.contains(forbidden),
                "{forbidden} is in the spans or the log"
            );
        }
    }
    Ok(())
}
