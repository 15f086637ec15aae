//! `Table`: figures by model, by process or by session, of a bounded number of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::figures::Figures;
use super::seen::Facts;
use crate::event::ProcessKey;

/// Most rows of a table. The one that was not used for longest is put together with others of its kind.
pub const ROWS_MAX: usize = 512;

/// What calls are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Model, agent or knowledge base.
    Model,
    /// Process, which has the name of its service.
    Service,
    /// Session or conversation.
    Session,
}

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Its name.
    pub name: Arc<str>,
    /// The process, where services are told apart.
    pub process: Option<ProcessKey>,
}

impl Group {
    /// The row that a call belongs to; `None` for one without a session.
    pub(super) fn row_of(
        self,
        model: &Arc<str>,
        service: &Arc<str>,
        process: ProcessKey,
        session: Option<&Arc<str>>,
    ) -> Option<RowKey> {
        let (name, process) = match self {
            Self::Model => (model, None),
            Self::Service => (service, Some(process)),
            Self::Session => (session?, None),
        };
        Some(RowKey {
            name: Arc::clone(name),
            process,
        })
    }

    /// The row that a finished call belongs to.
    pub(super) fn row(self, facts: &Facts) -> Option<RowKey> {
        self.row_of(
            &facts.model,
            &facts.service,
            facts.process,
            facts.session.as_ref(),
        )
    }
}

#[derive(Debug)]
struct Row {
    figures: Figures,
    used: u64,
}

/// Figures by row.
#[derive(Debug, Default)]
pub struct Table {
    rows: HashMap<RowKey, Row>,
    /// Rows by when they were last used.
    by_use: BTreeMap<u64, RowKey>,
    uses: u64,
    others: Figures,
    merged: u64,
}

impl Table {
    pub(super) fn add(&mut self, key: RowKey, facts: &Facts) {
        self.uses += 1;
        if let Some(row) = self.rows.get_mut(&key) {
            row.figures.add(facts);
            self.by_use.remove(&row.used);
            row.used = self.uses;
        } else {
            self.make_room();
            let mut figures = Figures::default();
            figures.add(facts);
            let used = self.uses;
            self.rows.insert(key.clone(), Row { figures, used });
        }
        self.by_use.insert(self.uses, key);
    }

    /// Puts the row that was not used for longest together with others.
    fn make_room(&mut self) {
        while self.rows.len() >= ROWS_MAX {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                return;
            };
            if let Some(row) = self.rows.remove(&oldest) {
                self.others.merge(&row.figures);
                self.merged += 1;
            }
        }
    }

    /// Rows that have figures of their own.
    pub fn rows(&self) -> impl Iterator<Item = (&RowKey, &Figures)> {
        self.rows.iter().map(|(key, row)| (key, &row.figures))
    }

    /// A row.
    pub fn get(&self, key: &RowKey) -> Option<&Figures> {
        Some(&self.rows.get(key)?.figures)
    }

    /// Rows that had to make room, and what was counted in them.
    pub fn others(&self) -> Option<(u64, &Figures)> {
        (self.merged > 0).then_some((self.merged, &self.others))
    }
}
