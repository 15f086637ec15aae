//! What a user asks of the outlets.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(doc)]
use super::QUEUE_SPANS;
use super::otlp::{GrpcError, OtlpSettings, TlsError};

/// What the outlets are built from.
#[derive(Debug, Clone, Default)]
pub struct OutletSettings {
    /// How spans are written.
    pub format: Format,
    /// Where they are written to.
    pub output: Output,
    /// Whether the console tree is in colour.
    pub colour: Colour,
    /// Where spans are sent over OTLP, if anywhere.
    pub otlp: Option<OtlpSettings>,
    /// Most spans that are kept for a backend that is slow or away; [`QUEUE_SPANS`] unless it is said.
    pub queue: Option<NonZeroUsize>,
    /// What to do when spans come faster than an outlet takes them.
    pub when_full: WhenFull,
    /// Where metrics go.
    pub metrics: MetricSettings,
    /// Where the details of calls go as log records, if that is where they go.
    pub logs: LogSettings,
}

/// Where the details of calls go as log records; everywhere else they are events of spans.
#[derive(Debug, Clone, Default)]
pub struct LogSettings {
    /// Where they are sent over OTLP.
    pub otlp: Option<OtlpSettings>,
    /// Whether they have lines of their own among spans in OTLP JSON.
    pub written: bool,
}

/// Where metrics go.
#[derive(Debug, Clone, Default)]
pub struct MetricSettings {
    /// Where they are sent over OTLP, and how often.
    pub otlp: Option<(OtlpSettings, Duration)>,
    /// Where Prometheus may fetch them.
    pub prometheus: Option<SocketAddr>,
    /// Whether they are written behind the last span.
    pub written: bool,
}

impl MetricSettings {
    /// Whether they go anywhere.
    pub fn any(&self) -> bool {
        let Self {
            otlp,
            prometheus,
            written,
        } = self;
        otlp.is_some() || prometheus.is_some() || *written
    }
}

/// Where spans are written to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Output {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error, when standard output belongs to the traced command.
    Stderr,
    /// A file, made anew.
    File(PathBuf),
}

/// How spans are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A tree for people.
    #[default]
    Pretty,
    /// One OTLP request in JSON a line, as the OpenTelemetry file exporter writes it.
    OtlpJson,
    /// Nothing is written.
    None,
}

/// Whether the console tree is in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do when spans come faster than an outlet takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Drop the oldest span and count it: tracing live, the next event does not wait.
    #[default]
    DropOldest,
    /// Wait for room: a replay has all the time it needs.
    Wait,
}

/// An outlet that cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The output file cannot be made.
    #[error(
        "cannot write spans to {}: {source}; choose another file with --output, or leave it out to write to the terminal",
        path.display()
    )]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address for Prometheus cannot be listened on.
    #[error("cannot serve metrics on {address}: {source}; choose another address or port with --prometheus")]
    Prometheus {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread for an outlet cannot be started.
    #[error(
        "cannot start a thread to write spans: {0}; the limit on threads (ulimit -u, pids.max) may be reached"
    )]
    Thread(io::Error),
    /// TLS towards the OTLP backend cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The OTLP backend cannot be sent to over gRPC.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
}

impl Output {
    /// Whether a person reads it as it comes.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
            Self::File(_) => false,
        }
    }
}

impl Colour {
    /// Decides for an output. `variable` reads the environment.
    pub(super) fn decide(self, to_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            // <https://no-color.org>: any value but the empty one turns colour off.
            Self::Auto => to_terminal && !is_set("NO_COLOR") && variable("TERM").as_deref() != Some("dumb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Colour;

    #[test]
    fn colour_is_for_terminals_whose_owner_did_not_turn_it_off() {
        let nothing = |_: &str| None;
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        let empty = |name: &str| (name == "NO_COLOR").then(String::new);
        let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_owned());
        assert!(Colour::Auto.decide(true, nothing));
        assert!(Colour::Auto.decide(true, empty));
        assert!(!Colour::Auto.decide(false, nothing));
        assert!(!Colour::Auto.decide(true, no_color));
        assert!(!Colour::Auto.decide(true, dumb));
        assert!(Colour::Always.decide(false, no_color));
        assert!(!Colour::Never.decide(true, nothing));
    }
}
