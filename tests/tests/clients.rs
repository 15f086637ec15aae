//! Real clients against the fake, with no tracer between: the clients prove that what the fake says is valid.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tracer_tests::calls::{CLAUDE, Call, NOVA, SONIC, TITAN, TOOL, claude_repertoire, streams};
use tracer_tests::client::{Build, Client, Http, Kind, Provider, Seen};
use tracer_tests::fake::scenario::{Answer, Failure, Framing, Scenario, Stop};
use tracer_tests::fake::{FakeBedrock, Operation, Options, Served, TlsVersions};
use tracer_tests::harness::one_connection;
use tracer_tests::program::DEADLINE;
use tracer_tests::{curl, uv};

/// Every operation with every family and the usual ways to answer.
fn repertoire() -> Vec<Call> {
    let mut calls = Vec::new();
    for operation in Operation::ALL {
        for model in [CLAUDE, NOVA, TITAN] {
            calls.push(Call::new(operation, model, &Scenario::default()));
            let many = Scenario {
                chunks: 40,
                size: 100_000,
                framing: Framing::Chunked,
                ragged: Some(11),
                stop: Some(Stop::MaxTokens),
                ..Scenario::default()
            };
            calls.push(Call::new(operation, model, &many));
        }
        for model in [CLAUDE, NOVA] {
            let tool = Scenario {
                answer: Answer::Tool,
                cache_read: Some(1028),
                cache_write: Some(0),
                ..Scenario::default()
            };
            calls.push(Call::new(operation, model, &tool).with_tools());
        }
    }
    calls
}

fn served_for<'a>(served: &'a [Served], seen: &Seen) -> Result<&'a Served> {
    served
        .iter()
        .find(|served| Some(&served.request_id) == seen.request_id.as_ref())
        .with_context(|| format!("nothing was served for {seen:?}"))
}

fn run_repertoire(kind: Kind, options: &Options) -> Result<()> {
    let fake = FakeBedrock::start(options)?;
    let mut client = Client::start(kind, &fake)?;
    let calls = repertoire();
    let seen = client.make(&calls, 4)?;
    client.finish()?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    assert_eq!(served.len(), calls.len());
    for (call, seen) in calls.iter().zip(&seen) {
        let served = served_for(&served, seen)?;
        assert_eq!(seen.error, None, "{call:?}: {seen:?}");
        assert_eq!(seen.status, Some(200));
        assert_eq!(served.operation, Some(call.operation));
        assert_eq!(served.model, call.model);
        assert_eq!(served.parameters, call.parameters);
        assert!(served.complete, "{served:?}");
        assert_eq!(served.http2, options.http2 && kind.speaks_http2());
        if call.operation.streams() {
            assert_eq!(seen.events, served.frames);
        }
        if call.operation != Operation::InvokeModel {
            assert_eq!(seen.text, served.text);
            assert_eq!(seen.stop_reason, served.stop_reason);
        }
        if let Some(usage) = &seen.usage {
            let served = served.usage.context("usage was served")?;
            assert_eq!(usage["inputTokens"], served.input);
            assert_eq!(usage["totalTokens"].as_u64(), served.total());
        }
        let (tool, _) = served.tool_call.clone().unzip();
        assert_eq!(tool.as_deref(), call.tools.then_some(TOOL));
    }
    Ok(())
}

#[test]
fn boto3_understands_every_answer() -> Result<()> {
    run_repertoire(Kind::Boto3, &Options::default())
}

#[test]
fn aiobotocore_understands_every_answer() -> Result<()> {
    run_repertoire(Kind::Aiobotocore, &Options::default())
}

#[test]
fn node_understands_every_answer_over_tls_1_2() -> Result<()> {
    let options = Options {
        tls: TlsVersions::Tls12,
        ..Options::default()
    };
    run_repertoire(Kind::Node, &options)
}

#[test]
fn javascript_clients_understand_every_answer() -> Result<()> {
    for kind in [Kind::JavaScriptSdk, Kind::NodeFetch, Kind::Bun, Kind::Deno] {
        run_repertoire(kind, &Options::http2()).with_context(|| format!("{kind:?}"))?;
    }
    Ok(())
}

#[test]
fn anthropics_sdk_understands_claude() -> Result<()> {
    let fake = FakeBedrock::start(&Options::http2())?;
    let mut client = Client::start(Kind::AnthropicJavaScript, &fake)?;
    let calls = claude_repertoire();
    let seen = client.make(&calls, 4)?;
    client.finish()?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    for seen in &seen {
        let served = served_for(&served, seen)?;
        assert_eq!(seen.error, None, "{seen:?}");
        match &seen.body {
            Some(body) => assert_eq!(body["content"][0]["text"], served.text),
            None => assert_eq!(seen.text, served.text),
        }
    }
    Ok(())
}

