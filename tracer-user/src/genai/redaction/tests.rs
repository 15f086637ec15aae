//! What is taken out, and what is left.

use std::sync::Arc;

use serde_json::json;

use super::{Hits, Redaction};
use crate::bedrock::call::Origin;
use crate::bedrock::content::{Budget, Content, MAX_SAID, Message, Part};
use crate::bedrock::json::Json;
use crate::bedrock::tests::{CONNECTION, Play};
use crate::event::{Host, Process};
use crate::genai::span::{Span, SpanStatus, Value};
use crate::genai::tool_loop::Loop;
use crate::genai::{Capture, Options, Spans, semconv, span_of};

fn with(names: &[&str]) -> Redaction {
    let mut redaction = Redaction::default();
    for name in names {
        redaction.add_builtin(name).expect("a name that exists");
    }
    redaction
}

fn redacted(redaction: &Redaction, text: &str) -> String {
    let mut text = text.to_owned();
    redaction.text(&mut text, &mut Hits::new());
    text
}

#[test]
fn what_has_a_known_form_is_taken_out() {
    let all = with(&["all"]);
    for (text, expected) in [
        (
            "Write to ann.lee+x@mail.example.org.",
            "Write to [redacted:email].",
        ),
        (
            "card 4111 1111 1111 1111, please",
            "card [redacted:credit-card], please",
        ),
        ("378282246310005", "[redacted:credit-card]"),
        (
            "key AKIAIOSFODNN7EXAMPLE end",
            "key [redacted:aws-access-key-id] end",
        ),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "aws_secret_access_key = [redacted:aws-secret-access-key]",
        ),
        ("GB82 WEST 1234 5698 7654 32", "[redacted:iban]"),
        ("from 192.168.0.254:80", "from [redacted:ipv4]:80"),
        ("call +44 20 7946 0958 now", "call [redacted:phone] now"),
        ("ssn 078-05-1120", "ssn [redacted:us-ssn]"),
        (
            "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl",
            "Bearer [redacted:jwt]",
        ),
        ("ghp_0123456789abcdefghijklmnopqrstuvwxyz", "[redacted:api-key]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- ok",
            "[redacted:private-key] ok",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted:private-key]"),
    ] {
        assert_eq!(redacted(&all, text), expected);
    }
}

#[test]
fn what_only_looks_alike_is_left() {
    let all = with(&["all"]);
    for text in [
        "order 4111 1111 1111 1112",
        "GB82 WEST 1234 5698 7654 33",
        "000-12-3456 and 123-00-4567",
        "version 1.2.3 of 300.1.1.1x",
        "tokens 123456789012345678901234567890",
        "2024-11-21T07:00:00Z",
        "SHA 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    ] {
        assert_eq!(redacted(&all, text), text);
    }
}

#[test]
fn values_are_looked_through_with_their_names_and_numbers() {
    let mut value = json!({"ann@example.org": {"card": 4_111_111_111_111_111_u64, "left": [1, true, null]}});
    let mut hits = Hits::new();
    with(&["email", "credit-card"]).value(&mut value, &mut hits);
    assert_eq!(
        value,
        json!({"[redacted:email]": {"card": "[redacted:credit-card]", "left": [1, true, null]}})
    );
    assert_eq!(hits.into_iter().collect::<Vec<_>>(), ["credit-card", "email"]);
}

#[test]
fn a_group_called_redact_is_taken_out_alone() {
    let mut redaction = Redaction::default();
    redaction
        .add_pattern("customer", r"customer (?P<redact>\d+)")
        .expect("a valid pattern");
    assert_eq!(
        redacted(&redaction, "customer 12 and customer 345"),
        "customer [redacted:customer] and customer [redacted:customer]"
    );
}

