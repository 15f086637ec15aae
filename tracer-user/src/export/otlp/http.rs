//! OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! The request is made by `opentelemetry-otlp`; we lend it a client that keeps what the response said, since the crate's
//! own result does not tell a refusal from a backend that is down, nor how long to wait.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flate2::write::GzEncoder;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Compression, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::USER_AGENT;
use super::outcome::{Outcome, chain, excerpt, with_certificate_remedy};
use super::settings::{OtlpSettings, Signal};
use super::tls::{self, TlsError};

/// Longest that finding and greeting a backend may take, within the timeout of the request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans over HTTP.
#[derive(Debug)]
pub(super) struct HttpTransport {
    client: reqwest::Client,
    settings: OtlpSettings,
    headers: HashMap<String, String>,
}

impl HttpTransport {
    pub(super) fn new(settings: OtlpSettings) -> Result<Self, TlsError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::for_http(&settings)?)
            // A redirected POST would come back as a GET without the spans.
            .redirect(Policy::none())
            .connect_timeout(settings.timeout.min(CONNECT_TIMEOUT))
            .timeout(settings.timeout)
            .build()
            .map_err(|error| TlsError::Client(chain(&error)))?;
        // Spelled as the crate spells its own, which this replaces.
        let own = [("User-Agent".to_owned(), USER_AGENT.to_owned())];
        let given = settings.headers.0.iter();
        let given =
            given.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let headers = own.into_iter().chain(given).collect();
        Ok(Self {
            client,
            settings,
            headers,
        })
    }

    /// Sends one request, once.
    pub(super) async fn send(&self, resource: &Resource, spans: Vec<SpanData>) -> Outcome {
        let witness = Arc::new(Witness {
            client: self.client.clone(),
            seen: Mutex::default(),
        });
        let mut builder = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&witness) as Arc<dyn HttpClient>)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.settings.endpoint.as_str())
            .with_timeout(self.settings.timeout)
            .with_headers(self.headers.clone())
            .with_retry_policy(RetryPolicy::disabled());
        if self.settings.gzip {
            builder = builder.with_compression(Compression::Gzip);
        }
        let mut exporter = match builder.build() {
            Ok(exporter) => exporter,
            Err(error) => {
                return Outcome::Refused {
                    reason: error.to_string(),
                };
            }
        };
        exporter.set_resource(resource);
        // The crate would log every failure as final, which it is not.
        let result = exporter.export(spans).with_subscriber(NoSubscriber::new()).await;
        let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (seen, result) {
            (Some(Seen::Answer { status, .. }), Ok(())) if !status.is_success() => Outcome::Refused {
                reason: status.to_string(),
            },
            (
                Some(Seen::Answer {
                    status,
                    body,
                    after,
                    location,
                }),
                _,
            ) => self.judge(status, &body, after, location),
            (Some(Seen::Nothing { reason }), _) => Outcome::Later {
                reason: self.explain_silence(&reason),
                after: None,
            },
            // The crate would not send it at all: larger than it allows a request to be.
            (None, Err(error)) => Outcome::TooLarge {
                reason: error.to_string(),
            },
            (None, Ok(())) => Outcome::Accepted {
                rejected: 0,
                message: String::new(),
            },
        }
    }

    /// Sends one request with metrics or log records, once.
    pub(super) async fn send_message(&self, request: &impl Message) -> Outcome {
        let body = request.encode_to_vec();
        let mut post = self
            .client
            .post(self.settings.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(reqwest::header::USER_AGENT, USER_AGENT)
            .headers(self.settings.headers.0.clone());
        post = if self.settings.gzip {
            post.header(CONTENT_ENCODING, "gzip").body(gzip(&body))
        } else {
            post.body(body)
        };
        let response = match post.send().await {
            Ok(response) => response,
            Err(error) => return self.unanswered(&error),
        };
        let status = response.status();
        let headers = response.headers();
        let header = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let after = header(RETRY_AFTER).and_then(|text| parse_retry_after(text, SystemTime::now()));
        let location = header(LOCATION).map(str::to_owned);
        match response.bytes().await {
            Ok(body) => self.judge(status, &body, after, location),
            Err(error) => self.unanswered(&error),
        }
    }

    fn unanswered(&self, error: &reqwest::Error) -> Outcome {
        Outcome::Later {
            reason: self.explain_silence(&cause(error)),
            after: None,
        }
    }

    fn judge(
        &self,
        status: StatusCode,
        body: &[u8],
        after: Option<Duration>,
        location: Option<String>,
    ) -> Outcome {
        if status.is_success() {
            // Those of metrics and logs have the same fields.
            let partial = ExportTraceServiceResponse::decode(body)
                .ok()
                .and_then(|answer| answer.partial_success);
            let partial = partial.unwrap_or_default();
            return Outcome::Accepted {
                rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
                message: self.shown(&partial.error_message),
            };
        }
        let words = self.shown(&String::from_utf8_lossy(body));
        let words = if words.is_empty() {
            words
        } else {
            format!(" ({words})")
        };
        let reason = format!("it answered {status}{words}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Outcome::Later { reason, after },
            StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge { reason },
            _ => Outcome::Refused {
                reason: match remedy(status, location, self.settings.signal) {
                    Some(remedy) => format!("{reason}; {remedy}"),
                    None => reason,
                },
            },
        }
    }

    fn explain_silence(&self, reason: &str) -> String {
        let reason = self.settings.headers.redact(reason);
        if self.settings.endpoint.port() == Some(4317) {
            format!(
                "{reason}; port 4317 is where collectors speak gRPC: is OTEL_EXPORTER_OTLP_PROTOCOL=grpc missing?"
            )
        } else {
            with_certificate_remedy(reason)
        }
    }

    fn shown(&self, words: &str) -> String {
        self.settings.headers.redact(&excerpt(words))
    }
}

