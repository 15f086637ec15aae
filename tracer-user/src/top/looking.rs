//! `Looking`: what the user looks at, and how rows are chosen and put in order.

use std::sync::Arc;

use super::columns::{CallColumn, CallRow, Column, GroupColumn, GroupRow, Kind, Measure};
use super::filter::Filter;
use super::flight::FlightKey;
use super::model::Model;
use super::seen::{Seen, SpanKey};
use super::table::{Group, RowKey};

/// Most spans opened one within the other.
pub(super) const DEPTH_MAX: usize = 32;

/// A page of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Page {
    /// Calls in flight and the last that ended.
    #[default]
    Calls,
    /// Figures by model, by process or by session.
    Groups(Group),
}

impl Page {
    /// From left to right.
    pub(super) const ALL: [Self; 4] = [
        Self::Calls,
        Self::Groups(Group::Model),
        Self::Groups(Group::Service),
        Self::Groups(Group::Session),
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Calls => "Calls",
            Self::Groups(Group::Model) => "Models",
            Self::Groups(Group::Service) => "Services",
            Self::Groups(Group::Session) => "Sessions",
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|page| *page == self).unwrap_or(0)
    }

    pub(super) fn beside(self, steps: usize) -> Self {
        let place = (self.place() + steps) % Self::ALL.len();
        Self::ALL.get(place).copied().unwrap_or_default()
    }
}

/// By which column rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sort<C> {
    /// Column.
    pub(super) column: C,
    /// The greatest first.
    pub(super) descending: bool,
}

impl<C: Column> Sort<C> {
    /// The order that there is before anybody chose one.
    pub(super) const STANDARD: Self = Self {
        column: C::STANDARD,
        descending: true,
    };

    /// Whether nobody chose another order.
    pub(super) fn is_standard(&self) -> bool {
        *self == Self::STANDARD
    }

    /// Puts rows in order; rows that come out equal stay as they are. `first` puts some before all others.
    fn put_in_order<'a>(
        &self,
        rows: Vec<(Pick, C::Row<'a>)>,
        first: impl Fn(&C::Row<'a>) -> bool,
    ) -> Vec<(Pick, C::Row<'a>)> {
        let Self { column, descending } = *self;
        // Each row is measured once: a quantile takes longer than a comparison.
        let mut places: Vec<(bool, Measure<'_>, usize)> = rows
            .iter()
            .enumerate()
            .map(|(place, (_, row))| (!first(row), column.measure(row), place))
            .collect();
        places.sort_by(|(left_later, left, _), (right_later, right, _)| {
            left_later
                .cmp(right_later)
                .then_with(|| left.order(right, descending))
        });
        let places: Vec<usize> = places.into_iter().map(|(_, _, place)| place).collect();
        let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
        places
            .into_iter()
            .filter_map(|place| rows.get_mut(place)?.take())
            .collect()
    }

    /// Goes to the next column, or to the one before. Numbers begin with the greatest.
    pub(super) fn step(&mut self, forward: bool) {
        let count = C::ALL.len();
        let here = C::ALL
            .iter()
            .position(|column| *column == self.column)
            .unwrap_or(0);
        let next = (here + if forward { 1 } else { count - 1 }) % count;
        if let Some(column) = C::ALL.get(next) {
            self.column = *column;
            self.descending = column.layout().kind == Kind::Number;
        }
    }
}

/// Identity of a row, which it keeps while others come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pick {
    /// A call in flight.
    Flight(FlightKey),
    /// A span.
    Span(SpanKey),
    /// A row of a table.
    Row(RowKey),
    /// The rows that had to make room.
    Others,
}

/// Which row is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Choice {
    /// The row; `None` for the first, whichever that is.
    pub(super) pick: Option<Pick>,
    /// Where it was last, for when it is gone.
    pub(super) place: usize,
}

impl Choice {
    /// Where the chosen row is now.
    pub(super) fn place_in(&self, picks: &[Pick]) -> usize {
        let found = self
            .pick
            .as_ref()
            .and_then(|pick| picks.iter().position(|other| other == pick));
        let place = if self.pick.is_some() { self.place } else { 0 };
        found.unwrap_or(place).min(picks.len().saturating_sub(1))
    }
}

/// A span that was opened.
#[derive(Debug, Clone)]
pub(super) enum Opened {
    /// A call in flight.
    Flight(FlightKey),
    /// A finished span, kept for as long as it is open. The line that is chosen in it.
    Span(Arc<Seen>, usize),
}