#[test]
fn httpx_understands_every_answer() -> Result<()> {
    run_repertoire(Kind::Httpx, &Options::http2())
}

#[test]
fn rust_clients_understand_every_answer() -> Result<()> {
    for http in [Http::One, Http::Two] {
        for provider in [Provider::Ring, Provider::AwsLc] {
            for build in [Build::Debug, Build::Release, Build::Fat, Build::FatStripped] {
                let kind = Kind::Hyper(provider, build, http);
                run_repertoire(kind, &Options::http2()).with_context(|| format!("{kind:?}"))?;
            }
        }
    }
    for stripped in [false, true] {
        run_repertoire(Kind::RustSdk { stripped }, &Options::http2())?;
    }
    Ok(())
}

#[test]
fn go_understands_every_answer() -> Result<()> {
    for http in [Http::One, Http::Two] {
        for stripped in [false, true] {
            run_repertoire(Kind::Go { stripped, http }, &Options::http2())?;
        }
    }
    Ok(())
}

#[test]
fn a_conversation_goes_both_ways_at_once() -> Result<()> {
    for kind in [Kind::JavaScriptSdk, Kind::RustSdk { stripped: false }] {
        let fake = FakeBedrock::start(&Options::http2())?;
        let mut client = Client::start(kind, &fake)?;
        let call = Call::new(
            Operation::InvokeModelWithBidirectionalStream,
            SONIC,
            &Scenario::default(),
        );
        let seen = client.make(&[call.clone(), call.clone()], 2)?;
        client.finish()?;
        let served = fake.log().wait_for(2, DEADLINE);
        for seen in &seen {
            let served = served_for(&served, seen)?;
            assert_eq!(seen.error, None, "{kind:?}: {seen:?}");
            assert_eq!(seen.text, served.text);
            assert_eq!(seen.text.matches("You said").count(), 3);
            assert_eq!(seen.events, served.frames);
            assert_eq!(seen.stop_reason, served.stop_reason);
            assert_eq!(served.parameters.max_tokens, call.parameters.max_tokens);
            assert!(served.complete && served.error.is_none(), "{served:?}");
        }
    }
    Ok(())
}

#[test]
fn a_hundred_streams_share_a_connection_and_are_under_way_together() -> Result<()> {
    let calls = streams(100);
    for kind in [
        Kind::Httpx,
        Kind::Deno,
        Kind::Hyper(Provider::Ring, Build::Release, Http::Two),
        Kind::Go {
            stripped: false,
            http: Http::Two,
        },
    ] {
        let fake = FakeBedrock::start(&Options::http2())?;
        let mut client = Client::start(kind, &fake)?;
        let seen = client.make(&calls, calls.len())?;
        client.finish()?;
        let served = fake.log().wait_for(calls.len(), DEADLINE);
        for seen in &seen {
            assert_eq!(seen.error, None, "{kind:?}: {seen:?}");
            assert_eq!(seen.text, served_for(&served, seen)?.text);
        }
        one_connection(&served)?;
    }
    Ok(())
}

#[test]
fn a_connection_that_takes_no_more_answers_what_it_has_begun() -> Result<()> {
    let go = Kind::Go {
        stripped: false,
        http: Http::Two,
    };
    for kind in [go, Kind::JavaScriptSdk, Kind::RustSdk { stripped: false }] {
        let fake = FakeBedrock::start(&Options::http2())?;
        let mut client = Client::start(kind, &fake)?;
        let leave = Scenario {
            leave: true,
            trailers: true,
            ..Scenario::default()
        };
        let calls = Operation::ALL.map(|operation| Call::new(operation, CLAUDE, &leave));
        let seen = client.make(&calls, 1)?;
        client.finish()?;
        assert!(seen.iter().all(|seen| seen.error.is_none()), "{kind:?}: {seen:?}");
        let served = fake.log().wait_for(calls.len(), DEADLINE);
        let connections: BTreeSet<u64> = served.iter().map(|served| served.connection).collect();
        // What is sent before the GOAWAY arrives may still be taken.
        assert!(connections.len() > 1, "{kind:?}: {connections:?}");
    }
    Ok(())
}

