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
        let mut told: Value = serde_json::from_str(&line)?;
        if let Some(span) = told.get_mut("span") {
            return Ok(Told::Span(Box::new(serde_json::from_value(span.take())?)));
        }
        if let Some(metric) = told.get_mut("metric") {
            return Ok(Told::Metric(metric.take()));
        }
        Ok(Told::Request(told["request"].take()))
    }

    /// Waits for so many spans; beside them the requests that came.
    pub fn spans(&self, count: usize) -> Result<(Vec<Span>, Vec<Value>)> {
        let (mut spans, mut requests) = (Vec::new(), Vec::new());
        while spans.len() < count {
            match self.next()? {
                Told::Request(request) => requests.push(request),
                Told::Span(span) => spans.push(*span),
                Told::Metric(_) => {}
            }
        }
        Ok((spans, requests))
    }

    /// Ends it; every point of a metric that it told and that was not read before.
    pub fn finish_with_metrics(mut self) -> Result<Vec<Value>> {
        self.program.close_stdin();
        let mut points = Vec::new();
        for line in self.program.remaining_lines()? {
            let mut told: Value = serde_json::from_str(&line)?;
            if let Some(point) = told.get_mut("metric") {
                points.push(point.take());
            }
        }
        Ok(points)
    }

    /// Ends it; everything it told that was not read before.
    pub fn finish(mut self) -> Result<Vec<Span>> {
        self.program.close_stdin();
        let mut spans = Vec::new();
        for line in self.program.remaining_lines()? {
            let mut told: Value = serde_json::from_str(&line)?;
            if let Some(span) = told.get_mut("span") {
                spans.push(serde_json::from_value(span.take())?);
            }
        }
        Ok(spans)
    }
}
