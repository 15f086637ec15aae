//! The kinds of values there are.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::super::arguments::{Content, Semconv, SpanFormat};
use super::tables::Table;
use super::value::{Scalar, Type};
use crate::bedrock::session::SessionHeader;
use crate::genai::{Capture, ContentLimit, ContentLimitError, Convention, Redaction};

/// A value as its text.
fn text(value: impl Into<String>) -> toml::Value {
    toml::Value::String(value.into())
}

impl Scalar for bool {
    const TYPES: &'static [Type] = &[Type::Boolean];

    fn expected() -> String {
        "true or false".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|_| None)
    }

    /// As OpenTelemetry has it: whatever is not `true` is false.
    fn parse_shared(text: &str) -> Option<Result<Self, Option<String>>> {
        Some(Ok(text.eq_ignore_ascii_case("true")))
    }

    fn show(&self) -> toml::Value {
        toml::Value::Boolean(*self)
    }
}

/// The words of a flag.
fn words<T: ValueEnum>() -> String {
    let words = T::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value);
    let words: Vec<String> = words.map(|word| format!("{:?}", word.get_name())).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}

fn word<T: ValueEnum>(value: &T) -> toml::Value {
    let word = value.to_possible_value();
    text(word.map(|word| word.get_name().to_owned()).unwrap_or_default())
}

fn of_word<T: ValueEnum>(text: &str) -> Result<T, Option<String>> {
    T::from_str(text, false).map_err(|_| None)
}

impl Scalar for SpanFormat {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        words::<Self>()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        of_word(text)
    }

    fn show(&self) -> toml::Value {
        word(self)
    }
}

impl Scalar for Semconv {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        words::<Self>()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        of_word(text)
    }

    /// `OTEL_SEMCONV_STABILITY_OPT_IN` is meant for all instrumentations.
    fn parse_shared(text: &str) -> Option<Result<Self, Option<String>>> {
        Convention::from_opt_in(text).map(|convention| {
            Ok(match convention {
                Convention::V1_41 => Self::V1_41,
                Convention::Latest => Self::Latest,
                Convention::Both => Self::Both,
            })
        })
    }

    fn show(&self) -> toml::Value {
        word(self)
    }
}

impl Scalar for Content {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        words::<Self>()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        of_word(text)
    }

    /// `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` may be meant for other programs too: a word that is not known is no
    /// reason to end, but to keep prompts back.
    fn parse_shared(text: &str) -> Option<Result<Self, Option<String>>> {
        Some(Ok(match Capture::from_variable(text) {
            None | Some(Capture::Nothing) => Self::None,
            Some(Capture::Span) => Self::Span,
            Some(Capture::Event) => Self::Event,
            Some(Capture::SpanAndEvent) => Self::Both,
        }))
    }

    fn show(&self) -> toml::Value {
        word(self)
    }
}

impl Scalar for ContentLimit {
    const TYPES: &'static [Type] = &[Type::Integer];

    fn expected() -> String {
        ContentLimitError
            .to_string()
            .trim_start_matches("it must be ")
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|_| None)
    }

    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::try_from(self.bytes()).unwrap_or(i64::MAX))
    }
}

impl Scalar for SessionHeader {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        "the name of a request header".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        Self::from_str(text).map_err(|why| Some(why.to_string()))
    }

    fn show(&self) -> toml::Value {
        text(self.name())
    }
}

/// A file. In the settings file it is looked for from the folder of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct FilePath(pub(in crate::cli) PathBuf);

/// Stands for standard output where a file is asked for.
pub(in crate::cli) const STDOUT: &str = "-";

impl Scalar for FilePath {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        "the name of a file".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        if text.is_empty() {
            Err(None)
        } else {
            Ok(Self(text.into()))
        }
    }

    fn seen_from(&mut self, folder: &Path) {
        if self.0 != Path::new(STDOUT) {
            self.0 = folder.join(&self.0);
        }
    }

    fn show(&self) -> toml::Value {
        text(self.0.to_string_lossy())
    }
}

/// What geophone is to say of its own work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct LogFilter(pub(in crate::cli) String);

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match EnvFilter::try_new(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            Ok(_) => Err(format!("expected {}", Self::expected())),
            Err(error) => Err(format!("{error}; expected {}", Self::expected())),
        }
    }
}

impl Scalar for LogFilter {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        "a level or `module=level` pairs, like `info,tracer_user=debug`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(Some)
    }

    fn show(&self) -> toml::Value {
        text(&self.0)
    }
}

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct PrometheusAddress(pub(in crate::cli) SocketAddr);

impl FromStr for PrometheusAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("localhost:").unwrap_or(text);
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self((Ipv4Addr::LOCALHOST, port).into()));
        }
        text.parse()
            .map(Self)
            .map_err(|_| format!("write {}", Self::expected()))
    }
}

impl Scalar for PrometheusAddress {
    const TYPES: &'static [Type] = &[Type::String, Type::Integer];

    fn expected() -> String {
        "an IP address and a port, like 127.0.0.1:9464, or a port alone".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|_| None)
    }

    fn show(&self) -> toml::Value {
        text(self.0.to_string())
    }
}

/// The name of a pattern to redact, or of a group of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct BuiltinRule(pub(in crate::cli) String);

/// A regular expression to redact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct PatternRule(pub(in crate::cli) String);

