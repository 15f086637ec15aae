//! The standard environment variables of OTLP exporters.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>. For every variable the one of the signal
//! (`OTEL_EXPORTER_OTLP_TRACES_…`, `OTEL_EXPORTER_OTLP_METRICS_…`, `OTEL_EXPORTER_OTLP_LOGS_…`) goes before the general one (`OTEL_EXPORTER_OTLP_…`), and an
//! empty one is as if unset.
//! A value that cannot be followed is an error, never ignored: spans that quietly go nowhere are worse than no start.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// Timeout of one request when none is set.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where collectors listen by default.
const DEFAULT_HTTP: &str = "http://localhost:4318";
const DEFAULT_GRPC: &str = "http://localhost:4317";

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// Path below a base address.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
            Self::Logs => "v1/logs",
        }
    }

    /// How the names of its own variables begin.
    pub fn variables(self) -> &'static str {
        match self {
            Self::Traces => "OTEL_EXPORTER_OTLP_TRACES_",
            Self::Metrics => "OTEL_EXPORTER_OTLP_METRICS_",
            Self::Logs => "OTEL_EXPORTER_OTLP_LOGS_",
        }
    }

    /// The variable for its complete address.
    pub(super) fn endpoint_variable(self) -> &'static str {
        ENDPOINT.of(self)
    }
}

/// Where a signal is sent, and how.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// What is sent.
    pub signal: Signal,
    /// Encoding and transport.
    pub protocol: OtlpProtocol,
    /// The complete address, without credentials.
    pub endpoint: Url,
    /// Headers (HTTP) or metadata (gRPC) of every request.
    pub headers: OtlpHeaders,
    /// How long one request may take.
    pub timeout: Duration,
    /// Requests are compressed with gzip.
    pub gzip: bool,
    /// PEM file with the only certificates to trust; the system's when there is none.
    pub certificate: Option<PathBuf>,
    /// PEM files with our own certificate and its key, for backends that want to know who sends.
    pub client: Option<ClientCertificate>,
}

/// Encoding and transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP/1.1.
    HttpProtobuf,
    /// gRPC.
    Grpc,
}

/// PEM files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Headers whose values are never shown: they hold the credentials.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OtlpHeaders(pub(super) HeaderMap);

impl fmt::Debug for OtlpHeaders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

impl OtlpHeaders {
    /// Blanks every header value that a text repeats, as servers do when they refuse one.
    pub(super) fn redact(&self, text: &str) -> String {
        /// Shorter values are no secrets, and blanking them would make a text unreadable.
        const SECRET_LENGTH_MIN: usize = 6;
        let values = self.0.values().filter_map(|value| value.to_str().ok());
        // The scheme before a credential is not repeated by all servers.
        let parts = values.flat_map(|value| {
            [
                Some(value),
                value.split_once(' ').map(|(_, credential)| credential),
            ]
        });
        let secrets = parts.flatten().filter(|value| value.len() >= SECRET_LENGTH_MIN);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
    }
}

/// A setting that cannot be followed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OtlpSettingsError {
    /// The protocol is not one of those spoken.
    #[error(
        "{variable} is `{value}`, which geophone does not speak; set it to `http/protobuf` or `grpc`, which all OTLP backends take"
    )]
    Protocol {
        /// Where it was set.
        variable: &'static str,
        /// What it was set to.
        value: String,
    },
    /// The address cannot be used.
    #[error(
        "{variable} is not an address to send to: {reason}; write it like `http://collector:4318` or `https://backend.example/api/org`"
    )]
    Endpoint {
        /// Where it was set.
        variable: &'static str,
        /// Why not.
        reason: String,
    },
    /// A header cannot be sent. The value is not repeated here: it may be a secret.
    #[error(
        "entry {entry} of {variable} cannot be sent as a header: {reason}; write `name=value,name=value`, with characters such as `,` percent-encoded"
    )]
    Header {
        /// Where it was set.
        variable: &'static str,
        /// Which of the entries, counted from one.
        entry: usize,
        /// Why not.
        reason: &'static str,
    },
    /// The timeout is not a number.
    #[error(
        "{variable} is `{value}`, which is not a time; set it to a number of milliseconds above zero, such as 10000"
    )]
    Timeout {
        /// Where it was set.
        variable: &'static str,
        /// What it was set to.
        value: String,
    },
    /// The compression is not one of those known.
    #[error("{variable} is `{value}`, which geophone cannot compress with; set it to `gzip` or `none`")]
    Compression {
        /// Where it was set.
        variable: &'static str,
        /// What it was set to.
        value: String,
    },
    /// Of certificate and key only one is set.
    #[error("{present} is set without {missing}; a client certificate needs both, or neither is used")]
    HalfClient {
        /// The variable that is set.
        present: &'static str,
        /// The variable that is not.
        missing: &'static str,
    },
}

