//! Every setting of geophone, with what was given for it and by whom.
//!
//! ```text
//!  default  <  file  <  variable  <  flag
//! ```
//!
//! [`Settings`] is what they all become. A new setting is a field here, a line in [`Settings::visit`], a [`Key`] in `keys.rs` and
//! a row in `docs/configuration.md`: then the file and the environment have it, `geophone config` checks and shows it, and a
//! reload tells its changes. A flag for it is a line in `flags.rs`. What SIGHUP changes is applied in `cli/reload.rs`.

mod environment;
mod file;
mod flags;
mod key;
mod keys;
mod layers;
mod otlp;
mod problem;
mod rows;
mod setting;
mod tables;
#[cfg(test)]
mod tests;
mod value;
mod values;

use super::arguments::{Content, Semconv, SpanFormat};
use crate::bedrock::session::SessionHeader;
use crate::genai::ContentLimit;
use crate::probe;
use crate::select::{RuleSettings, Term};

pub(super) use key::{Key, Reload};
pub(super) use layers::{Loaded, file_of, load, read};
pub(super) use otlp::Otlp;
pub(super) use problem::Problems;
pub(super) use rows::Row;
pub(super) use setting::{Origin, Setting};
pub(super) use tables::{Table, Tables};
#[cfg(test)]
pub(super) use tests::mistakes;
pub(super) use value::{Scalar, Type, Value};
pub(super) use values::{
    BuiltinRule, FilePath, Interval, LogExporter, LogFilter, MetricExporter, NamedRule, PATH, PATTERN,
    PathRule, PatternRule, PrometheusAddress, RingSize, STDOUT, Text,
};

/// Everything that geophone may be told.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// `[spans]`
    pub(super) spans: Spans,
    /// `[content]`
    pub(super) content: ContentTable,
    /// `[redaction]`
    pub(super) redaction: Redaction,
    /// `[sessions]`
    pub(super) sessions: Sessions,
    /// `[prices]`
    pub(super) prices: Prices,
    /// `[metrics]`
    pub(super) metrics: Metrics,
    /// `[otlp]`
    pub(super) otlp: Otlp,
    /// `[probes]`
    pub(super) probes: Probes,
    /// `[selection]`
    pub(super) selection: Selection,
    /// `[kubernetes]`
    pub(super) kubernetes: Kubernetes,
    /// `[log]`
    pub(super) log: Log,
}

/// How spans are made and written.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans {
    pub(super) format: Setting<SpanFormat>,
    pub(super) output: Setting<FilePath>,
    pub(super) semconv: Setting<Semconv>,
    pub(super) tool_loop: Setting<bool>,
}

/// What becomes of prompts and completions.
#[derive(Debug, Clone, Default)]
pub(super) struct ContentTable {
    pub(super) capture: Setting<Content>,
    pub(super) limit: Setting<ContentLimit>,
    pub(super) exporters: Setting<Vec<LogExporter>>,
}

/// What is taken out before anything leaves geophone. Here the layers add up: none lets through what another takes out.
#[derive(Debug, Clone, Default)]
pub(super) struct Redaction {
    pub(super) builtin: Setting<Vec<BuiltinRule>>,
    pub(super) patterns: Setting<Vec<PatternRule>>,
    pub(super) paths: Setting<Vec<PathRule>>,
    pub(super) files: Setting<Vec<FilePath>>,
    pub(super) rules: Setting<Tables<NamedRule>>,
}

/// Where sessions are told.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    pub(super) headers: Setting<Vec<SessionHeader>>,
}

/// What calls cost.
#[derive(Debug, Clone, Default)]
pub(super) struct Prices {
    pub(super) file: Setting<FilePath>,
}

/// Where metrics go.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    pub(super) write: Setting<bool>,
    pub(super) prometheus: Setting<PrometheusAddress>,
    pub(super) exporters: Setting<Vec<MetricExporter>>,
    pub(super) interval_ms: Setting<Interval>,
}

/// What is asked of the probes.
#[derive(Debug, Clone, Default)]
pub(super) struct Probes {
    pub(super) ring_size: Setting<RingSize>,
}

impl Probes {
    /// Size of the ring buffer.
    pub(super) fn ring_bytes(&self) -> u32 {
        self.ring_size
            .get()
            .map_or(probe::Options::DEFAULT_RING_BYTES, |RingSize(bytes)| *bytes)
    }
}

/// Whom to trace, and whom to leave alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) trace: Setting<bool>,
    pub(super) content: Setting<bool>,
    pub(super) only: Setting<Vec<Term>>,
    /// Here the layers add up: none lets through what another leaves alone.
    pub(super) skip: Setting<Vec<Term>>,
    pub(super) rules: Setting<Tables<RuleSettings>>,
}

/// What is asked of Kubernetes.
#[derive(Debug, Clone, Default)]
pub(super) struct Kubernetes {
    pub(super) node: Setting<Text>,
}

/// What geophone says of its own work.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) filter: Setting<LogFilter>,
}

/// Goes from setting to setting.
trait Visitor {
    fn setting<T: Value>(&mut self, key: &'static Key, setting: &mut Setting<T>);
}

impl Settings {
    /// Shows a visitor every setting, in the order of the file.
    fn visit(&mut self, visitor: &mut impl Visitor) {
        let Self {
            spans,
            content,
            redaction,
            sessions,
            prices,
            metrics,
            otlp,
            probes,
            selection,
            kubernetes,
            log,
        } = self;
        let Spans {
            format,
            output,
            semconv,
            tool_loop,
        } = spans;
        visitor.setting(&keys::FORMAT, format);
        visitor.setting(&keys::OUTPUT, output);
        visitor.setting(&keys::SEMCONV, semconv);
        visitor.setting(&keys::TOOL_LOOP, tool_loop);
        let ContentTable {
            capture,
            limit,
            exporters,
        } = content;
        visitor.setting(&keys::CAPTURE, capture);
        visitor.setting(&keys::LIMIT, limit);
        visitor.setting(&keys::LOG_EXPORTERS, exporters);
        let Redaction {
            builtin,
            patterns,
            paths,
            files,
            rules,
        } = redaction;
        visitor.setting(&keys::BUILTIN, builtin);
        visitor.setting(&keys::PATTERNS, patterns);
        visitor.setting(&keys::PATHS, paths);
        visitor.setting(&keys::FILES, files);
        visitor.setting(&keys::RULES, rules);
        let Sessions { headers } = sessions;
        visitor.setting(&keys::SESSION_HEADERS, headers);
        let Prices { file } = prices;
        visitor.setting(&keys::PRICES, file);
        let Metrics {
            write,
            prometheus,
            exporters,
            interval_ms,
        } = metrics;
        visitor.setting(&keys::WRITE, write);
        visitor.setting(&keys::PROMETHEUS, prometheus);
        visitor.setting(&keys::METRIC_EXPORTERS, exporters);
        visitor.setting(&keys::INTERVAL, interval_ms);
        otlp.visit(visitor);
        let Probes { ring_size } = probes;
        visitor.setting(&keys::RING_SIZE, ring_size);
        let Selection {
            trace,
            content,
            only,
            skip,
            rules,
        } = selection;
        visitor.setting(&keys::TRACE, trace);
        visitor.setting(&keys::MAY_HAVE_CONTENT, content);
        visitor.setting(&keys::ONLY, only);
        visitor.setting(&keys::SKIP, skip);
        visitor.setting(&keys::SELECTION_RULES, rules);
        let Kubernetes { node } = kubernetes;
        visitor.setting(&keys::NODE, node);
        let Log { filter } = log;
        visitor.setting(&keys::LOG_FILTER, filter);
    }
}
