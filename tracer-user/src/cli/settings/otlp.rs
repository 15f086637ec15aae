//! The settings of OTLP: OpenTelemetry's variables, and what stands for each of them in the file.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use toml::Spanned;
use toml::de::DeValue;

use super::super::failure::Failure;
use super::key::{Key, Secrecy};
use super::problem::Problems;
use super::setting::{Origin, Setting};
use super::value::{Scalar, Type, Value, Wrong};
use super::values::FilePath;
use super::{Settings, Visitor, keys};
use crate::export::{OtlpSettings, OtlpSettingsError, Signal};

/// `[otlp]`, for all signals and for each.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Otlp {
    /// Whether anything is sent; unless it is said, whether there is an address.
    pub(in crate::cli) enabled: Setting<bool>,
    /// Most spans that are kept for a backend that is away.
    pub(in crate::cli) queue_size: Setting<NonZeroUsize>,
    /// For all signals.
    pub(in crate::cli) general: OtlpTable,
    /// `[otlp.traces]`, which goes before `[otlp]`.
    pub(in crate::cli) traces: OtlpTable,
    /// `[otlp.metrics]`.
    pub(in crate::cli) metrics: OtlpTable,
    /// `[otlp.logs]`.
    pub(in crate::cli) logs: OtlpTable,
}

/// What there is for every signal and for each.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct OtlpTable {
    endpoint: Setting<OtlpText>,
    protocol: Setting<OtlpText>,
    headers: Setting<OtlpHeaders>,
    timeout_ms: Setting<OtlpText>,
    compression: Setting<OtlpText>,
    certificate: Setting<FilePath>,
    client_certificate: Setting<FilePath>,
    client_key: Setting<FilePath>,
    insecure: Setting<bool>,
}

impl Otlp {
    pub(super) fn visit(&mut self, visitor: &mut impl Visitor) {
        let Self {
            enabled,
            queue_size,
            general,
            traces,
            metrics,
            logs,
        } = self;
        visitor.setting(&keys::OTLP_ENABLED, enabled);
        visitor.setting(&keys::OTLP_QUEUE, queue_size);
        general.visit(&GENERAL, visitor);
        traces.visit(&TRACES, visitor);
        metrics.visit(&METRICS, visitor);
        logs.visit(&LOGS, visitor);
    }
}

impl Settings {
    /// Whether a signal is sent over OTLP: as it was said, else if there is an address for it.
    pub(in crate::cli) fn sends(&self, signal: Signal) -> bool {
        let variables = self.otlp_variables();
        let requested = || OtlpSettings::is_requested(signal, |name| variables.text(name));
        self.otlp.enabled.get().copied().unwrap_or_else(requested)
    }

    /// How a signal is sent.
    pub(in crate::cli) fn otlp_of(&self, signal: Signal) -> Result<OtlpSettings, Failure> {
        let variables = self.otlp_variables();
        OtlpSettings::from_environment(signal, |name| variables.text(name))
            .map_err(|error| Failure::told_by(variables.named_as_given(&error.to_string())))
    }

    /// Says what is wrong with the settings of OTLP in the file, whether or not anything is sent.
    pub(in crate::cli) fn check_otlp(&self, problems: &mut Problems) {
        let variables = self.otlp_variables();
        for (name, (key, origin, text)) in &variables.0 {
            let Origin::File(place) = origin else {
                continue;
            };
            let file = ["CERTIFICATE", "CLIENT_KEY"]
                .iter()
                .any(|end| name.ends_with(end));
            if file && let Err(error) = std::fs::File::open(text) {
                let what = format!("`{}` is {text}: {error}", key.path);
                problems.add(Some(place.clone()), what);
            }
            let alone = |asked: &str| {
                let counts = asked == *name || asked.ends_with("_PROTOCOL") || asked.ends_with("_INSECURE");
                variables.text(asked).filter(|_| counts)
            };
            let signal = [Signal::Traces, Signal::Metrics, Signal::Logs];
            let signal = signal
                .into_iter()
                .find(|signal| name.starts_with(signal.variables()));
            if let Err(error) = OtlpSettings::from_environment(signal.unwrap_or(Signal::Traces), alone)
                && !matches!(error, OtlpSettingsError::HalfClient { .. })
                && error.to_string().contains(name)
            {
                let what = error.to_string().replacen(name, &format!("`{}`", key.path), 1);
                problems.add(Some(place.clone()), what);
            }
        }
    }

    fn otlp_variables(&self) -> Variables {
        let mut variables = Variables::default();
        self.clone().otlp.visit(&mut variables);
        variables
    }
}

/// The settings of OTLP by OpenTelemetry's variables: their text and who gave it.
#[derive(Default)]
struct Variables(BTreeMap<&'static str, (&'static Key, Origin, String)>);

impl Visitor for Variables {
    fn setting<T: Value>(&mut self, key: &'static Key, setting: &mut Setting<T>) {
        let text = setting.get().map(|value| match value.show() {
            toml::Value::String(text) => text,
            other => other.to_string(),
        });
        if let (Some(text), [name]) = (text, key.variables) {
            self.0.insert(name, (key, setting.origin().clone(), text));
        }
    }
}

impl Variables {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|(_, _, text)| text.clone())
    }

    /// Speaks of settings as the user wrote them, where that was not as variables.
    fn named_as_given(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for (name, (key, origin, _)) in &self.0 {
            let given = match origin {
                Origin::File(place) => format!("{place}: `{}`", key.path),
                Origin::Variable(variable) => variable.clone(),
                Origin::Default | Origin::Flag(_) => continue,
            };
            message = message.replacen(name, &given, 1);
        }
        message
    }
}

