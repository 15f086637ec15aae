//! Columns of the tables: what they show, how rows are sorted by them, and which of them a narrow screen keeps.

use std::cmp::Ordering;

use super::flight::Flight;
use super::seen::{Outcome, Seen, place};
use super::table::Group;
use super::words::{amount, brief, dollars, noun, rate};
use super::{figures::Figures, seen::UNKNOWN};
use crate::event::Monotonic;
use crate::export::text::clock;
use crate::http::Phase;

/// A call, in flight or ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum CallRow<'a> {
    /// In flight, with the time now and that time by the wall clock.
    Flight(&'a Flight, Monotonic, u64),
    /// Ended.
    Span(&'a Seen),
}

/// Figures of a model, a process or a session.
#[derive(Debug, Clone)]
pub(super) struct GroupRow<'a> {
    /// Its name.
    pub(super) name: String,
    /// Calls in flight.
    pub(super) in_flight: usize,
    /// Calls that have ended; `None` before the first.
    pub(super) figures: Option<&'a Figures>,
}

/// What rows are compared by. What is not known comes last, whichever way is sorted.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Measure<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(f64),
    /// Not known.
    Unknown,
}

impl Measure<'_> {
    /// The order of two, `descending` or not.
    pub(super) fn order(&self, other: &Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Unknown, Self::Unknown) => Ordering::Equal,
            (Self::Unknown, _) => return Ordering::Greater,
            (_, Self::Unknown) => return Ordering::Less,
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        };
        if descending { order.reverse() } else { order }
    }
}

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// What stands above it.
    pub(super) title: &'static str,
    /// Least width in which it says something.
    pub(super) width: u16,
    /// What it holds.
    pub(super) kind: Kind,
    /// A narrow screen keeps the columns of the least rank. No two have the same.
    pub(super) rank: u8,
    /// It is left out where no row has anything in it.
    pub(super) optional: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers, at the right.
    Number,
    /// Texts of one length.
    Mark,
    /// Texts; they take what is left over.
    Text,
    /// The same, but of what is too long the end is shown: it tells models of a family apart.
    Name,
}

impl Kind {
    /// Whether it takes what is left over.
    pub(super) fn grows(self) -> bool {
        matches!(self, Self::Text | Self::Name)
    }
}

/// A kind of table.
pub(super) trait Column: Copy + Eq + 'static {
    /// Its rows.
    type Row<'a>;

    /// Its columns from left to right.
    const ALL: &'static [Self];

    /// The column that rows are sorted by at first.
    const STANDARD: Self;

    /// How the column is laid out.
    fn layout(self) -> Layout;

    /// What a row shows in it.
    fn cell(self, row: &Self::Row<'_>) -> String;

    /// What rows are sorted by.
    fn measure<'a>(self, row: &'a Self::Row<'_>) -> Measure<'a>;
}

const fn layout(title: &'static str, width: u16, rank: u8) -> Layout {
    Layout {
        title,
        width,
        kind: Kind::Number,
        rank,
        optional: false,
    }
}

const fn optional(layout: Layout) -> Layout {
    Layout {
        optional: true,
        ..layout
    }
}

const fn text(title: &'static str, width: u16, rank: u8) -> Layout {
    Layout {
        kind: Kind::Text,
        ..layout(title, width, rank)
    }
}

const fn name(title: &'static str, width: u16, rank: u8) -> Layout {
    Layout {
        kind: Kind::Name,
        ..layout(title, width, rank)
    }
}

/// Columns of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallColumn {
    /// In flight, fine or failed.
    State,
    /// When it began.
    Start,
    /// Service.
    Service,
    /// Process id.
    Pid,
    /// Model.
    Model,
    /// Operation.
    Operation,
    /// How long it took, or has taken.
    Took,
    /// Time to the first piece of the answer.
    FirstChunk,
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
    /// Events or tokens a second.
    Rate,
    /// US dollars.
    Cost,
    /// Session.
    Session,
    /// Why it ended.
    Note,
}

impl Column for CallColumn {
    type Row<'a> = CallRow<'a>;