#[test]
fn a_stream_that_is_reset_takes_no_other_with_it() -> Result<()> {
    let fake = FakeBedrock::start(&Options::http2())?;
    let mut client = Client::start(Kind::Hyper(Provider::Ring, Build::Release, Http::Two), &fake)?;
    let (cut, whole) = (
        Scenario {
            together: 2,
            cut: true,
            ..Scenario::default()
        },
        Scenario {
            together: 2,
            chunks: 20,
            delay_ms: 5,
            ..Scenario::default()
        },
    );
    let calls = [cut, whole].map(|scenario| Call::new(Operation::ConverseStream, NOVA, &scenario));
    let seen = client.make(&calls, 2)?;
    client.finish()?;
    assert!(seen[0].error.is_some(), "{:?}", seen[0]);
    assert_eq!(seen[1].error, None, "{:?}", seen[1]);
    let served = fake.log().wait_for(2, DEADLINE);
    assert_eq!(served[0].connection, served[1].connection);
    Ok(())
}

#[test]
fn http2_needs_no_tls() -> Result<()> {
    let fake = FakeBedrock::start(&Options {
        plain: true,
        ..Options::default()
    })?;
    let directory = tempfile::tempdir()?;
    let body = directory.path().join("body.json");
    let call = Call::new(Operation::Converse, NOVA, &Scenario::default());
    std::fs::write(&body, call.body().to_string())?;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--http2-prior-knowledge"])
        .args(["--header", "content-type: application/json"])
        .args(["--header", "authorization: Bearer key"])
        .arg("--data-binary")
        .arg(format!("@{}", body.display()))
        .arg(format!("{}{}", fake.endpoint(), call.path()))
        .output()?;
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let served = fake.log().wait_for(1, DEADLINE);
    assert!(served[0].http2);
    assert_eq!(answer["output"]["message"]["content"][0]["text"], served[0].text);
    Ok(())
}

/// One call of boto3 with one scenario.
fn boto3_sees(operation: Operation, scenario: &Scenario) -> Result<(Seen, Vec<Served>)> {
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let mut seen = client.make(&[Call::new(operation, CLAUDE, scenario)], 1)?;
    client.finish()?;
    Ok((seen.remove(0), fake.log().wait_for(1, DEADLINE)))
}

#[test]
fn boto3_names_an_error_as_the_fake_meant_it() -> Result<()> {
    for (failure, code, status) in [
        (Failure::Validation, "ValidationException", 400),
        (Failure::AccessDenied, "AccessDeniedException", 403),
        (Failure::ModelError, "ModelErrorException", 424),
    ] {
        let scenario = Scenario {
            fail: Some(failure),
            ..Scenario::default()
        };
        let (seen, served) = boto3_sees(Operation::Converse, &scenario)?;
        assert_eq!(seen.error.as_deref(), Some(code));
        assert_eq!(seen.status, Some(status));
        assert_eq!(served.len(), 1, "not retried");
        assert_eq!(served[0].error.as_deref(), Some(code));
        assert_eq!(seen.message, served[0].error_message);
    }
    Ok(())
}

#[test]
fn boto3_retries_what_may_be_retried() -> Result<()> {
    let scenario = Scenario {
        fail: Some(Failure::Throttling),
        failures: 1,
        ..Scenario::default()
    };
    let (seen, served) = boto3_sees(Operation::Converse, &scenario)?;
    assert_eq!(seen.error, None);
    assert_eq!(seen.attempts, Some(2));
    let told: Vec<_> = served
        .iter()
        .map(|served| (served.attempt, served.status))
        .collect();
    assert_eq!(told, [(1, 429), (2, 200)]);
    assert!(served[0].invocation_id.is_some());
    assert_eq!(served[0].invocation_id, served[1].invocation_id);
    Ok(())
}

#[test]
fn an_exception_in_mid_stream_reaches_the_application() -> Result<()> {
    let scenario = Scenario {
        exception: Some(Failure::Throttling),
        after: 2,
        ..Scenario::default()
    };
    for operation in [
        Operation::ConverseStream,
        Operation::InvokeModelWithResponseStream,
    ] {
        let (seen, served) = boto3_sees(operation, &scenario)?;
        assert_eq!(seen.error.as_deref(), Some("throttlingException"));
        assert_eq!(seen.status, Some(200));
        assert_eq!(served[0].error.as_deref(), Some("ThrottlingException"));
        assert_eq!(seen.text, served[0].text);
        assert_eq!(served[0].usage.and_then(|usage| usage.output), None);
    }
    Ok(())
}

#[test]
fn a_broken_frame_is_noticed() -> Result<()> {
    let scenario = Scenario {
        corrupt: true,
        ..Scenario::default()
    };
    let (seen, _) = boto3_sees(Operation::ConverseStream, &scenario)?;
    assert_eq!(seen.error.as_deref(), Some("ChecksumMismatch"));
    Ok(())
}

#[test]
fn a_stream_that_is_cut_is_noticed() -> Result<()> {
    let scenario = Scenario {
        cut: true,
        ..Scenario::default()
    };
    let (seen, served) = boto3_sees(Operation::ConverseStream, &scenario)?;
    assert!(seen.error.is_some(), "{seen:?}");
    assert_eq!(seen.text, served[0].text, "everything before the cut arrived");
    assert!(!served[0].complete);
    Ok(())
}

