//! Requests as clients send them, and what they are taken for.

use super::*;
use crate::http::{Fields, Version};

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=********************/20260101/eu-west-1/bedrock/aws4_request, SignedHeaders=host, Signature=****";

fn recognised(method: &str, target: &str, fields: &[(&str, &str)]) -> Recognition {
    let mut list = Fields::default();
    for (name, value) in fields {
        list.push(*name, value.as_bytes());
    }
    recognise(
        &RequestHead {
            method,
            target,
            version: Version::Http11,
            fields: list,
        },
        None,
    )
}

fn route(method: &str, target: &str, fields: &[(&str, &str)]) -> Route {
    match recognised(method, target, fields) {
        Recognition::Call(route) => *route,
        other => panic!("{method} {target} is taken for {other:?}"),
    }
}

const RUNTIME: (&str, &str) = ("Host", "bedrock-runtime.us-east-1.amazonaws.com");

#[test]
fn model_ids_are_read_however_they_are_escaped() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    for (path, model) in [
        ("/model/amazon.nova-lite-v1%3A0/converse", "amazon.nova-lite-v1:0"),
        ("/model/amazon.nova-lite-v1:0/converse", "amazon.nova-lite-v1:0"),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse",
            arn,
        ),
        (
            "/model/arn:aws:bedrock:us-east-1:123456789012:inference-profile%2Fus.amazon.nova-lite-v1:0/converse",
            arn,
        ),
        (
            "/model/arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0/converse",
            arn,
        ),
        ("/model/converse/converse?x=/y", "converse"),
    ] {
        let route = route("POST", path, &[RUNTIME]);
        assert_eq!(route.operation, Operation::Converse, "{path}");
        assert_eq!(route.resource.model.as_deref(), Some(model), "{path}");
    }
}

#[test]
fn the_last_segment_names_the_operation() {
    for (last, operation) in [
        ("converse", Operation::Converse),
        ("converse-stream", Operation::ConverseStream),
        ("invoke", Operation::InvokeModel),
        (
            "invoke-with-response-stream",
            Operation::InvokeModelWithResponseStream,
        ),
        (
            "invoke-with-bidirectional-stream",
            Operation::InvokeModelWithBidirectionalStream,
        ),
        ("count-tokens", Operation::CountTokens),
    ] {
        assert_eq!(
            route("POST", &format!("/model/m/{last}"), &[RUNTIME]).operation,
            operation
        );
    }
}

#[test]
fn hosts_tell_service_and_region() {
    for (host, service, region) in [
        (
            "bedrock-runtime.us-east-1.amazonaws.com",
            Service::Runtime,
            "us-east-1",
        ),
        (
            "Bedrock-Runtime.US-East-1.amazonaws.com.:443",
            Service::Runtime,
            "us-east-1",
        ),
        (
            "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
            Service::Runtime,
            "us-gov-west-1",
        ),
        (
            "bedrock-runtime.eu-central-1.api.aws",
            Service::Runtime,
            "eu-central-1",
        ),
        (
            "bedrock-runtime.cn-north-1.amazonaws.com.cn",
            Service::Runtime,
            "cn-north-1",
        ),
        (
            "vpce-0a1b-c2d3.bedrock-runtime.us-west-2.vpce.amazonaws.com",
            Service::Runtime,
            "us-west-2",
        ),
        ("bedrock-mantle.us-east-1.api.aws", Service::Mantle, "us-east-1"),
    ] {
        let route = route("POST", "/model/m/converse", &[("host", host)]);
        assert_eq!(
            (route.service, route.region.as_deref()),
            (service, Some(region)),
            "{host}"
        );
    }
}

