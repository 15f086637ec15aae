//! What is collected, free of any exporter's types.

use std::borrow::Cow;
use std::sync::Arc;

use crate::bedrock::histogram::Histogram;
use crate::event::Process;
use crate::genai::span::Attribute;

/// The metrics of every process at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// As of when, ns since the Unix epoch.
    pub time_unix_ns: u64,
    /// Processes in order of pid and start.
    pub processes: Vec<ProcessMetrics>,
}

/// The metrics of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessMetrics {
    /// The process; becomes the OpenTelemetry resource.
    pub process: Arc<Process>,
    /// Its metrics, each name once.
    pub metrics: Vec<Metric>,
}

/// One metric with all its points.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name.
    pub name: Cow<'static, str>,
    /// What it tells, in a sentence.
    pub description: Cow<'static, str>,
    /// Unit in UCUM's words: `s`, `{token}`.
    pub unit: &'static str,
    /// The points.
    pub data: Data,
}

/// Points of a metric, by its kind. What is summed up is cumulative.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Numbers by their size.
    Histogram {
        /// How many of what the histogram counts make one unit of the metric: 1e9 nanoseconds a second.
        per_unit: f64,
        /// The points.
        points: Vec<Point<Histogram>>,
    },
    /// A sum that only grows.
    Counter(Vec<Point<Number>>),
    /// What is the case now.
    Gauge(Vec<Point<Number>>),
}

/// A value for one set of attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<V> {
    /// Attributes; each key once.
    pub attributes: Vec<Attribute>,
    /// Since when it is summed up, ns since the Unix epoch.
    pub start_unix_ns: u64,
    /// The value.
    pub value: V,
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Whole.
    Int(u64),
    /// Not.
    Double(f64),
}
