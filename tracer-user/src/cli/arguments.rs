//! What a user may ask for.

#![allow(
    clippy::doc_markdown,
    reason = "these comments are the help text, which no one sees as Markdown"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

use super::config::Config;
use super::selection::SelectionOptions;
use super::settings::{
    BuiltinRule, LogFilter, PathRule, PatternRule, PrometheusAddress, RingSize, Scalar as _,
};
use crate::bedrock::session::{BadSessionHeader, SessionHeader};
use crate::genai::ContentLimit;

/// Traces Amazon Bedrock calls of any process, without touching the process.
///
/// Kernel probes on the plaintext side of TLS see every call; each becomes an OpenTelemetry gen_ai span.
#[derive(Debug, Clone, Parser)]
#[command(name = "geophone", version, max_term_width = 110)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
    /// How much geophone says about its own work.
    #[command(flatten)]
    pub(super) log: LogOptions,
    /// File with settings (TOML); flags and the environment go before it.
    ///
    /// Without it GEOPHONE_CONFIG names the file, and `run` and `top` read /etc/geophone/geophone.toml if that is there.
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// Trace every process of this host, present and future.
    ///
    /// Ends with Ctrl-C or SIGTERM.
    Run(Run),
    /// Trace running processes and the children they start from now on.
    ///
    /// Ends when all of them have ended, or with Ctrl-C. They go on undisturbed.
    Attach(Attach),
    /// Run a command and trace it from its first instruction.
    ///
    /// The command keeps its standard input, output and error, and its exit code is geophone's (128 + number when a
    /// signal ended it, 126 when it cannot be run, 127 when it is not found). Spans go to standard error unless --output
    /// says otherwise.
    Exec(Exec),
    /// Record what the probes see, to be replayed later or opened with Wireshark.
    ///
    /// The file holds prompts and completions, with credentials blanked; only its owner may read it. Spans are written
    /// as well when --format, --output or --otlp asks for them.
    Record(Record),
    /// Make spans of a recording: the same as when it was recorded, ids included.
    ///
    /// Needs no privileges. What a damaged file lost is named at the end.
    Replay(Replay),
    /// Watch calls as they happen, on a screen.
    ///
    /// What is in flight, and figures by model, service and session, of every process or those of --pid; with a file, of a
    /// recording, and it stays open. `?` tells the keys. Prompts and completions are never shown.
    Top(Top),
    /// Say what can be traced on this host, what cannot, and how to change that.
    ///
    /// Ends with exit code 1 when nothing can be traced. With files: whether programs and libraries could be traced, and
    /// where the probes would go.
    Doctor(Doctor),
    /// Check and show settings.
    #[command(subcommand)]
    Config(Config),
    /// Wait to be released by the parent, then become the command.
    #[command(name = super::gate::NAME, hide = true)]
    Gate(Gate),
}

