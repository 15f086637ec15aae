//! Starts the OTLP collector of `tests/clients/collector.py` and reads what it received.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::environment::{client_file, python};
use crate::program::Program;
use crate::span::Span;

/// How spans travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`
    Http,
    /// `grpc`
    Grpc,
}

impl Protocol {
    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http/protobuf",
            Protocol::Grpc => "grpc",
        }
    }
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    program: Program,
    port: u64,
}

/// What a collector told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A request came: path (HTTP), header fields, and the status it was answered with.
    Request(Value),
    /// A span was in a request that was accepted.
    Span(Box<Span>),
    /// A point of a metric came; told with `--metrics` alone.
    Metric(Value),
    /// A log record came; told with `--logs` alone.
    Log(Value),
}

impl Told {
    fn of(line: &str) -> Result<Self> {
        let mut told: Value = serde_json::from_str(line)?;
        if let Some(span) = told.get_mut("span") {
            return Ok(Self::Span(Box::new(serde_json::from_value(span.take())?)));
        }
        if let Some(metric) = told.get_mut("metric") {
            return Ok(Self::Metric(metric.take()));
        }
        if let Some(record) = told.get_mut("log") {
            return Ok(Self::Log(record.take()));
        }
        Ok(Self::Request(told["request"].take()))
    }
}

impl Collector {
    /// Starts a collector; with `tls`, a certificate and its key. `options` are those of `collector.py`.
    pub fn start(protocol: Protocol, tls: Option<(&Path, &Path)>, options: &[&str]) -> Result<Self> {
        let mut command = Command::new(python()?);
        command.arg(client_file("collector.py")).arg(match protocol {
            Protocol::Http => "http",
            Protocol::Grpc => "grpc",
        });
        if let Some((certificate, key)) = tls {
            command
                .arg("--certificate")
                .arg(certificate)
                .arg("--key")
                .arg(key);
        }
        command.args(options);
        let program = Program::start("collector", &mut command)?;
        let line = program
            .line()?
            .with_context(|| format!("the collector ended:\n{}", program.stderr()))?;
        let port = serde_json::from_str::<Value>(&line)?["port"]
            .as_u64()
            .context("the collector did not tell its port")?;
        Ok(Self { program, port })
    }

    /// Where it listens.
    pub fn port(&self) -> u64 {
        self.port
    }

    /// Waits for the next thing it tells.
    pub fn next(&self) -> Result<Told> {
        let line = self
            .program
            .line()?
            .with_context(|| format!("the collector ended:\n{}", self.program.stderr()))?;
        Told::of(&line)
    }

    /// Waits for so many spans; beside them the requests that came.
    pub fn spans(&self, count: usize) -> Result<(Vec<Span>, Vec<Value>)> {
        let (mut spans, mut requests) = (Vec::new(), Vec::new());
        while spans.len() < count {
            match self.next()? {
                Told::Request(request) => requests.push(request),
                Told::Span(span) => spans.push(*span),
                Told::Metric(_) | Told::Log(_) => {}
            }
        }
        Ok((spans, requests))
    }

    /// Ends it; every point of a metric that it told and that was not read before.
    pub fn finish_with_metrics(self) -> Result<Vec<Value>> {
        let points = self.rest()?.into_iter().filter_map(|told| match told {
            Told::Metric(point) => Some(point),
            Told::Request(_) | Told::Span(_) | Told::Log(_) => None,
        });
        Ok(points.collect())
    }

    /// Ends it; every span and log record that it told and that was not read before.
    pub fn finish_with_logs(self) -> Result<(Vec<Span>, Vec<Value>)> {
        let (mut spans, mut records) = (Vec::new(), Vec::new());
        for told in self.rest()? {
            match told {
                Told::Span(span) => spans.push(*span),
                Told::Log(record) => records.push(record),
                Told::Request(_) | Told::Metric(_) => {}
            }
        }
        Ok((spans, records))
    }

    /// Ends it; every span that it told and that was not read before.
    pub fn finish(self) -> Result<Vec<Span>> {
        let (spans, _) = self.finish_with_logs()?;
        Ok(spans)
    }

    fn rest(mut self) -> Result<Vec<Told>> {
        self.program.close_stdin();
        let lines = self.program.remaining_lines()?;
        lines.iter().map(|line| Told::of(line)).collect()
    }
}
