//! OTLP over gRPC: <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>.
//!
//! The requests are made by the clients of `opentelemetry-proto`: the exporter of `opentelemetry-otlp` gives back one sentence for
//! every failure, without the code and without how long to wait.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Extensions, Status};

use super::USER_AGENT;
use super::outcome::{Outcome, chain, excerpt, with_certificate_remedy};
use super::settings::{OtlpSettings, Signal};
use super::tls::{self, TlsError};

/// Longest that finding and greeting a backend may take, within the timeout of the request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans over gRPC.
#[derive(Debug)]
pub(super) struct GrpcTransport {
    channel: Channel,
    settings: OtlpSettings,
}

/// A backend that cannot be sent to over gRPC.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is not one that gRPC can use.
    #[error(
        "{endpoint} cannot be used for OTLP over gRPC: {reason}; write OTEL_EXPORTER_OTLP_ENDPOINT like `http://collector:4317`"
    )]
    Endpoint {
        /// The address.
        endpoint: String,
        /// Why.
        reason: String,
    },
}

impl GrpcTransport {
    /// Has to be called inside a Tokio runtime: the channel lives in it.
    pub(super) fn new(settings: OtlpSettings) -> Result<Self, GrpcError> {
        let wrong = |error: tonic::transport::Error| GrpcError::Endpoint {
            endpoint: settings.shown_endpoint(),
            reason: chain(&error),
        };
        let mut endpoint = Endpoint::from_shared(settings.endpoint.to_string())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(wrong)?
            .connect_timeout(settings.timeout.min(CONNECT_TIMEOUT))
            .timeout(settings.timeout);
        if settings.endpoint.scheme() == "https" {
            endpoint = endpoint.tls_config(tls::for_grpc(&settings)?).map_err(wrong)?;
        }
        Ok(Self {
            channel: endpoint.connect_lazy(),
            settings,
        })
    }

    /// Sends one request, once.
    pub(super) async fn send(&self, resource: &Resource, spans: Vec<SpanData>) -> Outcome {
        let resource = ResourceAttributesWithSchema::from(resource);
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &resource),
        };
        let mut client = TraceServiceClient::new(self.channel.clone());
        if self.settings.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        match client.export(self.request(request)).await {
            Ok(answer) => {
                let partial = answer.into_inner().partial_success.unwrap_or_default();
                self.accepted(partial.rejected_spans, &partial.error_message)
            }
            Err(status) => self.failed(&status),
        }
    }

    /// Sends one request with metrics, once.
    pub(super) async fn send_metrics(&self, request: ExportMetricsServiceRequest) -> Outcome {
        let mut client = MetricsServiceClient::new(self.channel.clone());
        if self.settings.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        match client.export(self.request(request)).await {
            Ok(answer) => {
                let partial = answer.into_inner().partial_success.unwrap_or_default();
                self.accepted(partial.rejected_data_points, &partial.error_message)
            }
            Err(status) => self.failed(&status),
        }
    }

    /// Sends one request with log records, once.
    pub(super) async fn send_logs(&self, request: ExportLogsServiceRequest) -> Outcome {
        let mut client = LogsServiceClient::new(self.channel.clone());
        if self.settings.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        match client.export(self.request(request)).await {
            Ok(answer) => {
                let partial = answer.into_inner().partial_success.unwrap_or_default();
                self.accepted(partial.rejected_log_records, &partial.error_message)
            }
            Err(status) => self.failed(&status),
        }
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let headers = MetadataMap::from_headers(self.settings.headers.0.clone());
        let mut request = tonic::Request::from_parts(headers, Extensions::default(), message);
        request.set_timeout(self.settings.timeout);
        request
    }

    fn accepted(&self, rejected: i64, message: &str) -> Outcome {
        Outcome::Accepted {
            rejected: u64::try_from(rejected).unwrap_or(0),
            message: self.shown(message),
        }
    }

    /// Which codes are worth another try: <https://opentelemetry.io/docs/specs/otlp/#failures>.
    fn failed(&self, status: &Status) -> Outcome {
        if let Some(failure) = std::error::Error::source(status) {
            // No server said so: it is what became of the connection.
            let cause = chain(failure);
            let what = match status.code() {
                Code::Unavailable => "it cannot be reached",
                _ => "the connection broke",
            };
            return Outcome::Later {
                reason: with_certificate_remedy(format!("{what}: {}", self.shown(self::cause(&cause)))),
                after: None,
            };
        }
        let code = status.code();
        let words = self.shown(status.message());
        let reason = format!("it answered {code:?} ({words})");
        let after = retry_delay(status.details());
        match code {
            Code::Cancelled | Code::DeadlineExceeded | Code::Aborted | Code::Unavailable | Code::DataLoss => {
                Outcome::Later { reason, after }
            }
            // Only then can it be expected to have room again.
            Code::ResourceExhausted if after.is_some() => Outcome::Later { reason, after },
            // What servers say of a message above their limit.
            Code::ResourceExhausted if words.contains("larger") => Outcome::TooLarge { reason },
            Code::OutOfRange => Outcome::TooLarge { reason },
            Code::Unauthenticated | Code::PermissionDenied => Outcome::Refused {
                reason: format!("{reason}; are the credentials in OTEL_EXPORTER_OTLP_HEADERS right?"),
            },
            Code::Unimplemented | Code::NotFound => Outcome::Refused {
                reason: match self.settings.signal {
                    Signal::Traces | Signal::Metrics => {
                        format!("{reason}; is this the address of its OTLP receiver for gRPC?")
                    }
                    Signal::Logs => format!(
                        "{reason}; is this the address of its OTLP receiver for gRPC? If it takes no logs at all, set OTEL_LOGS_EXPORTER=none, and the content goes on events of spans"
                    ),
                },
            },
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Internal => Outcome::Refused { reason },
        }
    }

    fn shown(&self, words: &str) -> String {
        self.settings.headers.redact(&excerpt(words))
    }
}

/// The last link of a chain of errors with colons between them; a certificate's has two.
fn cause(error: &str) -> &str {
    error
        .find("invalid peer certificate")
        .and_then(|at| error.get(at..))
        .unwrap_or_else(|| error.rsplit(": ").next().unwrap_or(error))
}

/// `google.rpc.Status`, as it travels in `grpc-status-details-bin`; code and message are in the headers too.
#[derive(Clone, PartialEq, prost::Message)]
struct StatusDetails {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How long the server asks to be left alone: <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-throttling>.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let details = StatusDetails::decode(details).ok()?.details;
    let detail = details
        .iter()
        .find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let RetryDelay { seconds, nanos } = RetryInfo::decode(detail.value.as_slice())
        .ok()?
        .retry_delay
        .unwrap_or_default();
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(seconds + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}