impl OtlpTable {
    fn visit(&mut self, keys: &'static TableKeys, visitor: &mut impl Visitor) {
        let Self {
            endpoint,
            protocol,
            headers,
            timeout_ms,
            compression,
            certificate,
            client_certificate,
            client_key,
            insecure,
        } = self;
        visitor.setting(&keys.endpoint, endpoint);
        visitor.setting(&keys.protocol, protocol);
        visitor.setting(&keys.headers, headers);
        visitor.setting(&keys.timeout_ms, timeout_ms);
        visitor.setting(&keys.compression, compression);
        visitor.setting(&keys.certificate, certificate);
        visitor.setting(&keys.client_certificate, client_certificate);
        visitor.setting(&keys.client_key, client_key);
        visitor.setting(&keys.insecure, insecure);
    }
}

/// Keys of one table.
struct TableKeys {
    endpoint: Key,
    protocol: Key,
    headers: Key,
    timeout_ms: Key,
    compression: Key,
    certificate: Key,
    client_certificate: Key,
    client_key: Key,
    insecure: Key,
}

macro_rules! table_keys {
    ($table:literal, $signal:literal, $of:literal) => {
        TableKeys {
            endpoint: Key::new(
                concat!($table, ".endpoint"),
                concat!("Where ", $of, " sent; the standard one is `http://localhost:4318`, over gRPC port 4317."),
                "–",
                "\"http://collector:4318\"",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "ENDPOINT")])
            .secrecy(Secrecy::Address)
            .at_start(),
            protocol: Key::new(
                concat!($table, ".protocol"),
                "`http/protobuf` or `grpc`.",
                "\"http/protobuf\"",
                "\"grpc\"",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "PROTOCOL")])
            .at_start(),
            headers: Key::new(
                concat!($table, ".headers"),
                "Headers of every request, a table or `name=value,name=value` percent-encoded; values are never shown.",
                "–",
                "{ authorization = \"Bearer …\" }",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "HEADERS")])
            .secrecy(Secrecy::Secret)
            .at_start(),
            timeout_ms: Key::new(
                concat!($table, ".timeout_ms"),
                "Milliseconds that one request may take.",
                "10000",
                "10000",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "TIMEOUT")])
            .at_start(),
            compression: Key::new(
                concat!($table, ".compression"),
                "`gzip` or `none`.",
                "\"none\"",
                "\"gzip\"",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "COMPRESSION")])
            .at_start(),
            certificate: Key::new(
                concat!($table, ".certificate"),
                "PEM file with the only certificates to trust; without it the system's.",
                "–",
                "\"ca.pem\"",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "CERTIFICATE")])
            .at_start(),
            client_certificate: Key::new(
                concat!($table, ".client_certificate"),
                "PEM file with geophone's own certificate, for a backend that asks for one.",
                "–",
                "\"client.pem\"",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "CLIENT_CERTIFICATE")])
            .at_start(),
            client_key: Key::new(
                concat!($table, ".client_key"),
                "PEM file with its private key.",
                "–",
                "\"client.key\"",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "CLIENT_KEY")])
            .at_start(),
            insecure: Key::new(
                concat!($table, ".insecure"),
                "Over gRPC, whether an address without `http://` or `https://` is plain.",
                "false",
                "true",
            )
            .variables(&[concat!("OTEL_EXPORTER_OTLP_", $signal, "INSECURE")])
            .at_start(),
        }
    };
}

static GENERAL: TableKeys = table_keys!("otlp", "", "spans, metrics and log records are");
static TRACES: TableKeys = table_keys!("otlp.traces", "TRACES_", "spans are");
static METRICS: TableKeys = table_keys!("otlp.metrics", "METRICS_", "metrics are");
static LOGS: TableKeys = table_keys!("otlp.logs", "LOGS_", "log records are");

/// What one of OpenTelemetry's variables holds. The exporter reads it once all layers are there, since one says how another
/// is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct OtlpText(String);

impl Scalar for OtlpText {
    const TYPES: &'static [Type] = &[Type::String, Type::Integer];

    fn expected() -> String {
        "a text or a number".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> toml::Value {
        toml::Value::String(self.0.clone())
    }
}

/// Headers as the variable has them.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct OtlpHeaders(String);

impl std::fmt::Debug for OtlpHeaders {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OtlpHeaders(…)")
    }
}

impl Value for OtlpHeaders {
    fn kind() -> String {
        "table or string".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Wrong>> {
        let wrong = |value: &Spanned<DeValue<'_>>, what: &str| Wrong {
            span: value.span(),
            what: what.to_owned(),
        };
        match value.get_ref() {
            DeValue::String(text) => Ok(Self(text.to_string())),
            DeValue::Table(table) => {
                let mut problems = Vec::new();
                let mut entries = Vec::new();
                for (name, value) in table {
                    match value.get_ref() {
                        DeValue::String(text) => entries.push(format!(
                            "{}={}",
                            name.get_ref(),
                            utf8_percent_encode(text, NON_ALPHANUMERIC)
                        )),
                        _ => problems.push(wrong(value, "has a header that is no text")),
                    }
                }
                if problems.is_empty() {
                    Ok(Self(entries.join(",")))
                } else {
                    Err(problems)
                }
            }
            _ => Err(vec![wrong(
                value,
                "are no headers, write `{ name = \"value\" }` or \"name=value,name=value\"",
            )]),
        }
    }

    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(Self(text.to_owned())))
    }

    fn show(&self) -> toml::Value {
        toml::Value::String(self.0.clone())
    }
}