    const ALL: &'static [Self] = &[
        Self::State,
        Self::Start,
        Self::Service,
        Self::Pid,
        Self::Model,
        Self::Operation,
        Self::Took,
        Self::FirstChunk,
        Self::Input,
        Self::Output,
        Self::Rate,
        Self::Cost,
        Self::Session,
        Self::Note,
    ];

    const STANDARD: Self = Self::Start;

    fn layout(self) -> Layout {
        match self {
            Self::State => Layout {
                kind: Kind::Mark,
                ..layout("", 1, 0)
            },
            Self::Model => name("MODEL", 22, 1),
            Self::Took => layout("TIME", 6, 2),
            Self::Service => text("SERVICE", 12, 3),
            Self::Output => layout("OUT", 6, 4),
            Self::Input => layout("IN", 6, 5),
            Self::FirstChunk => optional(layout("FIRST", 6, 6)),
            Self::Rate => optional(layout("RATE", 10, 7)),
            Self::Note => text("END", 18, 8),
            Self::Start => Layout {
                kind: Kind::Mark,
                ..layout("START", 8, 10)
            },
            Self::Cost => optional(layout("COST", 9, 9)),
            Self::Operation => text("OPERATION", 12, 11),
            Self::Session => optional(text("SESSION", 10, 12)),
            Self::Pid => layout("PID", 7, 13),
        }
    }

    fn cell(self, row: &CallRow<'_>) -> String {
        match (self, row) {
            (Self::State, CallRow::Flight(flight, ..)) => flight_mark(flight).to_owned(),
            (Self::State, CallRow::Span(seen)) => outcome_mark(seen.facts.outcome).to_owned(),
            (Self::Start, CallRow::Flight(flight, now, unix_ns)) => {
                second(unix_ns.saturating_sub(flight.age_ns(*now)))
            }
            (Self::Start, CallRow::Span(seen)) => second(seen.span.start_unix_ns),
            (Self::Service, _) => row.service().to_owned(),
            (Self::Pid, CallRow::Flight(flight, ..)) => flight.process.pid.to_string(),
            (Self::Pid, CallRow::Span(seen)) => seen.facts.process.pid.to_string(),
            (Self::Model, _) => row.model().to_owned(),
            (Self::Operation, _) => row.operation().to_owned(),
            (Self::Took, _) => brief(row.took_ns()),
            (Self::FirstChunk, _) => row.first_chunk_ns().map(brief).unwrap_or_default(),
            (Self::Input, _) => row.input().map(amount).unwrap_or_default(),
            (Self::Output, _) => row.output().map(amount).unwrap_or_default(),
            (Self::Rate, CallRow::Flight(flight, ..)) if flight.chunks > 0 => rate(flight.rate, "ch/s"),
            (Self::Rate, CallRow::Flight(..)) => String::new(),
            (Self::Rate, CallRow::Span(seen)) => seen
                .tokens_a_second()
                .map(|value| rate(value, "tok/s"))
                .unwrap_or_default(),
            (Self::Cost, _) => row.cost().map(dollars).unwrap_or_default(),
            (Self::Session, _) => row.session().unwrap_or_default().to_owned(),
            (Self::Note, CallRow::Flight(flight, ..)) => flight_note(flight),
            (Self::Note, CallRow::Span(seen)) => seen.facts.note.to_string(),
        }
    }

    fn measure<'a>(self, row: &'a CallRow<'_>) -> Measure<'a> {
        match self {
            Self::State => Measure::Number(match row {
                CallRow::Flight(..) => 9.0,
                CallRow::Span(seen) => f64::from(seen.facts.outcome as u8),
            }),
            Self::Start => match row {
                CallRow::Flight(flight, now, unix_ns) => {
                    number(Some(unix_ns.saturating_sub(flight.age_ns(*now))))
                }
                CallRow::Span(seen) => number(Some(seen.span.start_unix_ns)),
            },
            Self::Service => Measure::Text(row.service()),
            Self::Pid => Measure::Number(f64::from(row.pid())),
            Self::Model => known(row.model()),
            Self::Operation => Measure::Text(row.operation()),
            Self::Took => number(Some(row.took_ns())),
            Self::FirstChunk => number(row.first_chunk_ns()),
            Self::Input => number(row.input()),
            Self::Output => number(row.output()),
            Self::Rate => match row {
                CallRow::Flight(flight, ..) => Measure::Number(flight.rate),
                CallRow::Span(seen) => seen.tokens_a_second().map_or(Measure::Unknown, Measure::Number),
            },
            Self::Cost => row.cost().map_or(Measure::Unknown, Measure::Number),
            Self::Session => row.session().map_or(Measure::Unknown, Measure::Text),
            Self::Note => match row {
                CallRow::Flight(..) => Measure::Unknown,
                CallRow::Span(seen) => known(&seen.facts.note),
            },
        }
    }
}

