//! The command line.
//!
//! Exit codes: 0 fine, 1 failed, 2 bad usage; with `exec` and `record -- CMD` the exit code is that of the command.

mod arguments;
mod config;
mod coverage;
mod crash;
mod doctor;
mod failure;
mod gate;
mod health;
mod live;
mod log;
mod logs;
mod metrics;
mod pods;
mod prices;
mod recorder;
mod redaction;
mod reload;
mod replay;
mod selection;
mod service;
mod settings;
mod signals;
mod spans;
mod summary;
mod target;
mod telemetry;
mod top;

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use self::arguments::{Arguments, Command};
use self::failure::Failure;
use self::reload::Reloader;
use self::target::Target;
use crate::rights::{Kept, Rights};

/// Runs geophone with the arguments of this process.
pub fn main() -> ExitCode {
    // Bad usage, --help and --version end here, with exit codes 2, 0 and 0.
    let arguments = Arguments::parse();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            say(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Command::Gate(gate) = &arguments.command {
        return Err(gate::wait_then_become(gate.parent, &gate.command));
    }
    if let Command::Config(what) = &arguments.command {
        return config::config(what, arguments);
    }
    let held = top::HeldLog::default();
    // A line of the log in the midst of a screen would spoil both.
    let holds = matches!(arguments.command, Command::Top(_)) && std::io::stderr().is_terminal();
    let loaded = settings::load(arguments, &spans::variable)?;
    let log = log::start(loaded.settings.log.filter.get(), holds.then_some(&held))?;
    let reloader = Reloader::new(arguments, &loaded.settings, log);
    crash::keep_quiet();
    match &arguments.command {
        Command::Run(_) => live::trace(Target::Host, None, &loaded, reloader),
        Command::Attach(attach) => live::trace(Target::processes(&attach.pids)?, None, &loaded, reloader),
        Command::Exec(exec) => live::trace(Target::command(&exec.command)?, None, &loaded, reloader),
        Command::Record(record) => {
            let target = if record.command.is_empty() {
                Target::processes(&record.pids)?
            } else {
                Target::command(&record.command)?
            };
            live::trace(target, Some(&record.recording), &loaded, reloader)
        }
        Command::Replay(options) => replay::replay(options, &loaded.settings),
        Command::Top(options) => top::watch(options, &loaded.settings, &held),
        Command::Doctor(arguments) if arguments.files.is_empty() => doctor::examine(&loaded.settings),
        Command::Doctor(arguments) => doctor::look_into(&arguments.files),
        Command::Config(what) => config::config(what, arguments),
        Command::Gate(gate) => Err(gate::wait_then_become(gate.parent, &gate.command)),
    }
}

/// The main thread keeps what it goes on to need: everything is open and in place.
fn keep_only(rights: Rights) {
    match rights.keep() {
        Ok(Kept { kept, given_up }) => tracing::debug!(%kept, %given_up, "rights"),
        Err(error) => tracing::warn!(%error, "rights that are not needed could not be given up"),
    }
}

/// A line to standard error. That nobody may read it is no reason to end.
fn say(line: &impl fmt::Display) {
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

/// A line to standard error with our name before it, since others may write there as well.
fn note(line: fmt::Arguments<'_>) {
    writeln!(std::io::stderr().lock(), "geophone: {line}").ok();
}

const BAD_USAGE: u8 = 2;
