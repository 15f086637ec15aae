//! What each key does.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::columns::{CallRow, GroupColumn};
use super::filter::{FILTER_MAX, Filter};
use super::looking::{Choice, DEPTH_MAX, Looking, Opened, Page, Pick};
use super::model::Model;
use super::seen::Seen;

/// What becomes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Stay,
    /// It gives the terminal to the shell, until that gives it back.
    Stop,
    /// It ends.
    Leave,
}

/// Every key with what it does, for the help.
pub(super) const HELP: [(&str, &str); 15] = [
    ("1 2 3 4, Tab", "calls, models, services, sessions"),
    ("↑ ↓ j k", "choose a row; PgUp, PgDn, Home and End go further"),
    ("Enter", "open: a call with its steps, or the calls of a row"),
    (
        "Esc",
        "back: closes what is open, then the scope, then the filter",
    ),
    (
        "/",
        "filter: rows that hold all words typed; `!word` leaves rows out",
    ),
    ("< >", "sort by the column before, or by the next"),
    ("r", "sort the other way round"),
    ("?", "this help"),
    ("q, Ctrl-C", "leave"),
    ("Ctrl-Z", "stop; `fg` goes on"),
    ("", ""),
    (
        "↑ … ▶",
        "in flight: being sent, waiting, answering in chunks (ch/s)",
    ),
    ("✗ ‖ ~", "failed, throttled, seen in part"),
    (
        "P50 P95",
        "half of the calls, 95 % of them took no longer (within 1 %)",
    ),
    ("FIRST", "time to the first piece of a streamed answer"),
];

