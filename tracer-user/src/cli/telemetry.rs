//! What telemetry is to look like.

use std::sync::Arc;

use super::arguments::{Content, Semconv};
use super::failure::Failure;
use super::settings::Settings;
use super::{prices, redaction};
use crate::genai::{Capture, Convention};
use crate::pipeline;

/// Settings of the pipeline.
pub(super) fn settings(settings: &Settings) -> Result<pipeline::Settings, Failure> {
    let prices = settings.prices.file.get().map(|file| file.0.as_path());
    Ok(pipeline::Settings {
        convention: match settings.spans.semconv.get() {
            None | Some(Semconv::V1_41) => Convention::V1_41,
            Some(Semconv::Latest) => Convention::Latest,
            Some(Semconv::Both) => Convention::Both,
        },
        content: match settings.content.capture.get() {
            None | Some(Content::None) => Capture::Nothing,
            Some(Content::Span) => Capture::Span,
            Some(Content::Event) => Capture::Event,
            Some(Content::Both) => Capture::SpanAndEvent,
        },
        content_limit: settings.content.limit.get().copied().unwrap_or_default(),
        redaction: Arc::new(redaction::rules(&settings.redaction)?),
        session_headers: settings.sessions.headers.get().cloned().unwrap_or_default(),
        prices: Some(prices::load(prices)?),
        metrics: false,
        tool_loop: settings.spans.tool_loop.get().copied().unwrap_or_default(),
    })
}