/// What a person can do about a refusal.
fn remedy(status: StatusCode, location: Option<String>, signal: Signal) -> Option<String> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Some("are the credentials in OTEL_EXPORTER_OTLP_HEADERS right?".to_owned())
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            let path = format!(
                "is the path right? /{} is added to OTEL_EXPORTER_OTLP_ENDPOINT, while {} is used as it is",
                signal.path(),
                signal.endpoint_variable()
            );
            Some(match signal {
                Signal::Traces => path,
                Signal::Metrics => {
                    format!("{path}; if it takes no metrics at all, set OTEL_METRICS_EXPORTER=none")
                }
                Signal::Logs => format!(
                    "{path}; if it takes no logs at all, set OTEL_LOGS_EXPORTER=none, and the content goes on events of spans"
                ),
            })
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Some("it does not take protobuf here; is this the address of its OTLP receiver?".to_owned())
        }
        status if status.is_redirection() => {
            let location = location.unwrap_or_else(|| "an address it does not name".to_owned());
            Some(format!(
                "it moved to {}; set OTEL_EXPORTER_OTLP_ENDPOINT to where it is now",
                excerpt(&location)
            ))
        }
        _ => None,
    }
}

/// The client that the crate sends with; it keeps what came back.
#[derive(Debug)]
struct Witness {
    client: reqwest::Client,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
enum Seen {
    Answer {
        status: StatusCode,
        body: Bytes,
        after: Option<Duration>,
        location: Option<String>,
    },
    Nothing {
        reason: String,
    },
}

#[async_trait]
impl HttpClient for Witness {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.client.send_bytes(request).await;
        let seen = match &result {
            Ok(response) => Seen::Answer {
                status: response.status(),
                body: response.body().clone(),
                after: text(response, &RETRY_AFTER)
                    .and_then(|text| parse_retry_after(text, SystemTime::now())),
                location: text(response, &LOCATION).map(str::to_owned),
            },
            Err(error) => Seen::Nothing {
                reason: silence(error.as_ref()),
            },
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        result
    }
}

/// The cause of a failed request; the address is said elsewhere, and with a token in its query not at all.
fn silence(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    error
        .downcast_ref::<reqwest::Error>()
        .map_or_else(|| chain(error), cause)
}

fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return "it did not answer in time".to_owned();
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause.and_then(|cause| cause.source()) {
        cause = Some(inner);
    }
    let cause = cause.map_or_else(|| "no answer".to_owned(), ToString::to_string);
    let stage = if error.is_connect() {
        "it cannot be reached"
    } else {
        "the request failed"
    };
    format!("{stage}: {cause}")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory does not fail.
    encoder.write_all(bytes).ok();
    encoder.finish().unwrap_or_default()
}

fn text<'a>(response: &'a Response<Bytes>, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Seconds or a date (RFC 9110 §10.2.3).
fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::parse_retry_after;

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_683_201);
        assert_eq!(parse_retry_after(" 130 ", now), Some(Duration::from_secs(130)));
        let date = httpdate::fmt_http_date(now + Duration::from_secs(90));
        assert_eq!(parse_retry_after(&date, now), Some(Duration::from_secs(90)));
        assert_eq!(
            parse_retry_after("Fri, 31 Dec 1999 23:59:59 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
