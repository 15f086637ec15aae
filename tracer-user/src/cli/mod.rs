//! The command line.
//!
//! Exit codes: 0 fine, 1 failed, 2 bad usage; with `exec` and `record -- CMD` the exit code is that of the command.

mod arguments;
mod coverage;
mod doctor;
mod failure;
mod gate;
mod health;
mod live;
mod logs;
mod metrics;
mod pods;
mod prices;
mod recorder;
mod redaction;
mod replay;
mod service;
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
use tracing_subscriber::EnvFilter;

use self::arguments::{Arguments, Command, KubernetesOptions, LogOptions};
use self::failure::Failure;
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
    let held = top::HeldLog::default();
    // A line of the log in the midst of a screen would spoil both.
    let holds = matches!(arguments.command, Command::Top(_)) && std::io::stderr().is_terminal();
    start_log(&arguments.log, holds.then_some(&held))?;
    match &arguments.command {
        Command::Run(run) => live::trace(Target::Host, None, &run.spans, &run.kubernetes),
        Command::Attach(attach) => {
            let target = Target::processes(&attach.pids)?;
            live::trace(target, None, &attach.spans, &KubernetesOptions::default())
        }
        Command::Exec(exec) => {
            let target = Target::command(&exec.command)?;
            live::trace(target, None, &exec.spans, &KubernetesOptions::default())
        }
        Command::Record(record) => {
            let target = if record.command.is_empty() {
                Target::processes(&record.pids)?
            } else {
                Target::command(&record.command)?
            };
            let recording = Some(record.recording.as_path());
            live::trace(target, recording, &record.spans, &KubernetesOptions::default())
        }
        Command::Replay(replay) => replay::replay(&replay.file, &replay.spans),
        Command::Top(options) => top::watch(options, &held),
        Command::Doctor(arguments) if arguments.files.is_empty() => doctor::examine(),
        Command::Doctor(arguments) => doctor::look_into(&arguments.files),
        Command::Gate(gate) => Err(gate::wait_then_become(gate.parent, &gate.command)),
    }
}

/// Logs go to standard error, warnings and errors only unless asked for more.
fn start_log(options: &LogOptions, held: Option<&top::HeldLog>) -> Result<(), Failure> {
    let directives = match (&options.log, options.verbose) {
        (Some(filter), _) => filter,
        (None, 0) => "warn",
        (None, 1) => "warn,tracer_user=info",
        (None, 2) => "info,tracer_user=debug",
        (None, _) => "trace",
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        let remedy =
            "give --log (or GEOPHONE_LOG) a level or `module=level` pairs, like `info,tracer_user=debug`";
        Failure::new(format!("cannot log as {directives:?} says"), error, remedy).with_exit_code(BAD_USAGE)
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).compact();
    match held {
        Some(held) => log.with_ansi(false).with_writer(held.clone()).init(),
        None => log.with_writer(std::io::stderr).init(),
    }
    Ok(())
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