/// A variable for each signal and the general one behind them.
struct Variable {
    traces: &'static str,
    metrics: &'static str,
    logs: &'static str,
    general: &'static str,
}

macro_rules! variable {
    ($name:literal) => {
        Variable {
            traces: concat!("OTEL_EXPORTER_OTLP_TRACES_", $name),
            metrics: concat!("OTEL_EXPORTER_OTLP_METRICS_", $name),
            logs: concat!("OTEL_EXPORTER_OTLP_LOGS_", $name),
            general: concat!("OTEL_EXPORTER_OTLP_", $name),
        }
    };
}

const ENDPOINT: Variable = variable!("ENDPOINT");
const PROTOCOL: Variable = variable!("PROTOCOL");
const HEADERS: Variable = variable!("HEADERS");
const TIMEOUTS: Variable = variable!("TIMEOUT");
const COMPRESSION: Variable = variable!("COMPRESSION");
const CERTIFICATE: Variable = variable!("CERTIFICATE");
const CLIENT_CERTIFICATE: Variable = variable!("CLIENT_CERTIFICATE");
const CLIENT_KEY: Variable = variable!("CLIENT_KEY");
const INSECURE: Variable = variable!("INSECURE");

impl Variable {
    fn of(&self, signal: Signal) -> &'static str {
        match signal {
            Signal::Traces => self.traces,
            Signal::Metrics => self.metrics,
            Signal::Logs => self.logs,
        }
    }

    /// The value and the variable it came from.
    fn read(&self, environment: &Environment<'_>) -> Option<(&'static str, String)> {
        let Environment { signal, read } = environment;
        [self.of(*signal), self.general].into_iter().find_map(|name| {
            let value = read(name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| (name, value.to_owned()))
        })
    }
}

/// Variables as one signal reads them.
struct Environment<'e> {
    signal: Signal,
    read: &'e dyn Fn(&str) -> Option<String>,
}

impl OtlpSettings {
    /// Whether the environment asks for OTLP: an address is set. The other variables say how, not whether.
    pub fn is_requested(signal: Signal, environment: impl Fn(&str) -> Option<String>) -> bool {
        let read = &environment;
        ENDPOINT.read(&Environment { signal, read }).is_some()
    }