#[test]
fn why_a_loop_or_a_job_failed_is_looked_through_as_well() {
    let options = Options {
        redaction: Arc::new(with(&["email"])),
        ..Options::default()
    };
    let call = Play::new(
        "GET",
        "/async-invoke/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aasync-invoke%2Fj1",
    )
    .request("")
    .response(200, &[])
    .answer(r#"{"status": "Failed", "failureMessage": "ann@example.org may not write there."}"#)
    .call();
    let mut spans = Spans::new(options);
    let whole = Loop {
        origin: Origin {
            connection: call.connection,
            exchange: call.exchange,
            trace: call.trace.clone(),
        },
        process: CONNECTION.process,
        session: None,
        start: call.timings.request,
        end: call.timings.end,
        calls: 2,
        tools: 1,
        failed: Some(("AccessDeniedException".into(), "ann@example.org may not.".into())),
        answered: false,
    };
    assert_eq!(
        spans.of_loop(&whole).status,
        SpanStatus::Error {
            description: "[redacted:email] may not.".into()
        }
    );
    let job = spans.spans(&call).remove(0);
    let failure = job
        .attributes
        .iter()
        .find(|attribute| attribute.key == semconv::JOB_FAILURE);
    assert_eq!(
        failure.map(|attribute| &attribute.value),
        Some(&Value::String("[redacted:email] may not write there.".into()))
    );
}

#[test]
fn half_a_secret_before_a_cut_is_not_told() {
    let mut asked = Budget::default();
    assert!(asked.take(MAX_SAID - 300));
    let secret = format!("{} ann@example.org", "a ".repeat(140));
    let text = asked.text(Some(Json::new(&format!("\"{secret}\""))));
    assert!(asked.take(MAX_SAID) || asked.cut());
    let mut content = Content {
        input: vec![Message::text("user", text)],
        asked,
        ..Content::default()
    };
    with(&["email"]).content(&mut content, &mut Hits::new());
    let [Message { parts, .. }] = &content.input[..] else {
        panic!("one message");
    };
    assert!(matches!(&parts[..], [Part::Text(text)] if !text.contains("ann")));
}

#[test]
fn paths_take_values_out_and_leave_the_shape() {
    let mut redaction = Redaction::default();
    for (name, path) in [
        ("password", "$..password"),
        (
            "results",
            "$.gen_ai.input.messages[*].parts[?@.type=='tool_call_response']",
        ),
        ("first", "$.gen_ai.input.messages[0]"),
    ] {
        redaction.add_path(name, path).expect("a valid path");
    }
    let mut document = json!({"gen_ai": {"input": {"messages": [
        {"role": "user", "parts": [{"type": "text", "content": "my diary"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "login", "arguments": {"user": "ann", "password": {"a": 1}}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": "x", "id": "1"}]},
    ]}}});
    let mut hits = Hits::new();
    redaction.document(&mut document, &mut hits);
    assert_eq!(
        document,
        json!({"gen_ai": {"input": {"messages": [
            {"role": "user", "parts": [{"type": "text", "content": "[redacted:first]"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "name": "login", "arguments": {"user": "ann", "password": "[redacted:password]"}}]},
            {"role": "tool", "parts": [{"type": "text", "content": "[redacted:results]"}]},
        ]}}})
    );
    assert_eq!(hits.len(), 3);
}

#[test]
fn a_file_of_rules() {
    let mut redaction = Redaction::default();
    redaction
        .add_file(
            r#"
builtin = ["email"]

[[rule]]
name = "customer number"
pattern = '\bC-\d{8}\b'

[[rule]]
name = "password"
path = '$..password'
"#,
        )
        .expect("a valid file");
    assert_eq!(
        redacted(&redaction, "C-12345678 ann@example.org"),
        "[redacted:customer number] [redacted:email]"
    );
    assert!(redaction.has_paths());
}

#[test]
fn a_bad_rule_says_what_where_and_the_remedy() {
    let said = |file: &str| {
        Redaction::default()
            .add_file(file)
            .expect_err("this is no good rule")
            .to_string()
    };
    insta::assert_snapshot!(
        [
            said("builtin = [\"email\",\n  \"e-mail\"]"),
            said("[[rule]]\nname = \"a\"\npattern = '('"),
            said("\n\n[[rule]]\nname = \"a\"\npattern = 'x*'"),
            said("[[rule]]\nname = \"a\"\npath = '$.['"),
            said("[[rule]]\nname = \"a\"\nregex = 'x'"),
            said("[[rule]]\nname = \"a\""),
            said("[[rule]]\nname = \"a]\"\npattern = 'x'"),
            said("[[rule]\n"),
        ]
        .join("\n")
    );
}

fn traced(play: &mut Play, redaction: Redaction) -> Span {
    let host = Host {
        boot_id: String::new(),
        name: String::new(),
        wall_offset_ns: 0,
    };
    let process = Process {
        key: CONNECTION.process,
        parent_pid: 1,
        executable: String::new(),
        command_line: Vec::new(),
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    };
    let options = Options {
        capture: Capture::Span,
        redaction: Arc::new(redaction),
        ..Options::default()
    };
    span_of(&play.call(), &host, Arc::new(process), &options)
}

#[test]
fn a_span_tells_neither_what_was_taken_out_nor_hides_that_it_was() {
    let mut redaction = with(&["email"]);
    redaction
        .add_path("password", "$..password")
        .expect("a valid path");
    let mut play = Play::converse().with_content();
    play.request(
        r#"{"system": [{"text": "Serve ann@example.org."}], "messages": [{"role": "assistant", "content": [
            {"toolUse": {"toolUseId": "t", "name": "login", "input": {"password": "hunter2"}}}]}]}"#,
    );
    play.response(400, &[("x-amzn-ErrorType", "ValidationException")]);
    play.answer(r#"{"message": "no user ann@example.org"}"#);
    let span = traced(&mut play, redaction);
    let told = format!("{span:?}");
    assert!(!told.contains("ann@") && !told.contains("hunter2"), "{told}");
    let description = "no user [redacted:email]".to_owned();
    assert_eq!(span.status, SpanStatus::Error { description });
    let rules = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == semconv::REDACTED);
    let names = ["email", "password"].map(str::to_owned).to_vec();
    assert_eq!(rules.map(|rules| &rules.value), Some(&Value::Strings(names)));
}