/// What the user looks at.
#[derive(Debug)]
pub(super) struct Looking {
    /// Page.
    pub(super) page: Page,
    /// The row of a table whose calls are looked at, and the page it was on.
    pub(super) scope: Option<(Group, RowKey)>,
    /// Order of calls.
    pub(super) calls: Sort<CallColumn>,
    /// Order of the other tables.
    pub(super) groups: Sort<GroupColumn>,
    /// Which rows are shown.
    pub(super) filter: Filter,
    /// What is being typed, before it was accepted, and the filter there was before.
    pub(super) typing: Option<Filter>,
    /// Chosen row.
    pub(super) choice: Choice,
    /// Spans opened, one within the other.
    pub(super) opened: Vec<Opened>,
    /// The help is shown.
    pub(super) help: bool,
    /// How many rows the screen had when it was last drawn.
    pub(super) height: usize,
}

impl Default for Looking {
    fn default() -> Self {
        Self {
            page: Page::Calls,
            scope: None,
            calls: Sort::STANDARD,
            groups: Sort::STANDARD,
            filter: Filter::default(),
            typing: None,
            choice: Choice::default(),
            opened: Vec::new(),
            help: false,
            height: 20,
        }
    }
}

impl Model {
    /// The calls that are shown, in order: those in flight, then those that have ended; by any column but the start all are
    /// mixed.
    pub(super) fn call_rows(&self) -> Vec<(Pick, CallRow<'_>)> {
        let now = self.flights.now();
        let unix_ns = self.now_unix_ns().unwrap_or(now.0);
        let flights = self
            .flights
            .iter()
            .map(|flight| (Pick::Flight(flight.key), CallRow::Flight(flight, now, unix_ns)));
        let spans = self
            .recent
            .iter()
            .rev()
            .filter(|seen| seen.facts.is_call)
            .map(|seen| (Pick::Span(seen.key()), CallRow::Span(seen)));
        let rows = flights.chain(spans).filter(|(_, row)| self.shows(row)).collect();
        let sort = self.looking.calls;
        let in_flight_first = sort.column == CallColumn::Start;
        sort.put_in_order(rows, |row| in_flight_first && matches!(row, CallRow::Flight(..)))
    }

    fn shows(&self, row: &CallRow<'_>) -> bool {
        let Looking { scope, filter, .. } = &self.looking;
        let in_scope = scope.as_ref().is_none_or(|(group, key)| match row {
            CallRow::Flight(flight, ..) => {
                let session = flight.session.as_ref();
                group
                    .row_of(&flight.model, &flight.service, flight.process, session)
                    .as_ref()
                    == Some(key)
            }
            CallRow::Span(seen) => group.row(&seen.facts).as_ref() == Some(key),
        });
        in_scope && (filter.is_empty() || filter.takes(row.texts().iter().map(String::as_str)))
    }

    /// The rows of a table that are shown, in order; those that had to make room come last.
    pub(super) fn group_rows(&self, group: Group) -> Vec<(Pick, GroupRow<'_>)> {
        let table = self.table(group);
        let mut in_flight = self.in_flight(group);
        let mut rows: Vec<_> = table
            .rows()
            .map(|(key, figures)| {
                let in_flight = in_flight.remove(key).unwrap_or(0);
                (Pick::Row(key.clone()), row(key, in_flight, Some(figures)))
            })
            .collect();
        rows.extend(
            in_flight
                .iter()
                .map(|(key, count)| (Pick::Row(key.clone()), row(key, *count, None))),
        );
        rows.retain(|(_, row)| self.looking.filter.takes([row.name.as_str()]));
        rows.sort_by(|(_, left), (_, right)| left.name.cmp(&right.name));
        let mut rows = self.looking.groups.put_in_order(rows, |_| false);
        if let Some((count, figures)) = table.others() {
            let name = format!("{count} others");
            if self.looking.filter.takes([name.as_str()]) {
                let row = GroupRow {
                    name,
                    in_flight: 0,
                    figures: Some(figures),
                };
                rows.push((Pick::Others, row));
            }
        }
        rows
    }

    /// Identities of the rows that are shown.
    pub(super) fn picks(&self) -> Vec<Pick> {
        match self.looking.page {
            Page::Calls => self.call_rows().into_iter().map(|(pick, _)| pick).collect(),
            Page::Groups(group) => self.group_rows(group).into_iter().map(|(pick, _)| pick).collect(),
        }
    }
}

fn row<'a>(key: &RowKey, in_flight: usize, figures: Option<&'a super::figures::Figures>) -> GroupRow<'a> {
    let name = match key.process {
        Some(process) => format!("{} ({})", key.name, process.pid),
        None => key.name.to_string(),
    };
    GroupRow {
        name,
        in_flight,
        figures,
    }
}
