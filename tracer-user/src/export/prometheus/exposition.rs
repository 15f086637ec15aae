//! Metrics in Prometheus's text, by OpenTelemetry's rules.
//!
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>: dots become underscores, units and
//! `_total` become suffixes, resources become `target_info`. So that several processes can be told apart in one answer, each
//! line has the labels `service_name` and `process_pid`, by which `target_info` can be joined.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::negotiation::Format;
use crate::bedrock::histogram::Histogram;
use crate::enrich::{Resource, ResourceAttribute};
use crate::export::metrics::{Collected, in_units};
use crate::genai::metrics::{Data, Metric, Number};
use crate::genai::span::{Attribute, Value};

/// Every line of one name.
struct Family {
    help: String,
    unit: &'static str,
    kind: Kind,
    samples: BTreeMap<String, Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Histogram,
    Counter,
    Gauge,
}

enum Sample {
    Histogram { value: Histogram, per_unit: f64 },
    Number(Number),
}

/// All of it as text.
pub(super) fn text(collected: &Collected, format: Format) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut targets = BTreeSet::new();
    for group in &collected.groups {
        targets.insert(target_labels(&group.resource));
        let identity = identity(&group.resource);
        for metric in &group.metrics {
            add(metric, &identity, &mut families);
        }
    }
    let mut text = String::new();
    let mut out = Output {
        text: &mut text,
        format,
    };
    if !targets.is_empty() {
        out.head(
            "target_info",
            "Who the labels service_name and process_pid stand for.",
            "",
            Kind::Gauge,
        );
        for labels in &targets {
            out.line("target_info", labels, None, "1");
        }
    }
    for (name, family) in &families {
        out.family(name, family);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn add(metric: &Metric, identity: &str, families: &mut BTreeMap<String, Family>) {
    let Metric {
        name,
        description,
        unit,
        data,
    } = metric;
    let unit = unit_word(unit);
    let (kind, samples): (Kind, Vec<(&[Attribute], Sample)>) = match data {
        Data::Histogram { per_unit, points } => {
            let sample = |value| Sample::Histogram {
                value,
                per_unit: *per_unit,
            };
            let points = points.iter();
            let samples = points.map(|point| (point.attributes.as_slice(), sample(point.value)));
            (Kind::Histogram, samples.collect())
        }
        Data::Counter(points) | Data::Gauge(points) => {
            let points = points.iter();
            let samples = points.map(|point| (point.attributes.as_slice(), Sample::Number(point.value)));
            let kind = if matches!(data, Data::Counter(_)) {
                Kind::Counter
            } else {
                Kind::Gauge
            };
            (kind, samples.collect())
        }
    };
    let mut name = label_name(name);
    if !unit.is_empty() && !name.ends_with(unit) {
        name = format!("{name}_{unit}");
    }
    let family = families.entry(name).or_insert_with(|| Family {
        help: description.to_string(),
        unit,
        kind,
        samples: BTreeMap::new(),
    });
    for (attributes, sample) in samples {
        let mut labels = identity.to_owned();
        for Attribute { key, value } in attributes {
            label(&mut labels, key, value);
        }
        // Two processes that cannot be told apart, a pid that was given again: one line, as Prometheus wants it.
        match family.samples.get_mut(&labels) {
            Some(known) => known.merge(&sample),
            None => {
                family.samples.insert(labels, sample);
            }
        }
    }
}

impl Sample {
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Histogram { value, .. }, Self::Histogram { value: more, .. }) => value.merge(more),
            (Self::Number(Number::Int(sum)), Self::Number(Number::Int(more))) => {
                *sum = sum.saturating_add(*more);
            }
            (Self::Number(Number::Double(sum)), Self::Number(Number::Double(more))) => *sum += more,
            // One metric has numbers of one kind.
            (Self::Histogram { .. } | Self::Number(_), _) => {}
        }
    }
}

struct Output<'t> {
    text: &'t mut String,
    format: Format,
}