/// What to look at.
#[derive(Debug, Clone, Args)]
pub(super) struct Doctor {
    /// Look into these files instead of at the host.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) selection: SelectionOptions,
    #[command(flatten)]
    pub(super) kubernetes: KubernetesOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) spans: SpanOptions,
    #[command(flatten)]
    pub(super) probes: ProbeOptions,
    #[command(flatten)]
    pub(super) kubernetes: KubernetesOptions,
    #[command(flatten)]
    pub(super) selection: SelectionOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Attach {
    /// Process to trace; may be given several times or as a list.
    #[arg(long = "pid", short = 'p', value_name = "PID", required = true, value_delimiter = ',', value_parser = pid())]
    pub(super) pids: Vec<u32>,
    #[command(flatten)]
    pub(super) spans: SpanOptions,
    #[command(flatten)]
    pub(super) probes: ProbeOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Exec {
    #[command(flatten)]
    pub(super) spans: SpanOptions,
    #[command(flatten)]
    pub(super) probes: ProbeOptions,
    /// Command to run, with its arguments.
    #[arg(last = true, value_name = "CMD", required = true, num_args = 1..)]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Clone, Args)]
#[command(override_usage = "geophone record [OPTIONS] -o <FILE> <--pid <PID>|-- <CMD>...>")]
#[command(group = ArgGroup::new("target").required(true).args(["pids", "command"]))]
pub(super) struct Record {
    /// File to record to; a file of that name is replaced. `-` for standard output.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(super) recording: PathBuf,
    /// Process to record; may be given several times or as a list.
    #[arg(long = "pid", short = 'p', value_name = "PID", value_delimiter = ',', value_parser = pid())]
    pub(super) pids: Vec<u32>,
    #[command(flatten)]
    pub(super) spans: SpanOptions,
    #[command(flatten)]
    pub(super) probes: ProbeOptions,
    /// Command to run and record, with its arguments.
    #[arg(last = true, value_name = "CMD", num_args = 1..)]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Replay {
    /// Recording to read; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) spans: SpanOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Top {
    /// Recording to look at instead of this host; `-` for standard input.
    #[arg(value_name = "FILE", conflicts_with = "pids")]
    pub(super) file: Option<PathBuf>,
    /// Process to watch; may be given several times or as a list.
    #[arg(long = "pid", short = 'p', value_name = "PID", value_delimiter = ',', value_parser = pid())]
    pub(super) pids: Vec<u32>,
    /// Price list that goes before the one compiled in: LiteLLM's model_prices_and_context_window.json, or TOML.
    #[arg(long, value_name = "FILE")]
    pub(super) prices: Option<PathBuf>,
    /// Request header that holds a session or conversation id; may be given several times, the most telling first.
    #[arg(long = "session-header", value_name = "NAME", value_parser = session_header)]
    pub(super) session_headers: Vec<SessionHeader>,
    #[command(flatten)]
    pub(super) kubernetes: KubernetesOptions,
    #[command(flatten)]
    pub(super) selection: SelectionOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Gate {
    /// Process that opens the gate.
    #[arg(long)]
    pub(super) parent: i32,
    #[arg(last = true, required = true, num_args = 1..)]
    pub(super) command: Vec<OsString>,
}

/// What is done with spans.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Spans")]
pub(super) struct SpanOptions {
    /// How spans are written: `pretty` on a terminal, else `otlp-json`.
    ///
    /// When they are sent to a backend they are not written into a pipe or file as well, unless told here or by --output.
    #[arg(long, value_enum)]
    pub(super) format: Option<SpanFormat>,
    /// File that spans are written to; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Send spans to an OpenTelemetry backend.
    ///
    /// On by itself when OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set; without them spans go
    /// to port 4318 of this host. The other OTEL_EXPORTER_OTLP_* variables hold as OpenTelemetry describes them.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) otlp: Option<bool>,
    /// Whose names are used. Unless given, OTEL_SEMCONV_STABILITY_OPT_IN is asked.
    #[arg(long, value_enum, value_name = "VERSION")]
    pub(super) semconv: Option<Semconv>,
    /// Put prompts and completions on spans, on events, or on both. Spans unless told.
    ///
    /// Unless given, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is asked; without it they stay away. Events are log
    /// records in OTLP and in `otlp-json`; OTEL_LOGS_EXPORTER=none leaves them on spans.
    #[arg(long, value_enum, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = "span")]
    pub(super) content: Option<Content>,
    /// Price list that goes before the one compiled in: LiteLLM's model_prices_and_context_window.json, or TOML.
    ///
    /// A call without a known price gets no cost. docs/prices.md describes the format.
    #[arg(long, value_name = "FILE")]
    pub(super) prices: Option<PathBuf>,
    /// About how long a content attribute may be: long texts are cut, and of a long conversation the end is kept.
    ///
    /// 262144 unless told.
    #[arg(long, value_name = "BYTES")]
    pub(super) content_limit: Option<ContentLimit>,
    /// Request header that holds a session or conversation id; may be given several times, the most telling first.
    ///
    /// Bedrock's own sessions, request metadata and baggage (`session.id`) are read without it. Headers that hold
    /// credentials are refused.
    #[arg(long = "session-header", value_name = "NAME", value_parser = session_header)]
    pub(super) session_headers: Vec<SessionHeader>,
    #[command(flatten)]
    pub(super) metrics: MetricOptions,
    #[command(flatten)]
    pub(super) redaction: RedactionOptions,
    /// Infer the loops of agents: calls that hand results of tools to the model become one trace.
    ///
    /// A result proves by its id which answer asked for it. An invoke_agent span around the calls and execute_tool spans
    /// between them are added, marked geophone.inferred. The first call of what may be a loop is told when its successor
    /// came, the process ended, or five minutes have passed.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) tool_loop: Option<bool>,
}

/// What is asked of the probes.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Probes")]
pub(super) struct ProbeOptions {
    /// Room for what the probes saw and geophone has not read yet: memory of the kernel, shared by all processes.
    ///
    /// 33554432 unless told; rounded up to a power of two. What does not fit is lost: spans say what is missing
    /// (geophone.incomplete), and geophone.lost_records counts it as process_share or ring_full.
    #[arg(long, value_name = "BYTES", value_parser = ring_size)]
    pub(super) ring_size: Option<RingSize>,
}

/// What is asked of Kubernetes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub(super) struct KubernetesOptions {
    /// Ask the API server for the pods of this node, so that telemetry names pods, containers and workloads.
    ///
    /// Needs the right to list and watch pods and namespaces. Unless given, NODE_NAME is asked.
    #[cfg(feature = "k8s")]
    #[arg(long, value_name = "NODE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) kubernetes_node: Option<String>,
}

/// What is done with metrics.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Metrics")]
pub(super) struct MetricOptions {
    /// Write the metrics as well, once, behind the last span.
    ///
    /// With --otlp, or OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_METRICS_ENDPOINT set, they are sent to the backend
    /// without it, every OTEL_METRIC_EXPORT_INTERVAL milliseconds and at the end; OTEL_METRICS_EXPORTER=none prevents that.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) metrics: Option<bool>,
    /// Serve the metrics to Prometheus at http://ADDR/metrics, and signs of life at /healthz and /readyz.
    ///
    /// A port alone means this host only: `9464` is 127.0.0.1:9464.
    #[arg(long, value_name = "ADDR")]
    pub(super) prometheus: Option<PrometheusAddress>,
}

/// Releases of OpenTelemetry's gen_ai conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Semconv {
    /// The last release with the general conventions (default).
    #[value(name = "1.41")]
    V1_41,
    /// What came after it.
    Latest,
    /// Everything by both names.
    Both,
}

/// Where prompts and completions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Content {
    /// Nowhere.
    None,
    /// On spans.
    Span,
    /// On events.
    Event,
    /// On spans and on events.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SpanFormat {
    /// A tree for people.
    Pretty,
    /// One OTLP request in JSON a line, as the OpenTelemetry file exporter writes it.
    OtlpJson,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub(super) struct LogOptions {
    /// Say more on standard error; twice for everything.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(super) verbose: u8,
    /// What to say, as filter directives: `debug`, `tracer_user::probe=trace`. Unless given, GEOPHONE_LOG is asked.
    #[arg(long, value_name = "FILTER", global = true)]
    pub(super) log: Option<LogFilter>,
}

/// What is taken out of prompts, completions and messages of failures before anything leaves geophone.
///
/// Recordings are not redacted: they hold what passed.
#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Redaction")]
pub(super) struct RedactionOptions {
    /// Take out what has a known form: email, credit-card, secrets, personal, all, … may be given as a list.
    ///
    /// Single ones: api-key, aws-access-key-id, aws-secret-access-key, credit-card, email, iban, ipv4, jwt, phone,
    /// private-key, us-ssn. Groups: secrets, personal, all.
    #[arg(long = "redact", value_name = "NAME", value_delimiter = ',')]
    pub(super) names: Vec<BuiltinRule>,
    /// Take out what this regular expression matches; of a group called `redact` that alone.
    #[arg(long = "redact-pattern", value_name = "REGEX")]
    pub(super) patterns: Vec<PatternRule>,
    /// Take out what this JSON path (RFC 9535) selects of the content attributes, like `$..password`.
    #[arg(long = "redact-path", value_name = "PATH")]
    pub(super) paths: Vec<PathRule>,
    /// File with rules (TOML): `builtin = ["email"]`, and tables `[[rule]]` of `name` and `pattern` or `path`.
    #[arg(long = "redact-file", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

fn session_header(text: &str) -> Result<SessionHeader, BadSessionHeader> {
    text.parse()
}

fn ring_size(text: &str) -> Result<RingSize, String> {
    RingSize::parse(text).map_err(|_| format!("write {}", RingSize::expected()))
}

/// Process ids as Linux gives them: at most 2^22.
fn pid() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=1 << 22)
}
