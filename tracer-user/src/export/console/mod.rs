//! The tree that a person reads at a terminal, one block a span as it finishes.
//!
//! ```text
//! worker  python3.13, pid 4242
//! ├─ 14:03:07.412  chat anthropic.claude-3-haiku-20240307-v1:0  842 ms
//! │    first chunk 210 ms · 1,012 tokens in (900 from cache) · 34 out · $0.001116 · tool_call get_weather
//! ├─ 14:03:09.001  chat amazon.nova-lite-v1:0  31 ms
//! │    failed: ThrottlingException, HTTP 429: Too many requests
//! ```
//!
//! Times are UTC, as in the backends that the same spans go to. A header says whose spans follow; it comes again when
//! another process, or another trace of a caller, is next.

mod messages;
mod paint;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, Write};

use super::Finished;
use super::text::{self, clean, clock, date, dollars, duration, hexadecimal, number};
use crate::enrich::Resource;
use crate::genai::semconv;
use crate::genai::span::{Span, SpanId, SpanKind, SpanStatus, TraceId, Value};
use paint::{Paint, Style};

/// How many spans are remembered, so that those beneath them can be drawn there.
const REMEMBERED: usize = 2048;

/// Deepest that a span is drawn: agents in agents are readable so far.
const DEPTH_MAX: usize = 8;

/// Longest text of a server that is shown, in characters.
const MESSAGE_MAX: usize = 200;

/// Writes the tree.
#[derive(Debug)]
pub(super) struct Console {
    paint: Paint,
    header: Option<String>,
    day: Option<u64>,
    /// Spans that were written, with their places.
    written: VecDeque<(TraceId, SpanId, Place)>,
}

/// Where a span is drawn.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// How deep.
    depth: usize,
    /// Whether the trace is a caller's, which the line above says then.
    of_caller: bool,
}

impl Console {
    pub(super) fn new(colour: bool) -> Self {
        Self {
            paint: Paint { colour },
            header: None,
            day: None,
            written: VecDeque::new(),
        }
    }

    /// Writes one span.
    pub(super) fn write(&mut self, finished: &Finished, output: &mut dyn Write) -> io::Result<()> {
        let Finished {
            resource,
            span,
            weight: _,
        } = finished;
        let place = self.place(span);
        let depth = place.depth;
        let day = span.start_unix_ns / text::NS_A_DAY;
        if self.day.replace(day) != Some(day) {
            writeln!(
                output,
                "{}",
                self.paint.style(Style::Dim, &format!("{} (UTC)", date(day)))
            )?;
            self.header = None;
        }
        let header = self.headline(resource, span, place);
        if self.header.as_ref() != Some(&header) {
            writeln!(output, "{header}")?;
            self.header = Some(header);
        }
        let indent = "│  ".repeat(depth);
        let paint = self.paint;
        writeln!(
            output,
            "{}{}",
            paint.style(Style::Dim, &format!("{indent}├─ {}  ", clock(span.start_unix_ns))),
            self.title(span)
        )?;
        for line in self.details(span) {
            writeln!(
                output,
                "{}{line}",
                paint.style(Style::Dim, &format!("{indent}│    "))
            )?;
        }
        self.remember(span, place);
        Ok(())
    }

    /// Where a span is drawn: one below its parent when that was written not long ago.
    fn place(&self, span: &Span) -> Place {
        let Some(parent) = &span.parent else {
            return Place {
                depth: 0,
                of_caller: false,
            };
        };
        let found = self
            .written
            .iter()
            .rev()
            .find(|(trace, id, _)| (*trace, *id) == (span.trace_id, parent.span_id));
        match found {
            None => Place {
                depth: 0,
                of_caller: true,
            },
            Some((_, _, above)) => Place {
                depth: (above.depth + 1).min(DEPTH_MAX),
                ..*above
            },
        }
    }

    fn remember(&mut self, span: &Span, place: Place) {
        if self.written.len() >= REMEMBERED {
            self.written.pop_front();
        }
        self.written.push_back((span.trace_id, span.span_id, place));
    }

