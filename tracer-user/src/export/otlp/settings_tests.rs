//! The environment as people write it.

use std::time::Duration;

use super::{OtlpProtocol, OtlpSettings, OtlpSettingsError, Signal};

fn read(variables: &[(&str, &str)]) -> Result<OtlpSettings, OtlpSettingsError> {
    OtlpSettings::from_environment(Signal::Traces, lookup(variables))
}

fn lookup(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    |name: &str| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some((*value).to_owned())
    }
}

fn endpoint(variables: &[(&str, &str)]) -> String {
    read(variables)
        .expect("these settings are fine")
        .endpoint
        .to_string()
}

fn complaint(variables: &[(&str, &str)]) -> String {
    read(variables).expect_err("these settings are wrong").to_string()
}

#[test]
fn without_variables_a_collector_on_this_host_is_meant() {
    let settings = read(&[]).expect("defaults");
    assert_eq!(settings.endpoint.as_str(), "http://localhost:4318/v1/traces");
    assert_eq!(settings.protocol, OtlpProtocol::HttpProtobuf);
    assert_eq!(settings.timeout, Duration::from_secs(10));
    assert!(!settings.gzip);
    assert_eq!(
        endpoint(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
        "http://localhost:4317/"
    );
    assert!(!OtlpSettings::is_requested(
        Signal::Traces,
        lookup(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")])
    ));
    assert!(OtlpSettings::is_requested(
        Signal::Traces,
        lookup(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a")])
    ));
}

#[test]
fn a_general_address_is_a_base_and_one_for_traces_is_used_as_it_is() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    for (given, expected) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        // OpenObserve: an organisation is part of the base address.
        (
            "https://o2.example/api/my_org",
            "https://o2.example/api/my_org/v1/traces",
        ),
        (
            "https://o2.example/api/my_org/",
            "https://o2.example/api/my_org/v1/traces",
        ),
        (
            "https://b.example/otlp?tenant=a",
            "https://b.example/otlp/v1/traces?tenant=a",
        ),
    ] {
        assert_eq!(endpoint(&[(GENERAL, given)]), expected);
    }
    for (given, expected) in [
        ("https://b.example/spans", "https://b.example/spans"),
        ("https://b.example", "https://b.example/"),
    ] {
        assert_eq!(endpoint(&[(GENERAL, "http://other"), (TRACES, given)]), expected);
    }
    assert_eq!(
        endpoint(&[(GENERAL, "http://fallback:1"), (TRACES, " ")]),
        "http://fallback:1/v1/traces"
    );
}

#[test]
fn grpc_takes_an_address_without_a_scheme() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let address = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    assert_eq!(endpoint(&[grpc, address]), "https://collector:4317/");
    assert_eq!(
        endpoint(&[grpc, address, ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE")]),
        "http://collector:4317/"
    );
    assert_eq!(
        endpoint(&[
            grpc,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "false")
        ]),
        "http://collector:4317/",
        "a scheme goes before the variable"
    );
}

#[test]
fn headers_are_percent_decoded() {
    let settings = read(&[(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Authorization=Basic%20dXNlcjpwYXNzd29yZA==, stream-name=default ,x-list=a%2Cb,",
    )])
    .expect("headers as OpenObserve gives them");
    let header = |name: &str| settings.headers.0.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("authorization"), Some("Basic dXNlcjpwYXNzd29yZA=="));
    assert_eq!(header("stream-name"), Some("default"));
    assert_eq!(header("x-list"), Some("a,b"));
    assert_eq!(settings.headers.0.len(), 3);
}

#[test]
fn the_variables_for_traces_go_first() {
    let settings = read(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-from=general"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-from=traces"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "gRPC"),
    ])
    .expect("fine");
    assert_eq!(
        settings
            .headers
            .0
            .get("x-from")
            .map(reqwest::header::HeaderValue::as_bytes),
        Some(&b"traces"[..])
    );
    assert_eq!(settings.timeout, Duration::from_millis(2500));
    assert!(settings.gzip);
    assert_eq!(settings.protocol, OtlpProtocol::Grpc);
}

#[test]
fn credentials_in_an_address_become_a_header_and_are_not_shown() {
    let settings = read(&[(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "https://me:s3cr%40t-word@b.example/api",
    )])
    .expect("fine");
    assert_eq!(settings.endpoint.as_str(), "https://b.example/api/v1/traces");
    let sent = settings.headers.0.get("authorization").expect("sent");
    assert_eq!(sent.as_bytes(), b"Basic bWU6czNjckB0LXdvcmQ=");
    assert!(!format!("{settings:?}").contains("bWU6"), "{settings:?}");
}

#[test]
fn secrets_are_not_shown() {
    let settings = read(&[
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer sk-live-12345,x-key=k-987654",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b.example/?token=t-13579"),
    ])
    .expect("fine");
    assert!(!format!("{:?}", settings.headers).contains("12345"));
    assert!(!settings.shown_endpoint().contains("13579"));
    assert_eq!(
        settings
            .headers
            .redact("bad token `sk-live-12345` (Bearer sk-live-12345), k-987654"),
        "bad token `[redacted]` ([redacted]), [redacted]"
    );
    let text = complaint(&[("OTEL_EXPORTER_OTLP_HEADERS", "a=b,sk-live-12345")]);
    assert!(
        text.contains("entry 2 of OTEL_EXPORTER_OTLP_HEADERS") && !text.contains("12345"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_followed_is_said_with_its_remedy() {
    for (variable, value, remedy) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "`http/protobuf` or `grpc`",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "thrift",
            "`http/protobuf` or `grpc`",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            "http://collector:4318",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "unix:///run/otel.sock",
            "http://collector:4318",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "`gzip` or `none`"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "bad name=1", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x=%FF", "percent-encoded"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x=a%0Ab", "percent-encoded"),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            "/key.pem",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        ),
    ] {
        let text = complaint(&[(variable, value)]);
        assert!(text.contains(variable), "{text}");
        assert!(text.contains(remedy), "{text}");
    }
}