#[test]
fn a_client_that_goes_away_leaves_an_incomplete_record() -> Result<()> {
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Boto3, &fake)?;
    let scenario = Scenario {
        chunks: 100,
        delay_ms: 50,
        ..Scenario::default()
    };
    let call = Call::new(Operation::ConverseStream, CLAUDE, &scenario).taking(3);
    let seen = client.make(&[call], 1)?;
    client.finish()?;
    assert_eq!(seen[0].events, 3);
    let served = fake.log().wait_for(1, DEADLINE);
    assert!(!served[0].complete);
    assert_eq!(served[0].usage, None);
    Ok(())
}

#[test]
fn node_unpacks_gzip() -> Result<()> {
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Node, &fake)?;
    let scenario = Scenario {
        gzip: true,
        ..Scenario::default()
    };
    let calls = [Operation::Converse, Operation::ConverseStream]
        .map(|operation| Call::new(operation, NOVA, &scenario));
    let seen = client.make(&calls, 1)?;
    client.finish()?;
    let served = fake.log().wait_for(2, DEADLINE);
    for seen in &seen {
        assert_eq!(seen.error, None, "{seen:?}");
        assert_eq!(seen.text, served_for(&served, seen)?.text);
    }
    Ok(())
}

#[test]
fn nonsense_gets_a_reason() -> Result<()> {
    let fake = FakeBedrock::start(&Options::default())?;
    let mut client = Client::start(Kind::Node, &fake)?;
    let mut call = Call::new(Operation::Converse, "no.such.model", &Scenario::default());
    let unknown = client.make(std::slice::from_ref(&call), 1)?;
    CLAUDE.clone_into(&mut call.model);
    call.parameters.temperature = Some(7.0);
    let hot = client.make(&[call], 1)?;
    client.finish()?;
    for (seen, reason) in [(&unknown[0], "model identifier"), (&hot[0], "temperature")] {
        assert_eq!(seen.status, Some(400));
        assert_eq!(seen.error.as_deref(), Some("ValidationException"));
        let message = seen
            .body
            .as_ref()
            .and_then(|body: &Value| body["message"].as_str());
        assert!(message.is_some_and(|text| text.contains(reason)), "{seen:?}");
    }
    Ok(())
}

#[test]
fn curl_makes_all_calls_at_once_on_one_connection() -> Result<()> {
    let fake = FakeBedrock::start(&Options::http2())?;
    let directory = tempfile::tempdir()?;
    let calls = streams(50);
    let output = curl::command(&fake, &calls, curl::Manner::Http2Parallel, directory.path())?.output()?;
    assert!(output.status.success(), "{output:?}");
    let seen = curl::read(&String::from_utf8_lossy(&output.stdout))?;
    assert_eq!(seen.len(), calls.len());
    assert!(seen.iter().all(|seen| seen.status == 200), "{seen:?}");
    one_connection(&fake.log().wait_for(calls.len(), DEADLINE))
}

#[test]
fn uv_posts_to_the_address_of_a_model() -> Result<()> {
    let fake = FakeBedrock::start(&Options::http2())?;
    let directory = tempfile::tempdir()?;
    let output = uv::publish(&fake, CLAUDE, directory.path())?.output()?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let served = fake.log().wait_for(1, DEADLINE);
    assert_eq!(
        (served[0].operation, served[0].model.as_str(), served[0].status),
        (Some(Operation::InvokeModel), CLAUDE, 403)
    );
    Ok(())
}

#[test]
fn curl_is_served_by_the_name_of_aws() -> Result<()> {
    let fake = FakeBedrock::start(&Options::default())?;
    let directory = tempfile::tempdir()?;
    let calls = [Operation::Converse, Operation::InvokeModelWithResponseStream]
        .map(|operation| Call::new(operation, NOVA, &Scenario::default()));
    let output = curl::command(&fake, &calls, curl::Manner::Http1, directory.path())?.output()?;
    assert!(output.status.success(), "{output:?}");
    let seen = curl::read(&String::from_utf8_lossy(&output.stdout))?;
    let served = fake.log().wait_for(2, DEADLINE);
    assert_eq!(seen.len(), 2);
    for (seen, served) in seen.iter().zip(&served) {
        assert_eq!((seen.status, &seen.request_id), (200, &served.request_id));
        assert_eq!(
            served.host,
            format!("{}:{}", curl::AWS_HOST, fake.address().port())
        );
        assert_eq!(served.connection, 0, "one connection is kept alive");
    }
    Ok(())
}