impl CallRow<'_> {
    /// Name of the service.
    pub(super) fn service(&self) -> &str {
        match self {
            Self::Flight(flight, ..) => &flight.service,
            Self::Span(seen) => &seen.facts.service,
        }
    }

    /// Process id.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Flight(flight, ..) => flight.process.pid,
            Self::Span(seen) => seen.facts.process.pid,
        }
    }

    /// Model.
    pub(super) fn model(&self) -> &str {
        match self {
            Self::Flight(flight, ..) => &flight.model,
            Self::Span(seen) => &seen.facts.model,
        }
    }

    /// Operation.
    pub(super) fn operation(&self) -> &str {
        match self {
            Self::Flight(flight, ..) => flight.operation,
            Self::Span(seen) => &seen.facts.operation,
        }
    }

    /// Session.
    pub(super) fn session(&self) -> Option<&str> {
        match self {
            Self::Flight(flight, ..) => flight.session.as_deref(),
            Self::Span(seen) => seen.facts.session.as_deref(),
        }
    }

    /// All that a filter may find.
    pub(super) fn texts(&self) -> Vec<String> {
        let (outcome, note) = match self {
            Self::Flight(flight, ..) => ("in flight", flight_note(flight)),
            Self::Span(seen) => (outcome_name(seen.facts.outcome), seen.facts.note.to_string()),
        };
        let mut texts = vec![
            self.service().to_owned(),
            self.pid().to_string(),
            self.model().to_owned(),
            self.operation().to_owned(),
            self.session().unwrap_or_default().to_owned(),
            outcome.to_owned(),
            note,
        ];
        let resource = match self {
            Self::Flight(flight, ..) => &flight.resource,
            Self::Span(seen) => &seen.resource,
        };
        texts.extend(place(resource).map(|(_, text)| text.to_owned()));
        texts
    }

    fn took_ns(&self) -> u64 {
        match self {
            Self::Flight(flight, now, _) => flight.age_ns(*now),
            Self::Span(seen) => seen.facts.took_ns,
        }
    }

    fn first_chunk_ns(&self) -> Option<u64> {
        match self {
            Self::Flight(flight, ..) => flight.first_chunk_ns(),
            Self::Span(seen) => seen.facts.first_chunk_ns,
        }
    }

    fn input(&self) -> Option<u64> {
        match self {
            Self::Flight(..) => None,
            Self::Span(seen) => seen.facts.input,
        }
    }

    fn output(&self) -> Option<u64> {
        match self {
            Self::Flight(..) => None,
            Self::Span(seen) => seen.facts.output,
        }
    }

    fn cost(&self) -> Option<f64> {
        match self {
            Self::Flight(..) => None,
            Self::Span(seen) => seen.facts.cost,
        }
    }
}

fn flight_mark(flight: &Flight) -> &'static str {
    match (flight.phase, flight.chunks) {
        (Phase::Response, 1..) => "▶",
        (Phase::Request, _) => "↑",
        (Phase::Waiting | Phase::Response, _) => "…",
    }
}

fn flight_note(flight: &Flight) -> String {
    match (flight.phase, flight.chunks) {
        (Phase::Request, _) => "sending".to_owned(),
        (Phase::Waiting, _) => "waiting".to_owned(),
        (Phase::Response, 0) => "answering".to_owned(),
        (Phase::Response, chunks) => noun(chunks, "chunk"),
    }
}

fn outcome_mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Fine => " ",
        Outcome::Incomplete => "~",
        Outcome::Failed => "✗",
        Outcome::Throttled => "‖",
    }
}

/// A word for it, which a filter finds.
pub(super) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Fine => "ok",
        Outcome::Incomplete => "incomplete",
        Outcome::Failed => "failed",
        Outcome::Throttled => "throttled",
    }
}

/// Time of day to the second, UTC.
fn second(unix_ns: u64) -> String {
    let mut text = clock(unix_ns);
    text.truncate("00:00:00".len());
    text
}

fn known(text: &str) -> Measure<'_> {
    if text.is_empty() || text == UNKNOWN {
        Measure::Unknown
    } else {
        Measure::Text(text)
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "only compared, and far below what is shown"
)]
fn number(value: Option<u64>) -> Measure<'static> {
    value.map_or(Measure::Unknown, |value| Measure::Number(value as f64))
}