    /// Whose spans follow: the process, and the trace when a caller began it.
    fn headline(&self, resource: &Resource, span: &Span, place: Place) -> String {
        let mut facts = Vec::new();
        let text = |key: &str| match resource.get(key) {
            Some(Value::String(text)) => Some(clean(text)),
            _ => None,
        };
        facts.extend(text("process.executable.name").filter(|name| *name != resource.service_name));
        facts.push(format!("pid {}", resource.pid));
        if let Some(id) = text("container.id") {
            let short: String = id.chars().take(12).collect();
            facts.push(format!("container {short}"));
        }
        let mut line = self.paint.style(Style::Strong, &clean(&resource.service_name));
        if place.of_caller {
            let TraceId(id) = span.trace_id;
            facts.push(format!("trace {}", hexadecimal(&id)));
        }
        line.push_str(&self.paint.style(Style::Dim, &format!("  {}", facts.join(", "))));
        line
    }

    /// What was done, and how long it took.
    fn title(&self, span: &Span) -> String {
        let name = clean(&span.name);
        let style = match (&span.status, span.kind) {
            (SpanStatus::Error { .. }, _) => Style::Bad,
            (SpanStatus::Unset, SpanKind::Client) => Style::Name,
            (SpanStatus::Unset, SpanKind::Internal) => Style::Plain,
        };
        let took = duration(span.end_unix_ns.saturating_sub(span.start_unix_ns));
        format!("{}  {took}", self.paint.style(style, &name))
    }

    fn details(&self, span: &Span) -> Vec<String> {
        let facts = Facts(span);
        let mut lines = Vec::new();
        let measures = measures(&facts);
        if !measures.is_empty() {
            lines.push(measures.join(&self.paint.style(Style::Dim, " · ")));
        }
        if let SpanStatus::Error { description } = &span.status {
            lines.push(self.paint.style(Style::Bad, &failure(&facts, description)));
            if let Some(id) = facts.text(semconv::AWS_REQUEST_ID) {
                lines.push(self.paint.style(Style::Dim, &format!("request {}", clean(id))));
            }
        }
        if let Some(reasons) = facts.texts(semconv::INCOMPLETE) {
            let reasons = reasons
                .iter()
                .map(|reason| clean(reason).replace('_', " "))
                .collect::<Vec<_>>();
            let line = format!("incomplete: {}", reasons.join(", "));
            lines.push(self.paint.style(Style::Warning, &line));
        }
        let content = [
            (semconv::SYSTEM_INSTRUCTIONS, messages::Side::System),
            (semconv::INPUT_MESSAGES, messages::Side::Input),
            (semconv::OUTPUT_MESSAGES, messages::Side::Output),
        ];
        for (key, side) in content {
            let json = facts.text(key).unwrap_or_default();
            lines.extend(messages::lines(json, side, self.paint));
        }
        lines
    }
}