impl Output<'_> {
    fn family(&mut self, name: &str, family: &Family) {
        let Family {
            help,
            unit,
            kind,
            samples,
        } = family;
        self.head(name, help, unit, *kind);
        for (labels, sample) in samples {
            match sample {
                Sample::Histogram { value, per_unit } => self.histogram(name, labels, value, *per_unit),
                Sample::Number(number) => {
                    let suffixed = if *kind == Kind::Counter {
                        format!("{name}_total")
                    } else {
                        name.to_owned()
                    };
                    let value = match number {
                        Number::Int(number) => number.to_string(),
                        Number::Double(number) => float(*number),
                    };
                    self.line(&suffixed, labels, None, &value);
                }
            }
        }
    }

    /// In the text format a counter's suffix is part of its name, in `OpenMetrics` it is not.
    fn head(&mut self, name: &str, help: &str, unit: &str, kind: Kind) {
        let name = match (kind, self.format) {
            (Kind::Counter, Format::Text) => format!("{name}_total"),
            _ => name.to_owned(),
        };
        // The name of an info metric in OpenMetrics has no suffix either.
        let (name, word) = match (kind, self.format) {
            (Kind::Gauge, Format::OpenMetrics) if name == "target_info" => ("target".to_owned(), "info"),
            (Kind::Gauge, _) => (name, "gauge"),
            (Kind::Counter, _) => (name, "counter"),
            (Kind::Histogram, _) => (name, "histogram"),
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        writeln!(self.text, "# HELP {name} {help}").ok();
        writeln!(self.text, "# TYPE {name} {word}").ok();
        if self.format == Format::OpenMetrics && !unit.is_empty() {
            writeln!(self.text, "# UNIT {name} {unit}").ok();
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram, per_unit: f64) {
        let bounds = histogram.buckets().bounds();
        let bounds = bounds.iter().map(|bound| float(in_units(*bound, per_unit)));
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (count, bound) in histogram.counts().iter().zip(bounds.chain(["+Inf".to_owned()])) {
            below += count;
            self.line(&bucket, labels, Some(&bound), &below.to_string());
        }
        let sum = float(in_units(histogram.sum(), per_unit));
        self.line(&format!("{name}_sum"), labels, None, &sum);
        self.line(&format!("{name}_count"), labels, None, &below.to_string());
    }

    fn line(&mut self, name: &str, labels: &str, bound: Option<&str>, value: &str) {
        let bound = bound.map(|bound| format!(",le=\"{bound}\"")).unwrap_or_default();
        writeln!(self.text, "{name}{{{labels}{bound}}} {value}").ok();
    }
}

/// `1.0` and not `1`: in `OpenMetrics` a bound is a float.
fn float(number: f64) -> String {
    format!("{number:?}")
}

/// A unit as a suffix: UCUM's annotations (`{token}`) are none.
fn unit_word(unit: &str) -> &'static str {
    match unit {
        "s" => "seconds",
        "By" => "bytes",
        _ => "",
    }
}

/// The labels that every line has.
fn identity(resource: &Resource) -> String {
    let mut labels = String::new();
    let service = Value::String(resource.service_name.clone().into());
    label(&mut labels, "service.name", &service);
    label(&mut labels, "process.pid", &Value::Int(resource.pid.into()));
    labels
}

fn target_labels(resource: &Resource) -> String {
    let mut labels = identity(resource);
    // Keys may be a user's own, and two of them the same once spelled as labels.
    let mut known = BTreeSet::from([label_name("service.name"), label_name("process.pid")]);
    for ResourceAttribute { key, value } in &resource.attributes {
        if known.insert(label_name(key)) {
            label(&mut labels, key, value);
        }
    }
    labels
}

/// Adds `name="value"`.
fn label(labels: &mut String, key: &str, value: &Value) {
    let value = match value {
        Value::String(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Strings(texts) => texts.join(","),
    };
    let comma = if labels.is_empty() { "" } else { "," };
    write!(labels, "{comma}{}=\"", label_name(key)).ok();
    for character in value.chars() {
        match character {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            other => labels.push(other),
        }
    }
    labels.push('"');
}

/// Letters, digits and underscores; no digit first, nor two underscores: those names are Prometheus's own, and one line that
/// has `__name__` for a label would make it refuse all others with it.
fn label_name(name: &str) -> String {
    let allowed = |character: char| {
        if character.is_ascii_alphanumeric() {
            character
        } else {
            '_'
        }
    };
    let mut label: String = name.chars().map(allowed).collect();
    if label.starts_with(|first: char| first.is_ascii_digit()) {
        label.insert(0, '_');
    }
    if label.starts_with("__") {
        label.insert_str(0, "key");
    }
    label
}
