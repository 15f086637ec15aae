//! The comparison itself: it finds what is wrong, and nothing else.

use super::*;
use crate::fake::Parameters;
use crate::span::Event;

fn served() -> Served {
    Served {
        request_id: "request".to_owned(),
        connection: 0,
        http2: false,
        path: "/model/amazon.nova-lite-v1%3A0/converse-stream".to_owned(),
        operation: Some(Operation::ConverseStream),
        model: "amazon.nova-lite-v1:0".to_owned(),
        streamed: true,
        host: "localhost:4443".to_owned(),
        region: Some("eu-west-1".to_owned()),
        attempt: 2,
        invocation_id: Some("invocation".to_owned()),
        counted_request: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        amzn_trace_id: None,
        parameters: Parameters {
            max_tokens: Some(7),
            ..Parameters::default()
        },
        request_bytes: 1,
        status: 200,
        error: None,
        error_message: None,
        usage: Some(Usage {
            input: 10,
            output: Some(3),
            cache_read: Some(100),
            cache_write: Some(0),
        }),
        latency_ms: Some(250),
        stop_reason: Some("end_turn".to_owned()),
        response_id: None,
        response_model: None,
        text: "text".to_owned(),
        tool_call: None,
        frames: 4,
        complete: true,
        received_unix_ns: 1_000_000_000,
        first_content_unix_ns: Some(1_100_000_000),
        ended_unix_ns: 1_200_000_000,
    }
}

/// The attempt before.
fn refused() -> Served {
    Served {
        request_id: "refused".to_owned(),
        attempt: 1,
        status: 429,
        error: Some("ThrottlingException".to_owned()),
        ..served()
    }
}

/// The span that is right, written out by hand.
fn span() -> Span {
    let attributes = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "amazon.nova-lite-v1:0",
        "geophone.model.kind": "foundation_model",
        "geophone.model.base": "amazon.nova-lite-v1:0",
        "gen_ai.request.stream": true,
        "gen_ai.request.max_tokens": 7,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.1,
        "gen_ai.usage.input_tokens": 110,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.total_tokens": 113,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "aws.request_id": "request",
        "cloud.region": "eu-west-1",
        "server.address": "localhost",
        "server.port": 4443,
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
        "rpc.system": "aws-api",
        "rpc.service": "Bedrock Runtime",
        "rpc.method": "ConverseStream",
        "thread.id": 1234,
        "geophone.response.stop_reasons": ["end_turn"],
        "geophone.server.duration": 0.25,
        "llm.cost.usd": 2.82e-6,
        "geophone.sdk.invocation_id": "invocation",
        "geophone.attempts.throttled": 1,
        "geophone.attempts.backoff": 0.05,
    });
    let attempts = [
        json!({
            "http.request.resend_count": 0,
            "http.response.status_code": 429,
            "error.type": "ThrottlingException",
            "aws.request_id": "refused",
            "geophone.attempt.duration": 0.01,
        }),
        json!({
            "http.request.resend_count": 1,
            "http.response.status_code": 200,
            "aws.request_id": "request",
            "geophone.attempt.duration": 0.14,
            "geophone.attempt.delay": 0.05,
        }),
    ];
    Span {
        resource: Attributes::new(),
        scope: "geophone".to_owned(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        span_id: "0123456789abcdef".to_owned(),
        parent_span_id: "00f067aa0ba902b7".to_owned(),
        name: "chat amazon.nova-lite-v1:0".to_owned(),
        kind: CLIENT,
        start: 1_000_000_000,
        end: 1_200_000_000,
        attributes: serde_json::from_value(attributes).expect("an object"),
        events: attempts
            .into_iter()
            .map(|attributes| Event {
                name: ATTEMPT.to_owned(),
                time: 1_000_000_000,
                attributes: serde_json::from_value(attributes).expect("an object"),
            })
            .collect(),
        status: 0,
        message: String::new(),
    }
}

#[test]
fn the_right_span_is_found_right() {
    assert_eq!(findings(&span(), &[&refused()], &served()), Vec::<String>::new());
}

#[test]
fn every_attribute_is_missed_when_it_is_wrong_or_gone() {
    for key in span().attributes.keys() {
        let mut gone = span();
        gone.attributes.remove(key);
        assert_eq!(
            findings(&gone, &[&refused()], &served()).len(),
            1,
            "{key} is gone"
        );
        let mut wrong = span();
        wrong.attributes.insert(key.clone(), json!("wrong"));
        assert_eq!(
            findings(&wrong, &[&refused()], &served()).len(),
            1,
            "{key} is wrong"
        );
    }
}

#[test]
fn what_nothing_explains_is_told() {
    let mut span = span();
    span.attributes
        .insert("gen_ai.response.id".to_owned(), json!("made up"));
    assert_eq!(findings(&span, &[&refused()], &served()).len(), 1);
}

#[test]
fn name_status_parent_and_times_are_looked_at() {
    type Spoil = fn(&mut Span);
    let spoilt: [Spoil; 8] = [
        |span| span.name.push('x'),
        |span| span.kind = 1,
        |span| span.status = ERROR,
        |span| span.parent_span_id.clear(),
        |span| span.start = 0,
        |span| span.end += 10 * SLACK_NS,
        |span| {
            span.events[0].attributes.remove("error.type");
        },
        |span| {
            span.events[1].attributes.remove("geophone.attempt.delay");
        },
    ];
    let slow = Served {
        received_unix_ns: 100_000_000_000,
        ended_unix_ns: 100_200_000_000,
        ..served()
    };
    let first = Served {
        received_unix_ns: slow.received_unix_ns,
        ..refused()
    };
    for (index, spoil) in spoilt.into_iter().enumerate() {
        let mut span = span();
        (span.start, span.end) = (slow.received_unix_ns, slow.ended_unix_ns);
        spoil(&mut span);
        assert_eq!(findings(&span, &[&first], &slow).len(), 1, "spoilt {index}");
    }
}
