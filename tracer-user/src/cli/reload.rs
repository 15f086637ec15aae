//! SIGHUP: the settings are read again, and what can change while tracing goes on does.

use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::arguments::Arguments;
use super::failure::Failure;
use super::log::LogControl;
use super::settings::{self, Loaded, Reload, Row, Settings};
use super::{note, selection, spans, telemetry};
use crate::pipeline;
use crate::rights::{self, Rights};
use crate::select::Rules;

/// Reads settings again when asked to.
#[derive(Debug)]
pub(super) struct Reloader {
    arguments: Arguments,
    log: LogControl,
    /// The settings at the start: what is read only then still goes by them.
    started: Vec<Row>,
    /// The settings now.
    current: Vec<Row>,
    under_way: Option<Receiver<Result<New, Failure>>>,
}

/// Settings that were read again, and what was made of them.
struct New {
    settings: Settings,
    taken: Taken,
}

/// What holds from now on.
#[derive(Debug)]
pub(super) struct Taken {
    /// How calls become spans.
    pub(super) pipeline: pipeline::Settings,
    /// Whom to trace.
    pub(super) rules: Rules,
}

/// What became of a reload.
#[derive(Debug)]
pub(super) enum Reloaded {
    /// These hold from now on.
    Taken(Box<Taken>),
    /// They stay as they were.
    Kept,
}

impl Reloader {
    /// For the settings that hold now.
    pub(super) fn new(arguments: &Arguments, settings: &Settings, log: LogControl) -> Self {
        Self {
            arguments: arguments.clone(),
            log,
            started: settings.rows(),
            current: settings.rows(),
            under_way: None,
        }
    }

    /// Whether settings are being read.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins to read, on a thread of its own: a slow disk holds up nobody's tracing.
    pub(super) fn begin(&mut self) {
        let (sender, receiver) = channel();
        let arguments = self.arguments.clone();
        // The file may be closed to all but root.
        let begun = rights::spawn("settings", Rights::READING, move || {
            // Whoever waited may have ended meanwhile.
            sender.send(read(&arguments)).ok();
        });
        match begun {
            Ok(_) => self.under_way = Some(receiver),
            Err(error) => note(format_args!(
                "the settings stay as they were: no thread can be started to read them: {error}"
            )),
        }
    }

    /// What came of it, once it is there.
    pub(super) fn outcome(&mut self) -> Option<Reloaded> {
        let read = match self.under_way.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                let why = "the thread that read them came to an unexpected end";
                Err(Failure::new("the settings could not be read", why, "report this"))
            }
            Ok(read) => read,
        };
        self.under_way = None;
        match read {
            Ok(New { settings, taken }) => {
                self.take(&settings);
                Some(Reloaded::Taken(Box::new(taken)))
            }
            Err(failure) => {
                note(format_args!("the settings stay as they were\n{failure}"));
                Some(Reloaded::Kept)
            }
        }
    }

    fn take(&mut self, settings: &Settings) {
        let new = settings.rows();
        for line in changes(&self.started, &self.current, &new) {
            note(format_args!("{line}"));
        }
        self.log.set(settings.log.filter.get());
        self.current = new;
    }
}

fn read(arguments: &Arguments) -> Result<New, Failure> {
    let Loaded { settings, .. } = settings::load(arguments, &spans::variable)?;
    let taken = Taken {
        pipeline: telemetry::settings(&settings)?,
        rules: selection::rules(&settings.selection)?,
    };
    Ok(New { settings, taken })
}

/// What a user is told: a line for each setting that changed.
fn changes(started: &[Row], current: &[Row], new: &[Row]) -> Vec<String> {
    let rows = started.iter().zip(current).zip(new);
    let mut lines: Vec<String> = rows
        .filter_map(|((started, current), new)| match new.key.reload {
            Reload::Now if !new.is_same(current) => {
                let value = new.shown().map(|value| value.to_string());
                let value = value.unwrap_or_else(|| new.key.default.to_owned());
                Some(format!("`{}` is now {value} ({})", new.key.path, new.origin()))
            }
            Reload::AtStart if !new.is_same(started) => Some(format!(
                "`{}` changed, takes effect at the next start",
                new.key.path
            )),
            Reload::Now | Reload::AtStart => None,
        })
        .collect();
    let what = if lines.is_empty() {
        "the settings were read again, with the files they name: none has changed"
    } else {
        "the settings were read again, with the files they name"
    };
    lines.insert(0, what.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(variables: &[(&str, &str)]) -> Vec<Row> {
        Settings::of(&[], variables).expect("fine").rows()
    }

    #[test]
    fn what_changed_is_told_and_what_waits_for_a_start_again_and_again() {
        let started = rows(&[]);
        let wanted = [
            ("GEOPHONE_CONTENT_CAPTURE", "span"),
            ("GEOPHONE_METRICS_PROMETHEUS", "9464"),
            ("GEOPHONE_OTLP_HEADERS", "authorization=Bearer%20canary"),
        ];
        let new = rows(&wanted);
        assert_eq!(
            changes(&started, &started, &new),
            [
                "the settings were read again, with the files they name",
                "`content.capture` is now \"span\" (GEOPHONE_CONTENT_CAPTURE)",
                "`metrics.prometheus` changed, takes effect at the next start",
                "`otlp.headers` changed, takes effect at the next start",
            ]
        );
        // The second time content is what it was; the rest still waits.
        let later = changes(&started, &new, &new);
        assert_eq!(later.len(), 3, "{later:?}");
        // Taken back before the next start: nothing waits any more.
        let back = changes(&started, &new, &started);
        assert_eq!(back[1..], ["`content.capture` is now \"none\" (default)"]);
    }
}
