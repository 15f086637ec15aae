//! Where log records go.

use super::BAD_USAGE;
use super::failure::Failure;
use super::settings::{LogExporter, Settings};
use crate::export::{LogSettings, Signal};
use crate::genai::Capture;

/// Where log records go. Without content on events there are none.
pub(super) fn settings(content: Capture, settings: &Settings) -> Result<LogSettings, Failure> {
    if !content.on_events() {
        return Ok(LogSettings::default());
    }
    let asked = match settings.content.exporters.get() {
        Some(list) => Asked::of(list)?,
        None => Asked {
            otlp: settings.sends(Signal::Logs),
            written: true,
        },
    };
    let otlp = asked.otlp.then(|| settings.otlp_of(Signal::Logs));
    Ok(LogSettings {
        otlp: otlp.transpose()?,
        written: asked.written,
    })
}

/// Which outlets are wanted.
struct Asked {
    otlp: bool,
    written: bool,
}

impl Asked {
    /// What is said goes before what is concluded from other settings.
    fn of(list: &[LogExporter]) -> Result<Self, Failure> {
        let mut asked = Self {
            otlp: false,
            written: false,
        };
        for exporter in list {
            match exporter {
                LogExporter::Otlp => {
                    asked = Self {
                        otlp: true,
                        written: true,
                    }
                }
                LogExporter::Console => asked.written = true,
                LogExporter::None => {}
                LogExporter::Unknown(word) => {
                    let why = format!("OTEL_LOGS_EXPORTER names {word:?}, which geophone does not know");
                    let remedy = "set it to otlp, console, none, or several of them with commas";
                    return Err(
                        Failure::new("cannot send log records", why, remedy).with_exit_code(BAD_USAGE)
                    );
                }
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    const EXPORTER: &str = "OTEL_LOGS_EXPORTER";

    fn read(content: Capture, otlp: bool, variables: &[(&str, &str)]) -> Result<LogSettings, Failure> {
        let flag = otlp.then_some("--otlp");
        settings(content, &Settings::of(flag.as_slice(), variables)?)
    }

    /// Where they are sent to and whether they are written.
    fn places(content: Capture, otlp: bool, variables: &[(&str, &str)]) -> (Option<String>, bool) {
        let LogSettings { otlp, written } = read(content, otlp, variables).expect("fine");
        (otlp.map(|otlp| otlp.endpoint.to_string()), written)
    }

    #[test]
    fn log_records_follow_spans_to_a_backend_unless_told_otherwise() {
        let to = |address: &str| Some(address.to_owned());
        for content in [Capture::Event, Capture::SpanAndEvent] {
            assert_eq!(places(content, false, &[]), (None, true));
            assert_eq!(
                places(content, true, &[]),
                (to("http://localhost:4318/v1/logs"), true)
            );
            assert_eq!(
                places(content, false, &[BASE]),
                (to("http://collector:4318/v1/logs"), true)
            );
            let own = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://loki/otlp/v1/logs");
            assert_eq!(
                places(content, false, &[BASE, own]),
                (to("http://loki/otlp/v1/logs"), true)
            );
            assert_eq!(places(content, true, &[BASE, (EXPORTER, "none")]), (None, false));
            assert_eq!(
                places(content, true, &[BASE, (EXPORTER, "console")]),
                (None, true)
            );
            assert_eq!(
                places(content, false, &[(EXPORTER, "otlp")]),
                (to("http://localhost:4318/v1/logs"), true)
            );
        }
        // A backend for traces alone is none for log records.
        let traces = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://jaeger:4318/v1/traces",
        );
        assert_eq!(places(Capture::Event, false, &[traces]), (None, true));
    }

    #[test]
    fn without_content_on_events_there_are_none() {
        let wrong = (EXPORTER, "syslog");
        for content in [Capture::Nothing, Capture::Span] {
            assert_eq!(places(content, true, &[BASE, wrong]), (None, false));
        }
        let error = read(Capture::Event, true, &[BASE, wrong]).expect_err("unknown");
        assert!(error.to_string().contains("syslog"), "{error}");
    }
}
