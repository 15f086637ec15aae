//! Metrics for people: a line for each point.

use std::io::{self, Write};

use super::{Collected, in_units};
use crate::bedrock::histogram::Histogram;
use crate::export::text;
use crate::genai::metrics::{Data, Metric, Number};
use crate::genai::span::{Attribute, Value};

/// Attributes that are the same on nearly every line, and say nothing to a person.
const LEFT_OUT: [&str; 4] = [
    crate::genai::semconv::PROVIDER_NAME,
    crate::genai::semconv::SERVER_ADDRESS,
    crate::genai::semconv::SERVER_PORT,
    crate::genai::semconv::TOKEN_MODALITY,
];

/// Writes the metrics of every process.
pub(in crate::export) fn table(collected: &Collected, output: &mut dyn Write) -> io::Result<()> {
    for group in &collected.groups {
        writeln!(output, "metrics of {}", text::clean(&group.resource.service_name))?;
        for metric in &group.metrics {
            write_metric(metric, output)?;
        }
    }
    Ok(())
}

fn write_metric(metric: &Metric, output: &mut dyn Write) -> io::Result<()> {
    let unit = metric.unit.trim_matches(|letter| "{}".contains(letter));
    writeln!(output, "  {} ({unit})", metric.name)?;
    match &metric.data {
        Data::Histogram { per_unit, points } => {
            for point in points {
                let value = summary(&point.value, *per_unit);
                writeln!(output, "    {value}  {}", words(&point.attributes))?;
            }
        }
        Data::Counter(points) | Data::Gauge(points) => {
            for point in points {
                let value = match point.value {
                    Number::Int(number) => number.to_string(),
                    Number::Double(number) => format!("{number:.6}"),
                };
                writeln!(output, "    {value}  {}", words(&point.attributes))?;
            }
        }
    }
    Ok(())
}

fn summary(histogram: &Histogram, per_unit: f64) -> String {
    let count = histogram.count();
    let mean = in_units(histogram.sum() / count.max(1), per_unit);
    let (min, max) = histogram.extremes().unwrap_or_default();
    let digits = if per_unit > 1.0 { 3 } else { 0 };
    let shown = |value: f64| format!("{value:.digits$}");
    format!(
        "n={count} mean={} min={} max={}",
        shown(mean),
        shown(in_units(min, per_unit)),
        shown(in_units(max, per_unit))
    )
}

fn words(attributes: &[Attribute]) -> String {
    let told = attributes
        .iter()
        .filter(|attribute| !LEFT_OUT.contains(&attribute.key));
    let words = told.map(|Attribute { key, value }| {
        let value = match value {
            Value::String(text) => text::clean(text),
            Value::Int(number) => number.to_string(),
            Value::Double(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Strings(texts) => text::clean(&texts.join(",")),
        };
        let name = key.rsplit_once('.').map_or(*key, |(_, name)| name);
        format!("{name}={value}")
    });
    words.collect::<Vec<_>>().join(" ")
}
