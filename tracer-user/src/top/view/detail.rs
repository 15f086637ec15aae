//! One span: its attributes, its events, its steps. Or one call in flight.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::columns::outcome_name;
use super::super::flight::FlightKey;
use super::super::model::Model;
use super::super::seen::{Outcome, Seen, place};
use super::super::words::{brief, rate};
use super::{DIM, FAILED, GUTTER, STRONG, WARNING, choose, put, width_of};
use crate::export::text::{clean, clock, date, duration, hexadecimal};
use crate::genai::span::{Attribute, SpanStatus, Value};
use crate::http::Phase;

/// Width of names, at most.
const NAMES_MAX: u16 = 42;

/// Lines for a value that is longer than its line.
const WRAPPED_MAX: u16 = 6;

const NS_A_DAY: u64 = crate::export::text::NS_A_DAY;

/// A line of a span.
#[derive(Debug, Clone)]
pub(in super::super) struct Line {
    /// What it tells of; a heading where there is no value.
    name: String,
    value: String,
    style: Style,
    /// The span that it opens.
    pub(in super::super) opens: Option<Arc<Seen>>,
}

impl Line {
    fn new(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.into(),
            style: Style::new(),
            opens: None,
        }
    }

    fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn heading(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: String::new(),
            style: STRONG,
            opens: None,
        }
    }
}

/// Everything that is known of a span.
pub(in super::super) fn lines(model: &Model, seen: &Arc<Seen>) -> Vec<Line> {
    let Seen {
        span,
        resource,
        facts,
    } = seen.as_ref();
    let mut lines = vec![Line::new("name", clean(&span.name))];
    let outcome = match &span.status {
        SpanStatus::Error { description } if !description.is_empty() => {
            format!("{}: {}", outcome_name(facts.outcome), clean(description))
        }
        SpanStatus::Error { .. } | SpanStatus::Unset => outcome_name(facts.outcome).to_owned(),
    };
    let style = match facts.outcome {
        Outcome::Fine => Style::new(),
        Outcome::Incomplete | Outcome::Throttled => WARNING,
        Outcome::Failed => FAILED,
    };
    lines.push(Line::new("outcome", outcome).styled(style));
    let start = span.start_unix_ns;
    let began = format!("{} {} UTC", date(start / NS_A_DAY), clock(start));
    lines.push(Line::new("began", began));
    lines.push(Line::new("took", duration(facts.took_ns)));
    if let Some(ns) = facts.first_chunk_ns {
        lines.push(Line::new("first chunk after", duration(ns)));
    }
    if let Some(value) = seen.tokens_a_second() {
        lines.push(Line::new("then", rate(value, "tok/s")));
    }
    let service = format!("{}, pid {}", facts.service, facts.process.pid);
    lines.push(Line::new("service", service));
    lines.push(Line::new("trace", hexadecimal(&span.trace_id.0)));
    lines.push(Line::new("span", hexadecimal(&span.span_id.0)));
    if let Some(parent) = &span.parent {
        lines.push(Line {
            opens: model.recent.get((span.trace_id, parent.span_id)).cloned(),
            ..Line::new("parent", hexadecimal(&parent.span_id.0))
        });
    }

    let children = model.recent.children(seen.key());
    if !children.is_empty() {
        lines.push(Line::heading(format!("Steps ({})", children.len())));
        lines.extend(children.into_iter().map(step));
    }
    lines.push(Line::heading("Attributes"));
    attributes(&span.attributes, &mut lines);
    for event in &span.events {
        lines.push(Line::heading(format!(
            "Event {} at {}",
            event.name,
            clock(event.time_unix_ns)
        )));
        attributes(&event.attributes, &mut lines);
    }
    lines.push(Line::heading("Resource"));
    for attribute in &resource.attributes {
        lines.push(Line::new(&clean(&attribute.key), value(&attribute.value)));
    }
    lines
}

/// A step that can be opened.
fn step(seen: &Arc<Seen>) -> Line {
    let facts = &seen.facts;
    let mut told = format!("› {}  {}", clean(&seen.span.name), brief(facts.took_ns));
    if facts.outcome != Outcome::Fine {
        told.push_str("  ");
        told.push_str(outcome_name(facts.outcome));
    }
    Line {
        opens: Some(Arc::clone(seen)),
        ..Line::new(clock(seen.span.start_unix_ns).get(..12).unwrap_or_default(), told)
    }
}