/// A JSON path to redact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct PathRule(pub(in crate::cli) String);

/// Names of the rules that are given without one.
pub(in crate::cli) const PATTERN: &str = "pattern";
pub(in crate::cli) const PATH: &str = "path";

impl FromStr for BuiltinRule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Redaction::default().add_builtin(name);
        known
            .map(|()| Self(name.to_owned()))
            .map_err(|error| error.to_string())
    }
}

impl FromStr for PatternRule {
    type Err = String;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        let fine = Redaction::default().add_pattern(PATTERN, expression);
        fine.map(|()| Self(expression.to_owned()))
            .map_err(|error| error.to_string())
    }
}

impl FromStr for PathRule {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        let fine = Redaction::default().add_path(PATH, path);
        fine.map(|()| Self(path.to_owned()))
            .map_err(|error| error.to_string())
    }
}

impl Scalar for BuiltinRule {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        "the name of a pattern, like \"email\", or of a group, like \"personal\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(Some)
    }

    fn show(&self) -> toml::Value {
        text(&self.0)
    }
}

impl Scalar for PatternRule {
    const TYPES: &'static [Type] = &[Type::String];
    const SEPARATOR: char = '\n';

    fn expected() -> String {
        "a regular expression".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(Some)
    }

    fn show(&self) -> toml::Value {
        text(&self.0)
    }
}

impl Scalar for PathRule {
    const TYPES: &'static [Type] = &[Type::String];
    const SEPARATOR: char = '\n';

    fn expected() -> String {
        "a JSON path".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(Some)
    }

    fn show(&self) -> toml::Value {
        text(&self.0)
    }
}

/// A rule of redaction with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct NamedRule {
    pub(in crate::cli) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) path: Option<String>,
}

impl Table for NamedRule {
    fn check(&self) -> Result<(), String> {
        let Self { name, pattern, path } = self;
        Redaction::default()
            .add_rule(name, pattern.as_deref(), path.as_deref())
            .map_err(|error| error.to_string())
    }
}

/// Time between two exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Interval(pub(in crate::cli) NonZeroU64);

impl Interval {
    pub(in crate::cli) fn duration(self) -> Duration {
        Duration::from_millis(self.0.get())
    }
}

impl Scalar for Interval {
    const TYPES: &'static [Type] = &[Type::Integer];

    fn expected() -> String {
        "a number of milliseconds above zero, such as 60000".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.trim().parse().map(Self).map_err(|_| None)
    }

    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::try_from(self.0.get()).unwrap_or(i64::MAX))
    }
}

impl Scalar for NonZeroUsize {
    const TYPES: &'static [Type] = &[Type::Integer];

    fn expected() -> String {
        "a number above zero".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.trim().parse().map_err(|_| None)
    }

    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::try_from(self.get()).unwrap_or(i64::MAX))
    }
}

/// Room for what the probes saw, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct RingSize(pub(in crate::cli) u32);

impl RingSize {
    /// Some of the largest records fit.
    const MIN: u32 = 1 << 16;
    const MAX: u32 = 1 << 30;
}

impl Scalar for RingSize {
    const TYPES: &'static [Type] = &[Type::Integer];

    fn expected() -> String {
        format!("a number of bytes from {} to {}", Self::MIN, Self::MAX)
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        let bytes = text.trim().parse().ok();
        let bytes = bytes.filter(|bytes| (Self::MIN..=Self::MAX).contains(bytes));
        bytes.map(Self).ok_or(None)
    }

    fn show(&self) -> toml::Value {
        toml::Value::Integer(self.0.into())
    }
}

/// Where metrics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum MetricExporter {
    Otlp,
    Prometheus,
    Console,
    None,
}

/// Where log records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum LogExporter {
    Otlp,
    Console,
    None,
    /// What a variable says that is meant for other programs too. It matters where there are log records.
    Unknown(String),
}

impl Scalar for MetricExporter {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        "otlp, prometheus, console, none, or several of them".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        match text {
            "otlp" => Ok(Self::Otlp),
            "prometheus" => Ok(Self::Prometheus),
            "console" | "logging" => Ok(Self::Console),
            "none" => Ok(Self::None),
            _ => Err(None),
        }
    }

    fn show(&self) -> toml::Value {
        text(match self {
            Self::Otlp => "otlp",
            Self::Prometheus => "prometheus",
            Self::Console => "console",
            Self::None => "none",
        })
    }
}

impl Scalar for LogExporter {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        "otlp, console, none, or several of them".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        match text {
            "otlp" => Ok(Self::Otlp),
            "console" | "logging" => Ok(Self::Console),
            "none" => Ok(Self::None),
            _ => Err(None),
        }
    }

    fn parse_shared(text: &str) -> Option<Result<Self, Option<String>>> {
        Some(Ok(Self::parse(text).unwrap_or(Self::Unknown(text.to_owned()))))
    }

    fn show(&self) -> toml::Value {
        text(match self {
            Self::Otlp => "otlp",
            Self::Console => "console",
            Self::None => "none",
            Self::Unknown(word) => word,
        })
    }
}

/// Any text but an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Text(pub(in crate::cli) String);

impl Scalar for Text {
    const TYPES: &'static [Type] = &[Type::String];

    fn expected() -> String {
        "a text that is not empty".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        if text.is_empty() {
            Err(None)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    fn show(&self) -> toml::Value {
        text(&self.0)
    }
}
