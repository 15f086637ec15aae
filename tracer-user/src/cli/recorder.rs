//! The recording of a live run.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::settings::{STDOUT, Settings};
use super::{BAD_USAGE, note};
use crate::capture::{Recording, RecordingError};
use crate::event::ProbeEvent;

/// Where a recording goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file.
    File(PathBuf),
    /// Standard output, to pass it on: to a file on another machine, to `geophone replay -`, to Wireshark.
    Stdout,
}

impl Place {
    /// What `-o` says, when nothing else goes to the same place.
    pub(super) fn of(path: &Path, command_owns_stdout: bool, settings: &Settings) -> Result<Self, Failure> {
        if path != Path::new(STDOUT) {
            return Ok(Self::File(path.to_owned()));
        }
        let what = "cannot record to standard output";
        let bad_usage = |why: &str, remedy| Err(Failure::new(what, why, remedy).with_exit_code(BAD_USAGE));
        if command_owns_stdout {
            return bad_usage(
                "it belongs to the command",
                "name a file, or record a running process with --pid",
            );
        }
        let output = settings.spans.output.get();
        if output.is_some_and(|output| output.0 == Path::new(STDOUT)) {
            return bad_usage("spans go there already", "name a file for one of them");
        }
        if io::stdout().is_terminal() {
            return bad_usage(
                "it is a terminal, and a recording is no text",
                "name a file, or pass it on by a pipe",
            );
        }
        Ok(Self::Stdout)
    }
}

/// The recording, as long as it can be written.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    recording: Option<Recording>,
    failure: Option<RecordingError>,
}

impl Recorder {
    pub(super) fn create(place: Option<Place>) -> Result<Self, Failure> {
        let recording = match place {
            None => None,
            Some(Place::File(path)) => Some(Recording::create(&path).map_err(|error| cannot_record(&error))?),
            Some(Place::Stdout) => Some(to_stdout()?),
        };
        Ok(Self {
            recording,
            failure: None,
        })
    }

    /// Whether anything is recorded, still.
    pub(super) fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    pub(super) fn event(&mut self, event: &ProbeEvent<'_>) {
        self.attempt(|recording| recording.event(event));
    }

    pub(super) fn flush(&mut self) {
        self.attempt(Recording::flush);
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Recording) -> Result<(), RecordingError>) {
        if let Some(recording) = &mut self.recording
            && let Err(error) = write(recording)
        {
            self.recording = None;
            // The reader took what it wanted and left: that is how pipes end.
            if !error.is_broken_pipe() {
                note(format_args!("{error}; {}", remedy(&error)));
                self.failure = Some(error);
            }
        }
    }

    pub(super) fn finish(mut self) -> Option<Failure> {
        self.flush();
        self.failure.as_ref().map(cannot_record)
    }
}

fn to_stdout() -> Result<Recording, Failure> {
    let path = Path::new("to standard output");
    let stdout = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|source| RecordingError::Create {
            path: path.to_owned(),
            source,
        });
    stdout
        .and_then(|stdout| Recording::begin(path, File::from(stdout)))
        .map_err(|error| cannot_record(&error))
}

fn cannot_record(error: &RecordingError) -> Failure {
    Failure::new("cannot record", error, remedy(error))
}

fn remedy(error: &RecordingError) -> &'static str {
    match error {
        RecordingError::Create { .. } | RecordingError::InTheWay { .. } => "choose another file with -o",
        RecordingError::Write { .. } if error.is_broken_pipe() => "look whether what is to read it runs",
        RecordingError::Write { .. } => "make room, or choose a file on another disk with -o",
    }
}
