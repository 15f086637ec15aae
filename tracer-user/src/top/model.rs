//! `Model`: everything that the screen may show, in bounded memory.

use std::sync::Arc;

use super::figures::Figures;
use super::flight::Flights;
use super::looking::Looking;
use super::recent::Recent;
use super::seen::Seen;
use super::table::{Group, RowKey, Table};
use crate::bedrock::UnderWay;
use crate::enrich::Resources;
use crate::event::{Host, Monotonic, Process};
use crate::genai::span::Span;

/// Where the calls come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This host, or some of its processes.
    Live {
        /// Whom the probes are set on, in words.
        target: String,
    },
    /// A recording.
    Recording {
        /// Its name.
        name: String,
        /// How far it has been read, in percent where its length is known.
        percent: Option<u8>,
        /// It was read to its end.
        ended: bool,
    },
}

/// Everything that the screen may show.
#[derive(Debug)]
pub struct Model {
    pub(super) source: Source,
    pub(super) host: Option<Host>,
    resources: Resources,
    pub(super) totals: Figures,
    models: Table,
    services: Table,
    sessions: Table,
    pub(super) recent: Recent,
    pub(super) flights: Flights,
    pub(super) losses: Vec<(&'static str, u64)>,
    pub(super) warnings: Vec<String>,
    /// What the user looks at.
    pub(super) looking: Looking,
}

/// Most warnings that are kept.
pub const WARNINGS_MAX: usize = 100;

impl Model {
    /// Nothing was seen yet.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            host: None,
            resources: Resources::default(),
            totals: Figures::default(),
            models: Table::default(),
            services: Table::default(),
            sessions: Table::default(),
            recent: Recent::default(),
            flights: Flights::default(),
            losses: Vec::new(),
            warnings: Vec::new(),
            looking: Looking::default(),
        }
    }

    /// Learns which machine it is and what its clock says.
    pub fn host(&mut self, host: &Host) {
        self.resources.host(host);
        self.host = Some(host.clone());
    }

    /// Takes a finished span. Steps within a call are kept beneath it, and counted in no sum.
    pub fn span(&mut self, span: Span) {
        let resource = self.resources.of(&span.process);
        let seen = Arc::new(Seen::new(span, resource));
        let facts = &seen.facts;
        if facts.is_call {
            self.totals.add(facts);
            for (group, table) in [
                (Group::Model, &mut self.models),
                (Group::Service, &mut self.services),
                (Group::Session, &mut self.sessions),
            ] {
                if let Some(row) = group.row(facts) {
                    table.add(row, facts);
                }
            }
        }
        self.recent.push(seen);
    }

    /// Takes the calls that are in flight now.
    pub fn look<'a>(&mut self, now: Monotonic, calls: impl Iterator<Item = (Arc<Process>, UnderWay<'a>)>) {
        self.flights.look(now, calls, &mut self.resources);
    }

    /// Sets what was not seen in full, by its counter's name.
    pub fn losses(&mut self, losses: impl Iterator<Item = (&'static str, u64)>) {
        self.losses.clear();
        self.losses.extend(losses.filter(|(_, count)| *count > 0));
    }

    /// Something went wrong that the user should know of.
    pub fn warn(&mut self, warning: String) {
        if self.warnings.len() >= WARNINGS_MAX {
            self.warnings.remove(0);
        }
        self.warnings.push(warning);
    }

    /// The screen has this many lines now.
    pub fn resize(&mut self, lines: u16) {
        self.looking.height = super::view::rows_of(lines);
    }

    /// Sets how far a recording has been read.
    pub fn read_to(&mut self, part: Option<u8>, is_ended: bool) {
        if let Source::Recording { percent, ended, .. } = &mut self.source {
            *percent = part;
            *ended = is_ended;
        }
    }

    /// A table.
    pub fn table(&self, group: Group) -> &Table {
        match group {
            Group::Model => &self.models,
            Group::Service => &self.services,
            Group::Session => &self.sessions,
        }
    }

    /// Everything counted.
    pub fn totals(&self) -> &Figures {
        &self.totals
    }

    /// The last spans.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Calls in flight, when last looked at.
    pub fn flights(&self) -> &Flights {
        &self.flights
    }

    /// The time now, ns since the Unix epoch; `None` before the host is known.
    pub(super) fn now_unix_ns(&self) -> Option<u64> {
        let offset = self.host.as_ref()?.wall_offset_ns;
        let now = self.flights.now().0;
        (now > 0).then(|| now.saturating_add_signed(offset))
    }

    /// How many calls of each row of a group are in flight.
    pub(super) fn in_flight(&self, group: Group) -> std::collections::BTreeMap<RowKey, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for flight in self.flights.iter() {
            let session = flight.session.as_ref();
            if let Some(row) = group.row_of(&flight.model, &flight.service, flight.process, session) {
                *counts.entry(row).or_default() += 1;
            }
        }
        counts
    }
}