/// Times, tokens and why it ended.
fn measures(facts: &Facts<'_>) -> Vec<String> {
    let mut measures = Vec::new();
    if let Some(seconds) = facts.double(semconv::RESPONSE_TIME_TO_FIRST_CHUNK) {
        measures.push(format!("first chunk {}", text::seconds(seconds)));
    }
    if let Some(tokens) = facts.int(semconv::USAGE_INPUT_TOKENS) {
        let cached = [
            (semconv::USAGE_CACHE_READ, "from cache"),
            (semconv::USAGE_CACHE_CREATION, "to cache"),
        ];
        let cached = cached.into_iter().filter_map(|(key, words)| {
            let tokens = facts.int(key).filter(|tokens| *tokens > 0)?;
            Some(format!("{} {words}", number(tokens)))
        });
        let cached: Vec<String> = cached.collect();
        let cached = if cached.is_empty() {
            String::new()
        } else {
            format!(" ({})", cached.join(", "))
        };
        measures.push(format!("{} tokens in{cached}", number(tokens)));
    }
    if let Some(tokens) = facts.int(semconv::USAGE_OUTPUT_TOKENS) {
        let reasoning = facts.int(semconv::USAGE_REASONING).filter(|tokens| *tokens > 0);
        let reasoning = reasoning
            .map(|tokens| format!(" ({} reasoning)", number(tokens)))
            .unwrap_or_default();
        let unit = if measures.iter().any(|part| part.contains("tokens")) {
            ""
        } else {
            " tokens"
        };
        measures.push(format!("{}{unit} out{reasoning}", number(tokens)));
    }
    measures.extend(facts.double(semconv::COST_USD).map(dollars));
    measures.extend(attempts(facts));
    if let (Some(calls), Some(tools)) = (facts.int(semconv::LOOP_CALLS), facts.int(semconv::LOOP_TOOLS)) {
        measures.push(format!(
            "a loop of {} calls and {} tools",
            number(calls),
            number(tools)
        ));
    }
    if let Some(documents) = facts.int(semconv::RETRIEVAL_DOCUMENTS) {
        measures.push(format!("{} documents", number(documents)));
    }
    if facts.truth(semconv::GUARDRAIL_INTERVENED) == Some(true) {
        measures.push("guardrail intervened".into());
    }
    if facts.text(semconv::HANDED_OVER).is_some() {
        measures.push("control handed over".into());
    }
    if facts.text(semconv::BROUGHT_BACK).is_some() {
        measures.push("results brought back".into());
    }
    // `error` says that no reason came; the lines below say why.
    let reasons = facts.texts(semconv::RESPONSE_FINISH_REASONS).unwrap_or_default();
    let reasons = reasons.iter().filter(|reason| *reason != semconv::finish::ERROR);
    let tools = facts.texts(semconv::TOOL_CALL_NAMES).unwrap_or_default();
    let ended: Vec<String> = reasons.chain(tools).map(|word| clean(word)).collect();
    if !ended.is_empty() {
        measures.push(ended.join(" "));
    }
    measures
}

/// `3 attempts, 2 throttled, 4.2 s between them`: what a call cost that was made more than once.
fn attempts(facts: &Facts<'_>) -> Option<String> {
    let resends = facts.int(semconv::HTTP_RESEND_COUNT)?;
    let mut said = format!("{} attempts", number(resends.saturating_add(1)));
    if let Some(throttled) = facts.int(semconv::ATTEMPTS_THROTTLED) {
        said.push_str(", ");
        said.push_str(&number(throttled));
        said.push_str(" throttled");
    }
    if let Some(seconds) = facts.double(semconv::ATTEMPTS_BACKOFF) {
        said.push_str(", ");
        said.push_str(&text::seconds(seconds));
        said.push_str(" between them");
    }
    Some(said)
}

/// `ThrottlingException, HTTP 429: Too many requests`.
fn failure(facts: &Facts<'_>, description: &str) -> String {
    let mut line = "failed".to_owned();
    let kind = facts.text(semconv::ERROR_TYPE).map(clean);
    let status = facts
        .int(semconv::HTTP_STATUS)
        .map(|status| format!("HTTP {status}"));
    for (separator, part) in [": ", ", "].into_iter().zip([kind, status].into_iter().flatten()) {
        line.push_str(separator);
        line.push_str(&part);
    }
    let description = text::shorten(&clean(description), MESSAGE_MAX);
    if !description.is_empty() {
        line.push_str(": ");
        line.push_str(&description);
    }
    line
}

/// The attributes of a span by name.
struct Facts<'a>(&'a Span);

impl<'a> Facts<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        let attribute = self.0.attributes.iter().find(|attribute| attribute.key == key)?;
        Some(&attribute.value)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        match self.get(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn texts(&self, key: &str) -> Option<&'a [String]> {
        match self.get(key)? {
            Value::Strings(texts) if !texts.is_empty() => Some(texts),
            _ => None,
        }
    }

    fn int(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    fn truth(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    fn double(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }
}
