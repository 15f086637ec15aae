//! Backends as they are met: fine, slow, dead, refusing.

mod backend;
mod grpc;
mod http;
mod metrics;
mod tls;

use std::time::Duration;

use crate::export::tests::{PATIENCE, process, span};
use crate::export::{Format, OtlpSettings, OutletSettings, Outlets, Report, Signal, WhenFull};

/// Settings as a user writes them.
fn settings(variables: &[(&str, &str)]) -> OtlpSettings {
    OtlpSettings::from_environment(Signal::Traces, |name| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some((*value).to_owned())
    })
    .expect("these settings are fine")
}

fn open(otlp: OtlpSettings) -> Outlets {
    Outlets::open(OutletSettings {
        format: Format::None,
        otlp: Some(otlp),
        when_full: WhenFull::DropOldest,
        ..OutletSettings::default()
    })
    .expect("these outlets can be opened")
}

/// Sends so many spans of one process and ends.
fn send(otlp: OtlpSettings, spans: u8, patience: Duration) -> Report {
    let mut outlets = open(otlp);
    let process = process(4242, "worker");
    for number in 1..=spans {
        outlets.span(span(&process, number));
    }
    outlets.shutdown(patience)
}

/// The only problem that a report has.
fn problem(report: &Report) -> &str {
    match report.problems.as_slice() {
        [problem] => problem,
        problems => panic!("{} problems: {problems:?}", problems.len()),
    }
}
