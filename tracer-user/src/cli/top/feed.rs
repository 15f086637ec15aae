//! Where events come from: the probes, or a recording that a thread reads.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::super::arguments::Top;
use super::super::failure::Failure;
use super::super::keep_only;
use super::super::live::cannot_trace;
use super::super::pods::Pods;
use super::super::replay::cannot_replay;
use super::super::selection::{Choice, Selection};
use super::super::settings::Settings;
use super::super::target::{Target, is_running};
use crate::capture::{DamageReport, Item, OpenError, Reader};
use crate::counters::{Counter, Counters};
use crate::event::{Monotonic, ProbeEvent};
use crate::probe::{Options, Scope, Tracer, Verdicts, clock};
use crate::rights::{self, Rights};
use crate::scrub::Scrubber;
use crate::top::Source;

/// Where events come from.
pub(super) enum Feed {
    Live(Box<Live>),
    Recording(Recording),
}

/// What is to be expected of a feed.
pub(super) enum State {
    /// More may come.
    Goes {
        /// How much of a recording has been read.
        percent: Option<u8>,
    },
    /// Nothing more comes.
    Over {
        /// What the user should know of it.
        warning: Option<String>,
    },
}

impl Feed {
    /// Sets the probes, or opens the recording.
    pub(super) fn open(options: &Top, settings: &Settings) -> Result<Self, Failure> {
        if let Some(path) = &options.file {
            let recording = Recording::open(path)?;
            keep_only(Rights::NONE);
            Ok(Self::Recording(recording))
        } else {
            let live = Live::start(options, settings)?;
            keep_only(live.tracer.rights());
            Ok(Self::Live(Box::new(live)))
        }
    }

    /// Where it is, for the title.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Live(live) => {
                let pids: Vec<String> = live.pids.iter().map(u32::to_string).collect();
                let target = if pids.is_empty() {
                    "every process".to_owned()
                } else {
                    format!("pid {}", pids.join(", "))
                };
                Source::Live { target }
            }
            Self::Recording(recording) => Source::Recording {
                name: recording.name.clone(),
                percent: None,
                ended: false,
            },
        }
    }

    /// Whom to tell which connections matter.
    pub(super) fn verdicts(&self) -> Option<Verdicts> {
        match self {
            Self::Live(live) => Some(live.tracer.verdicts()),
            Self::Recording(_) => None,
        }
    }

    /// Hands on what comes within this time.
    pub(super) fn poll(
        &mut self,
        time: Duration,
        each: &mut dyn FnMut(&ProbeEvent<'_>),
    ) -> Result<State, Failure> {
        match self {
            Self::Live(live) => live.poll(time, each),
            Self::Recording(recording) => Ok(recording.poll(time, each)),
        }
    }

    /// The time now: the kernel's, or where a recording is.
    pub(super) fn now(&self) -> Monotonic {
        match self {
            Self::Live(_) => clock::now(),
            Self::Recording(recording) => recording.now,
        }
    }

    /// What was dropped before the pipeline.
    pub(super) fn counters(&self) -> Counters {
        match self {
            Self::Live(live) => {
                let mut counters = live.scrubber.counters().clone();
                counters.merge(&live.pods.counters());
                counters.merge(live.selection.counters());
                counters
            }
            Self::Recording(recording) => {
                let mut counters = Counters::default();
                counters.add(Counter::CaptureBlocksSkipped, recording.damage.parts());
                counters
            }
        }
    }

    /// Takes the probes out.
    pub(super) fn close(self) {
        match self {
            Self::Live(live) => live.tracer.stop(),
            // Its thread ends with the file, or with us.
            Self::Recording(_) => {}
        }
    }
}

/// The probes.
pub(super) struct Live {
    tracer: Tracer,
    pods: Pods,
    scrubber: Scrubber,
    selection: Selection,
    /// Processes asked for that still run; none for every process.
    pids: Vec<u32>,
    is_host: bool,
}

impl Live {
    fn start(options: &Top, settings: &Settings) -> Result<Self, Failure> {
        let pids = match Target::processes(&options.pids)? {
            Target::Processes(pids) => pids,
            Target::Host | Target::Command { .. } => Vec::new(),
        };
        let scope = if pids.is_empty() {
            Scope::All
        } else {
            Scope::Processes(pids.clone())
        };
        let choice = Choice::new(&settings.selection, &settings.kubernetes)?;
        let options = Options {
            ring_bytes: settings.probes.ring_bytes(),
            rules: Arc::clone(&choice.rules),
            ..Options::new(scope)
        };
        let tracer = Tracer::start(options).map_err(|error| cannot_trace(&error))?;
        Ok(Self {
            selection: Selection::new(choice, tracer.left_alone()),
            tracer,
            pods: Pods::open(&settings.kubernetes),
            scrubber: Scrubber::new(),
            is_host: pids.is_empty(),
            pids,
        })
    }

