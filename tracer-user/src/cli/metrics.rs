//! Where metrics go.

use std::net::SocketAddr;
use std::time::Duration;

use super::BAD_USAGE;
use super::arguments::MetricOptions;
use super::failure::Failure;
use super::settings::{MetricExporter, Settings};
use crate::export::{MetricSettings, Signal};

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

/// Where metrics go.
pub(super) fn settings(
    settings: &Settings,
    when: When,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<MetricSettings, Failure> {
    let mut asked = Asked {
        otlp: settings.sends(Signal::Metrics),
        prometheus: false,
        written: settings.metrics.write.get().copied().unwrap_or_default(),
    };
    if let Some(list) = settings.metrics.exporters.get() {
        asked.take(list);
    }
    let otlp = if asked.otlp {
        let interval = settings.metrics.interval_ms.get();
        let interval = interval.map_or(INTERVAL_DEFAULT, |interval| interval.duration());
        Some((settings.otlp_of(Signal::Metrics)?, interval))
    } else {
        None
    };
    let prometheus = match (settings.metrics.prometheus.get(), when) {
        (_, When::Replay) => None,
        (None, When::Live) if asked.prometheus => {
            let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
            Some(address_of(variable)?)
        }
        (address, When::Live) => address.map(|address| address.0),
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
    /// What is said goes before what is concluded from other settings, and adds to flags.
    fn take(&mut self, list: &[MetricExporter]) {
        self.otlp = false;
        for exporter in list {
            match exporter {
                MetricExporter::Otlp => self.otlp = true,
                MetricExporter::Prometheus => self.prometheus = true,
                MetricExporter::Console => self.written = true,
                MetricExporter::None => {}
            }
        }
    }
}

fn address_of(variable: impl Fn(&str) -> Option<String>) -> Result<SocketAddr, Failure> {
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

    const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
    const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

    fn read(otlp: bool, variables: &[(&str, &str)]) -> Result<MetricSettings, Failure> {
        let flag = otlp.then_some("--otlp");
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        settings(&Settings::of(flag.as_slice(), variables)?, When::Live, variable)
    }

    fn endpoint(settings: &MetricSettings) -> Option<String> {
        let (otlp, _) = settings.otlp.as_ref()?;
        Some(otlp.endpoint.to_string())
    }

    #[test]
    fn metrics_follow_spans_to_a_backend_unless_told_otherwise() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let read = |otlp, variables: &[_]| read(otlp, variables).expect("fine");
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
        let settings = read(false, &[(EXPORTER, "prometheus,console")]).expect("fine");
        assert_eq!(settings.prometheus, Some(([127, 0, 0, 1], 9464).into()));
        assert!(settings.written && settings.otlp.is_none());
        let error = read(false, &[(EXPORTER, "statsd")]).expect_err("unknown");
        assert!(error.to_string().contains("statsd"), "{error}");
        let error = read(true, &[(INTERVAL, "1 min")]).expect_err("no number");
        assert!(error.to_string().contains("milliseconds"), "{error}");
    }
}