impl Model {
    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Flow {
        if key.kind == KeyEventKind::Release {
            return Flow::Stay;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Flow::Leave;
        }
        if control && key.code == KeyCode::Char('z') {
            return Flow::Stop;
        }
        if self.looking.typing.is_some() {
            self.type_key(key.code, control);
            return Flow::Stay;
        }
        if self.looking.help {
            self.looking.help = false;
            return if key.code == KeyCode::Char('q') {
                Flow::Leave
            } else {
                Flow::Stay
            };
        }
        match key.code {
            KeyCode::Char('q') => return Flow::Leave,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.looking.help = true,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.back(),
            KeyCode::Up | KeyCode::Char('k') => self.walk(|place, _| place.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.walk(|place, _| place + 1),
            KeyCode::PageUp => self.walk(usize::saturating_sub),
            KeyCode::PageDown => self.walk(|place, page| place + page),
            KeyCode::Home | KeyCode::Char('g') => self.walk(|_, _| 0),
            KeyCode::End | KeyCode::Char('G') => self.walk(|_, _| usize::MAX),
            KeyCode::Enter | KeyCode::Right => self.open(),
            KeyCode::Char('/') => {
                self.looking.opened.clear();
                self.looking.typing = Some(self.looking.filter.clone());
            }
            KeyCode::Char('<' | ',') => self.sort(false),
            KeyCode::Char('>' | '.') => self.sort(true),
            KeyCode::Char('r') => self.turn_round(),
            KeyCode::Tab => self.turn_to(self.looking.page.beside(1)),
            KeyCode::BackTab => self.turn_to(self.looking.page.beside(Page::ALL.len() - 1)),
            KeyCode::Char(digit @ '1'..='4') => {
                let place = digit.to_digit(10).unwrap_or(1) as usize - 1;
                self.turn_to(Page::Calls.beside(place));
            }
            _ => {}
        }
        Flow::Stay
    }

    /// A filter is being typed: it holds at once, and Esc brings back the one before.
    fn type_key(&mut self, code: KeyCode, control: bool) {
        let Looking {
            filter,
            typing,
            choice,
            ..
        } = &mut self.looking;
        let mut text = filter.text().to_owned();
        match code {
            KeyCode::Enter => {
                *typing = None;
                return;
            }
            KeyCode::Esc => {
                *filter = typing.take().unwrap_or_default();
                return;
            }
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char('u' | 'w') if control => text.clear(),
            KeyCode::Char(character) if !control && text.chars().count() < FILTER_MAX => {
                text.push(character);
            }
            _ => return,
        }
        *filter = Filter::new(&text);
        *choice = Choice::default();
    }

    fn back(&mut self) {
        let Looking {
            page,
            scope,
            filter,
            choice,
            opened,
            ..
        } = &mut self.looking;
        if opened.pop().is_some() {
            return;
        }
        if let Some((group, key)) = scope.take() {
            *page = Page::Groups(group);
            *choice = Choice {
                pick: Some(Pick::Row(key)),
                place: 0,
            };
        } else if !filter.is_empty() {
            *filter = Filter::default();
        } else {
            *choice = Choice::default();
        }
    }

    fn turn_to(&mut self, page: Page) {
        self.looking.page = page;
        self.looking.scope = None;
        self.looking.opened.clear();
        self.looking.choice = Choice::default();
    }

    fn sort(&mut self, forward: bool) {
        match self.looking.page {
            Page::Calls => self.looking.calls.step(forward),
            Page::Groups(_) => {
                self.looking.groups.step(forward);
                if self.looking.groups.column == GroupColumn::Name {
                    self.looking.groups.descending = false;
                }
            }
        }
        self.looking.choice = Choice::default();
    }

    fn turn_round(&mut self) {
        match self.looking.page {
            Page::Calls => self.looking.calls.descending ^= true,
            Page::Groups(_) => self.looking.groups.descending ^= true,
        }
        self.looking.choice = Choice::default();
    }

    /// Moves the choice: from its place, by the length of a page, to another.
    fn walk(&mut self, step: impl Fn(usize, usize) -> usize) {
        let page = self.looking.height.max(1);
        match self.looking.opened.last() {
            Some(Opened::Span(seen, place)) => {
                let lines = super::view::detail::lines(self, seen).len();
                let place = step(*place, page).min(lines.saturating_sub(1));
                if let Some(Opened::Span(_, chosen)) = self.looking.opened.last_mut() {
                    *chosen = place;
                }
            }
            Some(Opened::Flight(_)) => {}
            None => {
                let mut picks = self.picks();
                let place = step(self.looking.choice.place_in(&picks), page);
                let place = place.min(picks.len().saturating_sub(1));
                // At the top it stays with whatever comes there.
                self.looking.choice = Choice {
                    pick: (0 < place && place < picks.len()).then(|| picks.swap_remove(place)),
                    place,
                };
            }
        }
    }

    fn open(&mut self) {
        if self.looking.opened.len() >= DEPTH_MAX {
            return;
        }
        match self.looking.opened.last() {
            Some(Opened::Span(seen, place)) => {
                let chosen = super::view::detail::lines(self, seen).into_iter().nth(*place);
                if let Some(step) = chosen.and_then(|line| line.opens) {
                    self.looking.opened.push(Opened::Span(step, 0));
                }
            }
            Some(Opened::Flight(_)) => {}
            None => match self.looking.page {
                Page::Calls => self.open_call(),
                Page::Groups(group) => {
                    let mut picks = self.picks();
                    let place = self.looking.choice.place_in(&picks);
                    if place < picks.len()
                        && let Pick::Row(key) = picks.swap_remove(place)
                    {
                        self.looking.scope = Some((group, key));
                        self.looking.page = Page::Calls;
                        self.looking.choice = Choice::default();
                        // The filter was for the names of rows.
                        self.looking.filter = Filter::default();
                    }
                }
            },
        }
    }

    fn open_call(&mut self) {
        let rows = self.call_rows();
        let picks: Vec<Pick> = rows.iter().map(|(pick, _)| pick.clone()).collect();
        let place = self.looking.choice.place_in(&picks);
        let opened = match rows.get(place) {
            Some((_, CallRow::Flight(flight, ..))) => Some(Opened::Flight(flight.key)),
            Some((_, CallRow::Span(Seen { span, .. }))) => self
                .recent
                .get((span.trace_id, span.span_id))
                .map(|seen| Opened::Span(Arc::clone(seen), 0)),
            None => None,
        };
        if let (Some(opened), Some((pick, _))) = (opened, rows.into_iter().nth(place)) {
            // It is still chosen when one comes back, whatever came in between.
            self.looking.choice = Choice {
                pick: Some(pick),
                place,
            };
            self.looking.opened.push(opened);
        }
    }
}