    fn poll(&mut self, time: Duration, each: &mut dyn FnMut(&ProbeEvent<'_>)) -> Result<State, Failure> {
        let Self {
            tracer,
            pods,
            scrubber,
            selection,
            pids,
            is_host,
        } = self;
        let mut exited = Vec::new();
        tracer
            .poll(time, &mut |event| {
                if let ProbeEvent::ProcessExit { process, .. } = &event {
                    exited.push(process.pid);
                }
                selection.push(&scrubber.scrub(pods.tell(event)), each);
            })
            .map_err(|error| cannot_trace(&error))?;
        for process in pods.news() {
            selection.push(&ProbeEvent::Process(process), each);
        }
        pids.retain(|pid| !exited.contains(pid) && is_running(*pid));
        Ok(if *is_host || !pids.is_empty() {
            State::Goes { percent: None }
        } else {
            State::Over {
                warning: Some("the traced processes have ended".to_owned()),
            }
        })
    }
}

/// A recording, read by a thread, so that a pipe that stays silent holds up no key.
pub(super) struct Recording {
    name: String,
    parts: Receiver<Part>,
    damage: DamageReport,
    now: Monotonic,
    position: Arc<AtomicU64>,
    length: u64,
}

/// What the thread has read.
enum Part {
    Event(ProbeEvent<'static>),
    Damage(crate::capture::Damage),
    End(Option<String>),
}

impl Recording {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Self::read("standard input".to_owned(), io::stdin(), 0);
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| cannot_replay(&name, &OpenError::Io(error)))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        Self::read(name, file, length)
    }

    fn read(name: String, source: impl Read + Send + 'static, length: u64) -> Result<Self, Failure> {
        let mut reader = Reader::open(source).map_err(|error| cannot_replay(&name, &error))?;
        let (sender, parts) = mpsc::sync_channel(READ_AHEAD);
        let position = Arc::new(AtomicU64::new(0));
        let read_to = Arc::clone(&position);
        let read = move || {
            // That nobody listens any more is a reason to end.
            send_all(&mut reader, &read_to, &sender).ok();
        };
        rights::spawn("recording", Rights::NONE, read).map_err(|error| {
            let remedy = "check the limits on threads (ulimit -u)";
            Failure::new(format!("cannot read {name}"), error, remedy)
        })?;
        Ok(Self {
            name,
            parts,
            damage: DamageReport::default(),
            now: Monotonic(0),
            position,
            length,
        })
    }

    fn poll(&mut self, time: Duration, each: &mut dyn FnMut(&ProbeEvent<'_>)) -> State {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.parts.recv_timeout(left) {
                Ok(Part::Event(event)) => {
                    if let Some(time) = event.time() {
                        self.now = self.now.max(time);
                    }
                    each(&event);
                }
                Ok(Part::Damage(part)) => self.damage.add(part),
                Ok(Part::End(failure)) => {
                    let damage = (!self.damage.is_empty())
                        .then(|| format!("left out of {}: {}", self.name, self.damage));
                    return State::Over {
                        warning: failure.or(damage),
                    };
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    let warning = format!("{} was not read to its end: its reader failed", self.name);
                    return State::Over {
                        warning: Some(warning),
                    };
                }
            }
        }
        let position = self.position.load(Ordering::Relaxed);
        let percent = (position * 100).checked_div(self.length);
        State::Goes {
            percent: percent.and_then(|percent| u8::try_from(percent.min(100)).ok()),
        }
    }
}

/// Reads to the end, or until nobody listens.
fn send_all(
    reader: &mut Reader<impl Read>,
    position: &AtomicU64,
    sender: &SyncSender<Part>,
) -> Result<(), mpsc::SendError<Part>> {
    loop {
        let part = match reader.read() {
            Ok(Some(Item::Event(event))) => Part::Event(event.into_owned()),
            Ok(Some(Item::Damaged(part))) => Part::Damage(part),
            Ok(Some(Item::Description)) => continue,
            Ok(None) => return sender.send(Part::End(None)),
            Err(error) => {
                let at = reader.position();
                let why = format!("could not be read further than byte {at}: {error}");
                return sender.send(Part::End(Some(why)));
            }
        };
        position.store(reader.position(), Ordering::Relaxed);
        sender.send(part)?;
    }
}

/// Events that are read before they are asked for.
const READ_AHEAD: usize = 4_096;