/// Columns of models, services and sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupColumn {
    /// Name.
    Name,
    /// Calls in flight.
    InFlight,
    /// Calls.
    Calls,
    /// Failed calls.
    Errors,
    /// Throttled calls.
    Throttles,
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
    /// US dollars.
    Cost,
    /// Median of how long calls take.
    TookMedian,
    /// What one call in twenty exceeds.
    Took95,
    /// Median of the time to the first piece of the answer.
    FirstMedian,
    /// What one call in twenty exceeds.
    First95,
}

impl Column for GroupColumn {
    type Row<'a> = GroupRow<'a>;

    const ALL: &'static [Self] = &[
        Self::Name,
        Self::InFlight,
        Self::Calls,
        Self::Errors,
        Self::Throttles,
        Self::Input,
        Self::Output,
        Self::Cost,
        Self::TookMedian,
        Self::Took95,
        Self::FirstMedian,
        Self::First95,
    ];

    const STANDARD: Self = Self::Calls;

    fn layout(self) -> Layout {
        match self {
            Self::Name => name("NAME", 21, 0),
            Self::Calls => layout("CALLS", 6, 1),
            Self::Errors => layout("ERR", 5, 2),
            Self::Took95 => layout("P95", 6, 3),
            Self::Throttles => layout("THROT", 5, 4),
            Self::First95 => layout("FIRST95", 7, 5),
            Self::Output => layout("OUT", 6, 6),
            Self::Input => layout("IN", 6, 7),
            Self::Cost => optional(layout("COST", 9, 8)),
            Self::InFlight => layout("NOW", 4, 9),
            Self::TookMedian => layout("P50", 6, 10),
            Self::FirstMedian => layout("FIRST50", 7, 11),
        }
    }

    fn cell(self, row: &GroupRow<'_>) -> String {
        let some = |count: u64| if count == 0 { String::new() } else { amount(count) };
        match (self, row.figures) {
            (Self::Name, _) => row.name.clone(),
            (Self::InFlight, _) => some(row.in_flight as u64),
            (_, None) => String::new(),
            (Self::Calls, Some(figures)) => amount(figures.calls),
            (Self::Errors, Some(figures)) => some(figures.errors),
            (Self::Throttles, Some(figures)) => some(figures.throttles),
            (Self::Input, Some(figures)) => some(figures.input),
            (Self::Output, Some(figures)) => some(figures.output),
            (Self::Cost, Some(figures)) => figures.cost.map(dollars).unwrap_or_default(),
            (Self::TookMedian | Self::Took95 | Self::FirstMedian | Self::First95, Some(figures)) => {
                self.quantile(figures).map(brief).unwrap_or_default()
            }
        }
    }

    fn measure<'a>(self, row: &'a GroupRow<'_>) -> Measure<'a> {
        match (self, row.figures) {
            (Self::Name, _) => known(&row.name),
            (Self::InFlight, _) => number(Some(row.in_flight as u64)),
            (_, None) => Measure::Unknown,
            (Self::Calls, Some(figures)) => number(Some(figures.calls)),
            (Self::Errors, Some(figures)) => number(Some(figures.errors)),
            (Self::Throttles, Some(figures)) => number(Some(figures.throttles)),
            (Self::Input, Some(figures)) => number(Some(figures.input)),
            (Self::Output, Some(figures)) => number(Some(figures.output)),
            (Self::Cost, Some(figures)) => figures.cost.map_or(Measure::Unknown, Measure::Number),
            (Self::TookMedian | Self::Took95 | Self::FirstMedian | Self::First95, Some(figures)) => {
                number(self.quantile(figures))
            }
        }
    }
}

impl GroupColumn {
    fn quantile(self, figures: &Figures) -> Option<u64> {
        match self {
            Self::TookMedian => figures.took.quantile(0.5),
            Self::Took95 => figures.took.quantile(0.95),
            Self::FirstMedian => figures.first_chunk.quantile(0.5),
            Self::First95 => figures.first_chunk.quantile(0.95),
            _ => None,
        }
    }
}

/// The heading of the first column.
pub(super) fn name_title(group: Group) -> &'static str {
    match group {
        Group::Model => "MODEL",
        Group::Service => "SERVICE",
        Group::Session => "SESSION",
    }
}
