//! The log of geophone's own work, on standard error, and how much it says.

use std::fmt;

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::settings::LogFilter;
use super::top::HeldLog;
use super::{BAD_USAGE, note};

/// What is said unless asked for more.
const STANDARD: &str = "warn";

/// Changes how much is said.
pub(super) struct LogControl(Box<Change>);

type Change = dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send;

impl fmt::Debug for LogControl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogControl")
    }
}

/// Starts it.
pub(super) fn start(filter: Option<&LogFilter>, held: Option<&HeldLog>) -> Result<LogControl, Failure> {
    let filter = read(filter).map_err(|error| {
        let remedy =
            "give --log (or GEOPHONE_LOG) a level or `module=level` pairs, like `info,tracer_user=debug`";
        Failure::new("cannot log as asked", error, remedy).with_exit_code(BAD_USAGE)
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).compact();
    let change: Box<Change> = if let Some(held) = held {
        let log = log
            .with_ansi(false)
            .with_writer(held.clone())
            .with_filter_reloading();
        let handle = log.reload_handle();
        log.init();
        Box::new(move |filter| handle.reload(filter))
    } else {
        let log = log.with_writer(std::io::stderr).with_filter_reloading();
        let handle = log.reload_handle();
        log.init();
        Box::new(move |filter| handle.reload(filter))
    };
    Ok(LogControl(change))
}

impl LogControl {
    /// Says as much as this from now on.
    pub(super) fn set(&self, filter: Option<&LogFilter>) {
        let changed = read(filter).map_err(|error| error.to_string());
        let changed = changed.and_then(|filter| (self.0)(filter).map_err(|error| error.to_string()));
        if let Err(error) = changed {
            note(format_args!("the log goes on as before: {error}"));
        }
    }
}

fn read(filter: Option<&LogFilter>) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(filter.map_or(STANDARD, |filter| &filter.0))
}