fn attributes(attributes: &[Attribute], lines: &mut Vec<Line>) {
    let mut sorted: Vec<_> = attributes.iter().collect();
    sorted.sort_by_key(|attribute| attribute.key);
    lines.extend(
        sorted
            .into_iter()
            .map(|attribute| Line::new(attribute.key, value(&attribute.value))),
    );
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Int(integer) => integer.to_string(),
        Value::Double(double) => double.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Strings(texts) => texts
            .iter()
            .map(|text| clean(text))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// What is known of a call in flight.
pub(super) fn flight_lines(model: &Model, key: FlightKey) -> Vec<Line> {
    let Some(flight) = model.flights.get(key) else {
        return vec![Line::heading("This call has ended. Esc goes back to the calls.")];
    };
    let state = match flight.phase {
        Phase::Request => "the request is being sent",
        Phase::Waiting => "no answer yet",
        Phase::Response => "the answer is coming",
    };
    let service = format!("{}, pid {}", flight.service, flight.process.pid);
    let mut lines = vec![
        Line::new("operation", flight.operation),
        Line::new("model", flight.model.as_ref()),
        Line::new("service", service),
        Line::new("state", state),
        Line::new("under way for", duration(flight.age_ns(model.flights.now()))),
    ];
    if let Some(region) = &flight.region {
        lines.push(Line::new("region", region.as_ref()));
    }
    if let Some(session) = &flight.session {
        lines.push(Line::new("session", session.as_ref()));
    }
    if let Some(ns) = flight.first_chunk_ns() {
        lines.push(Line::new("first chunk after", duration(ns)));
        lines.push(Line::new("chunks", flight.chunks.to_string()));
        lines.push(Line::new("rate", rate(flight.rate, "ch/s")));
    }
    lines.extend(place(&flight.resource).map(|(key, text)| Line::new(&clean(key), clean(text))));
    lines
}

/// Draws the page of lines on which the chosen one is; if that is too long for its line, the whole of it stands below.
pub(super) fn draw(lines: &[Line], chosen: Option<usize>, whole: Rect, buffer: &mut Buffer) {
    let area = Rect {
        x: whole.x + GUTTER,
        width: whole.width.saturating_sub(GUTTER),
        ..whole
    };
    let names = lines.iter().filter(|line| !line.value.is_empty());
    let names = names.map(|line| width_of(&line.name)).max().unwrap_or(0);
    let names = names.min(NAMES_MAX).min(area.width / 2);
    let values_at = names + 2;
    let values = area.width.saturating_sub(values_at);

    let chosen_value = chosen
        .and_then(|place| lines.get(place))
        .map(|line| line.value.as_str());
    let wrapped = chosen_value
        .filter(|value| width_of(value) > values)
        .map(|value| wrap(value, area.width))
        .unwrap_or_default();
    let below = u16::try_from(wrapped.len())
        .unwrap_or(u16::MAX)
        .min(WRAPPED_MAX)
        .min(area.height / 2);

    let height = usize::from(area.height - below).max(1);
    let first = chosen.unwrap_or(0) / height * height;
    let page = lines.iter().enumerate().skip(first).take(height);
    for (y, (place, line)) in (area.y..area.y + area.height - below).zip(page) {
        let Line {
            name,
            value,
            style,
            opens: _,
        } = line;
        if value.is_empty() {
            put(buffer, (area.x, y), area.width, name, false, *style);
        } else {
            put(buffer, (area.x, y), names, name, false, DIM);
            put(buffer, (area.x + values_at, y), values, value, false, *style);
        }
        if chosen == Some(place) {
            choose(
                buffer,
                Rect {
                    y,
                    height: 1,
                    ..whole
                },
            );
        }
    }
    let rest = area.y + area.height - below;
    for (y, text) in (rest..area.y + area.height).zip(&wrapped) {
        put(buffer, (area.x, y), area.width, text, false, STRONG);
    }
}

/// A text on lines of this width.
fn wrap(text: &str, width: u16) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut taken = 0;
    let mut buffer = [0; 4];
    for character in text.chars() {
        let wide = width_of(character.encode_utf8(&mut buffer));
        if taken + wide > width {
            lines.push(std::mem::take(&mut line));
            taken = 0;
            if lines.len() >= usize::from(WRAPPED_MAX) {
                return lines;
            }
        }
        line.push(character);
        taken += wide;
    }
    lines.push(line);
    lines
}
