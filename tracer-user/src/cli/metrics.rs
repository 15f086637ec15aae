//! Where metrics go: as the flags say, else as OpenTelemetry's variables do.

use std::time::Duration;

use super::BAD_USAGE;
use super::arguments::MetricOptions;
use super::failure::Failure;
use crate::export::{MetricSettings, OtlpSettings, Signal};

/// Which exporters are wanted, a list.
const EXPORTER: &str = "OTEL_METRICS_EXPORTER";

/// Milliseconds between two exports.
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// Where Prometheus's exporter listens.
const PROMETHEUS_HOST: &str = "OTEL_EXPORTER_PROMETHEUS_HOST";
const PROMETHEUS_PORT: &str = "OTEL_EXPORTER_PROMETHEUS_PORT";

/// As the specification has it.
const INTERVAL_DEFAULT: Duration = Duration::from_mins(1);

/// Port of Prometheus's exporters for OpenTelemetry.
pub(super) const PORT_DEFAULT: u16 = 9464;

/// Whether metrics are made of what happens, or of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// As it happens.
    Live,
    /// Afterwards: told once, at the end.
    Replay,
}

/// Where metrics go. `otlp`: whether --otlp was given.
pub(super) fn settings(
    options: &MetricOptions,
    otlp: bool,
    when: When,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<MetricSettings, Failure> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let mut asked = Asked {
        otlp: otlp || OtlpSettings::is_requested(Signal::Metrics, variable),
        prometheus: false,
        written: options.metrics,
    };
    if let Some(list) = variable(EXPORTER) {
        asked.take(&list)?;
    }
    let otlp = if asked.otlp {
        let settings = OtlpSettings::from_environment(Signal::Metrics, variable).map_err(Failure::told_by)?;
        Some((settings, interval(variable)?))
    } else {
        None
    };
    let prometheus = match (options.prometheus, when) {
        (_, When::Replay) => None,
        (None, When::Live) if asked.prometheus => Some(address_of(variable)?),
        (address, When::Live) => address,
    };
    Ok(MetricSettings {
        otlp,
        prometheus,
        written: asked.written,
    })
}

/// A replay is over before anybody could fetch metrics.
pub(super) fn refuse_serving(options: &MetricOptions) -> Result<(), Failure> {
    if options.prometheus.is_none() {
        return Ok(());
    }
    let why = "a replay is over before anybody could fetch metrics";
    let remedy = "add --metrics to have them written, or --otlp to have them sent";
    Err(Failure::new("cannot serve metrics to Prometheus", why, remedy).with_exit_code(BAD_USAGE))
}

/// Which outlets are wanted.
struct Asked {
    otlp: bool,
    prometheus: bool,
    written: bool,
}

impl Asked {
    /// What the variable says goes before what is concluded from others, and adds to flags.
    fn take(&mut self, list: &str) -> Result<(), Failure> {
        self.otlp = false;
        for name in list.split(',').map(str::trim) {
            match name {
                "otlp" => self.otlp = true,
                "prometheus" => self.prometheus = true,
                "console" | "logging" => self.written = true,
                "none" | "" => {}
                other => {
                    let why = format!("{EXPORTER} names {other:?}, which geophone does not know");
                    let remedy = "set it to otlp, prometheus, console, none, or several of them with commas";
                    return Err(Failure::new("cannot send metrics", why, remedy).with_exit_code(BAD_USAGE));
                }
            }
        }
        Ok(())
    }
}

fn interval(variable: impl Fn(&str) -> Option<String>) -> Result<Duration, Failure> {
    let Some(text) = variable(INTERVAL) else {
        return Ok(INTERVAL_DEFAULT);
    };
    match text.trim().parse::<u64>() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(Failure::new(
            "cannot send metrics",
            format!("{INTERVAL} is {text:?}, which is not a time"),
            "set it to a number of milliseconds above zero, such as 60000",
        )
        .with_exit_code(BAD_USAGE)),
    }
}

fn address_of(variable: impl Fn(&str) -> Option<String>) -> Result<std::net::SocketAddr, Failure> {
    let host = variable(PROMETHEUS_HOST).filter(|host| host != "localhost");
    let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = variable(PROMETHEUS_PORT).unwrap_or_else(|| PORT_DEFAULT.to_string());
    format!("{host}:{port}").parse().map_err(|error| {
        let why = format!("{PROMETHEUS_HOST} and {PROMETHEUS_PORT} say {host}:{port}: {error}");
        let remedy = "set them to an IP address and a port, or use --prometheus";
        Failure::new("cannot serve metrics to Prometheus", why, remedy).with_exit_code(BAD_USAGE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        options: &MetricOptions,
        otlp: bool,
        variables: &[(&str, &str)],
    ) -> Result<MetricSettings, Failure> {
        settings(options, otlp, When::Live, |name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    fn endpoint(settings: &MetricSettings) -> Option<String> {
        let (otlp, _) = settings.otlp.as_ref()?;
        Some(otlp.endpoint.to_string())
    }

    #[test]
    fn metrics_follow_spans_to_a_backend_unless_told_otherwise() {
        let none = MetricOptions::default();
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let read = |otlp, variables: &[_]| read(&none, otlp, variables).expect("fine");
        assert!(!read(false, &[]).any());
        assert_eq!(
            endpoint(&read(true, &[])).as_deref(),
            Some("http://localhost:4318/v1/metrics")
        );
        let by_variable = read(false, &[base]);
        assert_eq!(
            endpoint(&by_variable).as_deref(),
            Some("http://collector:4318/v1/metrics")
        );
        assert_eq!(
            by_variable.otlp.map(|(_, interval)| interval),
            Some(Duration::from_mins(1))
        );
        assert!(!read(true, &[base, (EXPORTER, "none")]).any());
        // A backend for traces alone is none for metrics.
        let traces = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://jaeger:4318/v1/traces",
        );
        assert!(!read(false, &[traces]).any());
        let own = (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "http://mimir/otlp/v1/metrics",
        );
        let own = read(false, &[traces, own, (INTERVAL, "5000")]);
        assert_eq!(endpoint(&own).as_deref(), Some("http://mimir/otlp/v1/metrics"));
        assert_eq!(
            own.otlp.map(|(_, interval)| interval),
            Some(Duration::from_secs(5))
        );
    }

    #[test]
    fn the_variable_names_exporters() {
        let none = MetricOptions::default();
        let settings = read(&none, false, &[(EXPORTER, "prometheus,console")]).expect("fine");
        assert_eq!(settings.prometheus, Some(([127, 0, 0, 1], 9464).into()));
        assert!(settings.written && settings.otlp.is_none());
        let error = read(&none, false, &[(EXPORTER, "statsd")]).expect_err("unknown");
        assert!(error.to_string().contains("statsd"), "{error}");
        let error = read(&none, true, &[(INTERVAL, "1 min")]).expect_err("no number");
        assert!(error.to_string().contains("milliseconds"), "{error}");
    }
}
