//! Requests that a backend takes: gRPC servers refuse messages above 4 MiB unless told otherwise.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};

/// Most points in one request: a histogram's takes about half a kilobyte.
pub(in crate::export) const POINTS_MAX: usize = 4_000;

/// The same points in requests of at most so many.
pub(in crate::export) fn split(
    request: ExportMetricsServiceRequest,
    points_max: usize,
) -> Vec<ExportMetricsServiceRequest> {
    let mut requests = Vec::new();
    let mut current: Vec<ResourceMetrics> = Vec::new();
    let mut room = points_max;
    for resource in request.resource_metrics {
        let mut envelope = ResourceMetrics {
            scope_metrics: Vec::new(),
            ..resource.clone()
        };
        let mut is_open = false;
        for scope in resource.scope_metrics {
            envelope.scope_metrics = vec![ScopeMetrics {
                metrics: Vec::new(),
                ..scope.clone()
            }];
            for part in scope
                .metrics
                .into_iter()
                .flat_map(|metric| parts(metric, points_max))
            {
                let points = points(&part);
                if points > room {
                    let resource_metrics = std::mem::take(&mut current);
                    requests.push(ExportMetricsServiceRequest { resource_metrics });
                    room = points_max;
                    is_open = false;
                }
                room -= points;
                if !is_open {
                    current.push(envelope.clone());
                    is_open = true;
                }
                let last = current
                    .last_mut()
                    .and_then(|resource| resource.scope_metrics.last_mut());
                if let Some(scope) = last {
                    scope.metrics.push(part);
                }
            }
            is_open = false;
        }
    }
    if !current.is_empty() {
        let resource_metrics = current;
        requests.push(ExportMetricsServiceRequest { resource_metrics });
    }
    requests
}

/// A metric as several of at most so many points.
fn parts(metric: Metric, points_max: usize) -> Vec<Metric> {
    if points(&metric) <= points_max {
        return vec![metric];
    }
    let envelope = Metric {
        data: None,
        ..metric.clone()
    };
    let with = |data| Metric {
        data: Some(data),
        ..envelope.clone()
    };
    match metric.data {
        Some(Data::Histogram(mut histogram)) => {
            let all = std::mem::take(&mut histogram.data_points);
            let parts = all.chunks(points_max).map(|points| {
                let mut part = histogram.clone();
                part.data_points = points.to_vec();
                with(Data::Histogram(part))
            });
            parts.collect()
        }
        Some(Data::Sum(mut sum)) => {
            let all = std::mem::take(&mut sum.data_points);
            let parts = all.chunks(points_max).map(|points| {
                let mut part = sum.clone();
                part.data_points = points.to_vec();
                with(Data::Sum(part))
            });
            parts.collect()
        }
        Some(Data::Gauge(mut gauge)) => {
            let all = std::mem::take(&mut gauge.data_points);
            let parts = all.chunks(points_max).map(|points| {
                let mut part = gauge.clone();
                part.data_points = points.to_vec();
                with(Data::Gauge(part))
            });
            parts.collect()
        }
        // Kinds that are not made here.
        other => vec![Metric {
            data: other,
            ..envelope
        }],
    }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::ExponentialHistogram(_) | Data::Summary(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, Sum};
    use proptest::prelude::*;

    use super::*;

    fn request(sizes: &[Vec<usize>]) -> ExportMetricsServiceRequest {
        let mut next = 0;
        let mut metric = |points: usize| {
            let points = (0..points).map(|_| {
                next += 1;
                NumberDataPoint {
                    time_unix_nano: next,
                    ..NumberDataPoint::default()
                }
            });
            Metric {
                data: Some(Data::Sum(Sum {
                    data_points: points.collect(),
                    is_monotonic: true,
                    ..Sum::default()
                })),
                ..Metric::default()
            }
        };
        let resources = sizes.iter().enumerate().map(|(number, sizes)| ResourceMetrics {
            schema_url: number.to_string(),
            scope_metrics: vec![ScopeMetrics {
                metrics: sizes.iter().map(|size| metric(*size)).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        });
        ExportMetricsServiceRequest {
            resource_metrics: resources.collect(),
        }
    }

    /// Resource and number of every point.
    fn told(request: &ExportMetricsServiceRequest) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        for resource in &request.resource_metrics {
            for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                let Some(Data::Sum(sum)) = &metric.data else {
                    panic!("a sum: {metric:?}");
                };
                assert!(sum.is_monotonic);
                let points = sum.data_points.iter();
                told.extend(points.map(|point| (resource.schema_url.clone(), point.time_unix_nano)));
            }
        }
        told
    }

    proptest! {
        #[test]
        fn every_point_is_in_one_request_and_none_is_too_large(
            sizes in prop::collection::vec(prop::collection::vec(0..9_usize, 0..4), 0..5),
            most in 1..7_usize,
        ) {
            let whole = request(&sizes);
            let requests = split(whole.clone(), most);
            let all: Vec<_> = requests.iter().map(told).collect();
            prop_assert!(all.iter().all(|told| told.len() <= most), "{:?}", all);
            prop_assert_eq!(all.concat(), told(&whole));
        }
    }
}
