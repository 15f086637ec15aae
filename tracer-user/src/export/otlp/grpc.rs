//! OTLP over gRPC: <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>.
//!
//! `opentelemetry-otlp` gives back one sentence for every failure and nothing for a partial success. Its log has the
//! status code and the numbers, so each request runs under a [`tracing`] subscriber that hears that log and nothing else.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_otlp::{
    Compression, RetryPolicy, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Extensions, Status};
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

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
        let mut builder = SpanExporter::builder()
            .with_tonic()
            .with_channel(self.channel.clone())
            .with_metadata(MetadataMap::from_headers(self.settings.headers.0.clone()))
            .with_timeout(self.settings.timeout)
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
        let listener = Listener::default();
        let result = exporter
            .export(spans)
            .with_subscriber(Dispatch::new(listener.clone()))
            .await;
        let heard = std::mem::take(&mut *listener.heard());
        match result {
            Ok(()) => Outcome::Accepted {
                rejected: heard.rejected,
                message: self.shown(&heard.error_message),
            },
            Err(error) => self.judge(&heard, &error.to_string()),
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

    fn failed(&self, status: &Status) -> Outcome {
        if let Some(failure) = std::error::Error::source(status) {
            // No server said so: it is what became of the connection.
            let cause = chain(failure);
            return Outcome::Later {
                reason: with_certificate_remedy(format!(
                    "it cannot be reached: {}",
                    self.shown(self::cause(&cause))
                )),
                after: None,
            };
        }
        let heard = Heard {
            code: format!("{:?}", status.code()),
            message: status.message().to_owned(),
            ..Heard::default()
        };
        self.judge(&heard, status.message())
    }

    /// Which codes are worth another try: <https://opentelemetry.io/docs/specs/otlp/#failures>.
    fn judge(&self, heard: &Heard, error: &str) -> Outcome {
        // The crate says what a connection failed of, and only then is there anything behind the code.
        if let Some((_, failure)) = error.split_once(&format!("gRPC code: {}: ", heard.code)) {
            let what = if heard.code == "Unavailable" {
                "it cannot be reached"
            } else {
                "the connection broke"
            };
            return Outcome::Later {
                reason: with_certificate_remedy(format!("{what}: {}", self.shown(cause(failure)))),
                after: None,
            };
        }
        let words = if heard.message.is_empty() {
            error
        } else {
            &heard.message
        };
        let words = self.shown(words);
        let reason = format!("it answered {} ({words})", heard.code);
        match heard.code.as_str() {
            "Cancelled" | "DeadlineExceeded" | "Aborted" | "Unavailable" | "DataLoss" => {
                Outcome::Later { reason, after: None }
            }
            // What servers say of a message above their limit; with any other reason it is a limit on the rate.
            "ResourceExhausted" if words.contains("larger") => Outcome::TooLarge { reason },
            "OutOfRange" => Outcome::TooLarge { reason },
            "ResourceExhausted" => Outcome::Later { reason, after: None },
            "Unauthenticated" | "PermissionDenied" => Outcome::Refused {
                reason: format!("{reason}; are the credentials in OTEL_EXPORTER_OTLP_HEADERS right?"),
            },
            "Unimplemented" | "NotFound" => Outcome::Refused {
                reason: match self.settings.signal {
                    Signal::Traces | Signal::Metrics => {
                        format!("{reason}; is this the address of its OTLP receiver for gRPC?")
                    }
                    Signal::Logs => format!(
                        "{reason}; is this the address of its OTLP receiver for gRPC? If it takes no logs at all, set OTEL_LOGS_EXPORTER=none, and the content goes on events of spans"
                    ),
                },
            },
            "" => Outcome::Later {
                reason: words,
                after: None,
            },
            _ => Outcome::Refused { reason },
        }
    }

    fn shown(&self, words: &str) -> String {
        self.settings.headers.redact(&excerpt(words))
    }
}

/// The last link of the chain of errors that the crate writes with colons between them; a certificate's has two.
fn cause(error: &str) -> &str {
    error
        .find("invalid peer certificate")
        .and_then(|at| error.get(at..))
        .unwrap_or_else(|| error.rsplit(": ").next().unwrap_or(error))
}

/// What the crate's log said of one request.
#[derive(Debug, Default)]
struct Heard {
    code: String,
    message: String,
    rejected: u64,
    error_message: String,
}

impl Visit for Heard {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "rejected_spans" {
            self.rejected = u64::try_from(value).unwrap_or(0);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "grpc_code" => value.clone_into(&mut self.code),
            "grpc_message" => value.clone_into(&mut self.message),
            "error_message" => value.clone_into(&mut self.error_message),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Hears the log of `opentelemetry-otlp` while one request is under way.
#[derive(Debug, Clone, Default)]
struct Listener(Arc<Mutex<Heard>>);

impl Listener {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "opentelemetry-otlp"
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut *self.heard());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
