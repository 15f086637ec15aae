//! Metrics as OTLP's protobuf messages. The SDK's own types cannot be made outside of it.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as proto;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};

use super::Collected;
use super::collected::Group;
use crate::bedrock::histogram::Histogram;
use crate::export::transform;
use crate::genai::metrics::{Data, Metric, Number, Point};

/// All of it as one request.
pub(in crate::export) fn request(collected: &Collected) -> ExportMetricsServiceRequest {
    let Collected { time_unix_ns, groups } = collected;
    ExportMetricsServiceRequest {
        resource_metrics: groups
            .iter()
            .map(|group| resource_metrics(group, *time_unix_ns))
            .collect(),
    }
}

fn resource_metrics(group: &Group, time_unix_ns: u64) -> proto::ResourceMetrics {
    let Group { resource, metrics } = group;
    proto::ResourceMetrics {
        resource: Some(transform::proto_resource(resource)),
        scope_metrics: vec![proto::ScopeMetrics {
            scope: Some(InstrumentationScope::from((&transform::scope(), None))),
            metrics: metrics
                .iter()
                .map(|metric| proto_metric(metric, time_unix_ns))
                .collect(),
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    }
}

fn proto_metric(metric: &Metric, time_unix_ns: u64) -> proto::Metric {
    let Metric {
        name,
        description,
        unit,
        data,
    } = metric;
    let cumulative = proto::AggregationTemporality::Cumulative.into();
    let numbers = |points: &[Point<Number>]| {
        let points = points.iter();
        points.map(|point| number_point(point, time_unix_ns)).collect()
    };
    proto::Metric {
        name: name.to_string(),
        description: description.to_string(),
        unit: (*unit).to_owned(),
        metadata: Vec::new(),
        data: Some(match data {
            Data::Histogram { per_unit, points } => metric::Data::Histogram(proto::Histogram {
                data_points: points
                    .iter()
                    .map(|point| histogram_point(point, *per_unit, time_unix_ns))
                    .collect(),
                aggregation_temporality: cumulative,
            }),
            Data::Counter(points) => metric::Data::Sum(proto::Sum {
                data_points: numbers(points),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            Data::Gauge(points) => metric::Data::Gauge(proto::Gauge {
                data_points: numbers(points),
            }),
        }),
    }
}

fn histogram_point(point: &Point<Histogram>, per_unit: f64, time_unix_ns: u64) -> proto::HistogramDataPoint {
    let histogram = &point.value;
    let scaled = |value| in_units(value, per_unit);
    let bounds = histogram.buckets().bounds();
    let (min, max) = histogram.extremes().unzip();
    proto::HistogramDataPoint {
        attributes: attributes(point),
        start_time_unix_nano: point.start_unix_ns,
        time_unix_nano: time_unix_ns,
        count: histogram.count(),
        sum: Some(scaled(histogram.sum())),
        bucket_counts: histogram.counts().to_vec(),
        explicit_bounds: bounds.into_iter().map(scaled).collect(),
        min: min.map(scaled),
        max: max.map(scaled),
        ..proto::HistogramDataPoint::default()
    }
}

fn number_point(point: &Point<Number>, time_unix_ns: u64) -> proto::NumberDataPoint {
    proto::NumberDataPoint {
        attributes: attributes(point),
        start_time_unix_nano: point.start_unix_ns,
        time_unix_nano: time_unix_ns,
        value: Some(match point.value {
            Number::Int(number) => number_data_point::Value::AsInt(i64::try_from(number).unwrap_or(i64::MAX)),
            Number::Double(number) => number_data_point::Value::AsDouble(number),
        }),
        ..proto::NumberDataPoint::default()
    }
}

fn attributes<V>(point: &Point<V>) -> Vec<KeyValue> {
    point.attributes.iter().map(transform::proto_attribute).collect()
}

/// What is counted in whole small things, in the units that it is told in.
#[allow(
    clippy::cast_precision_loss,
    reason = "sums beyond 2^53 are told to 16 digits"
)]
pub(in crate::export) fn in_units(value: u64, per_unit: f64) -> f64 {
    value as f64 / per_unit
}
