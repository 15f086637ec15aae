//! OTLP JSON lines: the format of the OpenTelemetry file exporter.
//!
//! One `ExportTraceServiceRequest` (or `ExportLogsServiceRequest`, `ExportMetricsServiceRequest`) a line, ids in hexadecimal,
//! 64-bit numbers as strings:
//! <https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/>. The same span gives the same line to the byte.

use std::io::{self, Write};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use serde::Serialize;

use super::logs::Details;
use super::metrics::{Collected, proto};
use super::{Finished, logs, transform};

/// Writes one span as one line, and behind it another with its details if they are told apart.
pub(super) fn write(finished: &Finished, details: Details, output: &mut dyn Write) -> io::Result<()> {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(transform::proto_resource(&finished.resource)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope::from((&transform::scope(), None))),
                spans: vec![transform::span_data(&finished.span, details).into()],
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    write_line(&request, output)?;
    match details {
        Details::Apart if logs::has_details(&finished.span) => {
            let spans = std::iter::once(&*finished.span);
            write_line(&logs::request(&finished.resource, spans), output)
        }
        Details::Apart | Details::OnSpan => Ok(()),
    }
}

/// Writes all metrics as one line.
pub(super) fn write_metrics(collected: &Collected, output: &mut dyn Write) -> io::Result<()> {
    if collected.groups.is_empty() {
        return Ok(());
    }
    write_line(&proto::request(collected), output)
}

fn write_line(request: &impl Serialize, output: &mut dyn Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    output.write_all(&line)
}