#[test]
fn a_custom_endpoint_is_known_by_path_or_signature() {
    let by_path = route(
        "POST",
        "/gateway/v2/model/m/invoke",
        &[("Host", "llm.example:8443")],
    );
    assert_eq!(by_path.operation, Operation::InvokeModel);
    assert_eq!(by_path.region, None);
    assert_eq!(
        by_path.server,
        Some(Server {
            address: "llm.example".into(),
            port: 8443
        })
    );
    let signed = route(
        "POST",
        "/rerank",
        &[("Host", "localhost:4566"), ("Authorization", SIGNED)],
    );
    assert_eq!(signed.operation, Operation::Rerank);
    assert_eq!(signed.region.as_deref(), Some("eu-west-1"));
    assert_eq!(
        recognised("POST", "/rerank", &[("Host", "localhost:4566")]),
        Recognition::Foreign
    );
    assert_eq!(
        recognised("POST", "/v1/chat/completions", &[("Host", "api.openai.example")]),
        Recognition::Foreign
    );
    assert_eq!(
        recognised("GET", "/model/m/converse", &[("Host", "x")]),
        Recognition::Foreign
    );
}

#[test]
fn a_proxy_request_names_the_true_server() {
    let route = route(
        "POST",
        "https://bedrock-runtime.us-east-2.amazonaws.com/model/m/converse",
        &[("Host", "proxy:3128")],
    );
    assert_eq!(route.region.as_deref(), Some("us-east-2"));
    assert_eq!(
        route.server.map(|server| server.address).as_deref(),
        Some("bedrock-runtime.us-east-2.amazonaws.com")
    );
}

#[test]
fn agents_and_their_sessions_are_named() {
    let host = ("Host", "bedrock-agent-runtime.us-east-1.amazonaws.com");
    let agent = route(
        "POST",
        "/agents/A1/agentAliases/L1/sessions/user%3A1%2F2/text",
        &[host],
    );
    assert_eq!(agent.operation, Operation::InvokeAgent);
    assert_eq!(agent.resource.agent.as_deref(), Some("A1"));
    assert_eq!(agent.resource.session.as_deref(), Some("user:1/2"));
    assert_eq!(
        route("POST", "/agents/s1", &[host]).operation,
        Operation::InvokeInlineAgent
    );
    let retrieve = route("POST", "/knowledgebases/KB1/retrieve", &[host]);
    assert_eq!(retrieve.resource.knowledge_base.as_deref(), Some("KB1"));
    let runtime = route(
        "POST",
        "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fx/invocations?qualifier=DEFAULT",
        &[("Host", "bedrock-agentcore.us-east-1.amazonaws.com")],
    );
    assert_eq!(runtime.operation, Operation::InvokeAgentRuntime);
    assert_eq!(
        runtime.resource.agent.as_deref(),
        Some("arn:aws:bedrock-agentcore:us-east-1:1:runtime/x")
    );
}

#[test]
fn what_is_not_inference_gives_no_call() {
    assert_eq!(
        recognised(
            "GET",
            "/foundation-models",
            &[("Host", "bedrock.us-east-1.amazonaws.com")]
        ),
        Recognition::ControlPlane
    );
    assert_eq!(
        recognised(
            "PUT",
            "/sessions/",
            &[("Host", "bedrock-agent-runtime.us-east-1.amazonaws.com")]
        ),
        Recognition::Housekeeping
    );
    assert_eq!(
        recognised("POST", "/", &[("Host", "sts.amazonaws.com")]),
        Recognition::Foreign
    );
}

#[test]
fn an_operation_newer_than_the_table_is_still_a_call() {
    assert_eq!(
        route("POST", "/model/m/dream", &[RUNTIME]).operation,
        Operation::UnknownRuntimeOperation
    );
}

#[test]
fn odd_targets_are_foreign() {
    for target in [
        "",
        "/",
        "*",
        "//",
        "/model//converse",
        "/model/converse",
        "model/m/converse",
        "https://",
    ] {
        assert_eq!(
            recognised("POST", target, &[]),
            Recognition::Foreign,
            "{target:?}"
        );
    }
    let long = format!("/model/{}/converse", "x".repeat(MAX_MODEL + 1));
    assert_eq!(route("POST", &long, &[]).resource.model, None);
}

#[test]
fn the_handshake_names_the_server_where_the_head_does_not() {
    let head = RequestHead {
        method: "POST",
        target: "/model/m/converse",
        version: Version::Http10,
        fields: Fields::default(),
    };
    let Recognition::Call(route) = recognise(&head, Some("bedrock-runtime.us-east-1.amazonaws.com")) else {
        panic!("not recognised");
    };
    assert_eq!(route.region.as_deref(), Some("us-east-1"));
}