    /// Reads the settings; `environment` gives the value of a variable.
    pub fn from_environment(
        signal: Signal,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OtlpSettingsError> {
        let environment = &Environment {
            signal,
            read: &environment,
        };
        let protocol = protocol(environment)?;
        let mut headers = headers(environment)?;
        let mut endpoint = endpoint(protocol, environment)?;
        if let Some(credentials) = take_credentials(&mut endpoint) {
            headers.0.entry(AUTHORIZATION).or_insert(credentials);
        }
        Ok(Self {
            signal,
            protocol,
            endpoint,
            headers,
            timeout: timeout(environment)?,
            gzip: gzip(environment)?,
            certificate: CERTIFICATE.read(environment).map(|(_, path)| path.into()),
            client: client(environment)?,
        })
    }

    /// The address as it may be shown: a query may hold a token.
    pub(super) fn shown_endpoint(&self) -> String {
        let mut endpoint = self.endpoint.clone();
        endpoint.set_query(None);
        endpoint.to_string()
    }
}

fn protocol(environment: &Environment<'_>) -> Result<OtlpProtocol, OtlpSettingsError> {
    let Some((variable, value)) = PROTOCOL.read(environment) else {
        return Ok(OtlpProtocol::HttpProtobuf);
    };
    match value.to_ascii_lowercase().as_str() {
        "http/protobuf" => Ok(OtlpProtocol::HttpProtobuf),
        "grpc" => Ok(OtlpProtocol::Grpc),
        _ => Err(OtlpSettingsError::Protocol { variable, value }),
    }
}

fn endpoint(protocol: OtlpProtocol, environment: &Environment<'_>) -> Result<Url, OtlpSettingsError> {
    let default = match protocol {
        OtlpProtocol::HttpProtobuf => DEFAULT_HTTP,
        OtlpProtocol::Grpc => DEFAULT_GRPC,
    };
    let (variable, text) = ENDPOINT
        .read(environment)
        .unwrap_or_else(|| (ENDPOINT.general, default.to_owned()));
    let error = |reason: &str| OtlpSettingsError::Endpoint {
        variable,
        reason: reason.to_owned(),
    };
    let text = match (text.contains("://"), protocol) {
        (true, _) => text,
        (false, OtlpProtocol::HttpProtobuf) => {
            return Err(error("it begins neither with http:// nor with https://"));
        }
        // gRPC's own way of writing an address has no scheme; a variable says whether it is plain.
        (false, OtlpProtocol::Grpc) if is_insecure(environment) => format!("http://{text}"),
        (false, OtlpProtocol::Grpc) => format!("https://{text}"),
    };
    let mut url = Url::parse(&text).map_err(|reason| error(&reason.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(error(&format!(
            "geophone sends over http and https, not over {}",
            url.scheme()
        )));
    }
    if protocol == OtlpProtocol::HttpProtobuf && variable == ENDPOINT.general {
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{}", environment.signal.path()));
    }
    Ok(url)
}

fn is_insecure(environment: &Environment<'_>) -> bool {
    INSECURE
        .read(environment)
        .is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
}

/// `https://user:password@host` becomes a header, so that no message shows it.
fn take_credentials(endpoint: &mut Url) -> Option<HeaderValue> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decode(endpoint.username());
    let password = endpoint.password().map(decode);
    if user.is_empty() && password.is_none() {
        return None;
    }
    // Both only fail for addresses without a host, which http and https do not have.
    endpoint.set_username("").ok()?;
    endpoint.set_password(None).ok()?;
    let credentials = BASE64_STANDARD.encode(format!("{user}:{}", password.unwrap_or_default()));
    let mut value = HeaderValue::from_str(&format!("Basic {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn headers(environment: &Environment<'_>) -> Result<OtlpHeaders, OtlpSettingsError> {
    let mut headers = HeaderMap::new();
    let Some((variable, text)) = HEADERS.read(environment) else {
        return Ok(OtlpHeaders(headers));
    };
    for (index, entry) in text
        .split(',')
        .enumerate()
        .filter(|(_, entry)| !entry.trim().is_empty())
    {
        let error = |reason| OtlpSettingsError::Header {
            variable,
            entry: index + 1,
            reason,
        };
        let (name, value) = entry
            .split_once('=')
            .ok_or_else(|| error("there is no `=` in it"))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| error("its name has characters that a header's name cannot have"))?;
        let value = percent_decode_str(value.trim())
            .decode_utf8()
            .map_err(|_| error("its value is not UTF-8 once percent-decoded"))?;
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| error("its value has characters that a header's value cannot have"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(OtlpHeaders(headers))
}

fn timeout(environment: &Environment<'_>) -> Result<Duration, OtlpSettingsError> {
    let Some((variable, value)) = TIMEOUTS.read(environment) else {
        return Ok(TIMEOUT);
    };
    match value.parse::<u64>() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(OtlpSettingsError::Timeout { variable, value }),
    }
}

fn gzip(environment: &Environment<'_>) -> Result<bool, OtlpSettingsError> {
    let Some((variable, value)) = COMPRESSION.read(environment) else {
        return Ok(false);
    };
    match value.to_ascii_lowercase().as_str() {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err(OtlpSettingsError::Compression { variable, value }),
    }
}

fn client(environment: &Environment<'_>) -> Result<Option<ClientCertificate>, OtlpSettingsError> {
    match (CLIENT_CERTIFICATE.read(environment), CLIENT_KEY.read(environment)) {
        (None, None) => Ok(None),
        (Some((_, certificate)), Some((_, key))) => Ok(Some(ClientCertificate {
            certificate: certificate.into(),
            key: key.into(),
        })),
        (Some((present, _)), None) => Err(OtlpSettingsError::HalfClient {
            present,
            missing: CLIENT_KEY.general,
        }),
        (None, Some((present, _))) => Err(OtlpSettingsError::HalfClient {
            present,
            missing: CLIENT_CERTIFICATE.general,
        }),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
