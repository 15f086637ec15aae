//! `geophone run`, `attach`, `exec` and `record`: from the probes to the outlets while it happens.

use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::{FAILED, Failure};
use super::gate::Gated;
use super::health::Census;
use super::metrics::When;
use super::pods::Pods;
use super::recorder::{Place, Recorder};
use super::reload::{Reloaded, Reloader, Taken};
use super::selection::{Choice, Selection};
use super::service::ServiceManager;
use super::settings::{Loaded, Probes};
use super::signals::{HangUp, Meant, Signals};
use super::spans::{Stages, Standard};
use super::target::{Target, is_running};
use super::{coverage, keep_only, note, summary};
use crate::counters::{Counter, Counters};
use crate::event::ProbeEvent;
use crate::export::{Health, Output, Pulse, Standing};
use crate::probe::{self, Options, Scope, Tracer};
use crate::scrub::Scrubber;
use crate::select::Rules;

/// Traces until the target has ended or a signal comes.
pub(super) fn trace(
    target: Target<'_>,
    recording: Option<&Path>,
    loaded: &Loaded,
    reloader: Reloader,
) -> Result<ExitCode, Failure> {
    let settings = &loaded.settings;
    // Processes that somebody named are traced: no rule and no pod has a say in that.
    let choice = match &target {
        Target::Host => Choice::new(&settings.selection, &settings.kubernetes)?,
        Target::Processes(_) | Target::Command { .. } => Choice::default(),
    };
    let command_owns_stdout = matches!(target, Target::Command { .. });
    let recording = recording
        .map(|path| Place::of(path, command_owns_stdout, settings))
        .transpose()?;
    let standard = Standard {
        output: if command_owns_stdout || recording == Some(Place::Stdout) {
            Output::Stderr
        } else {
            Output::Stdout
        },
        unasked: recording.is_none(),
    };
    let stages = Stages::open(settings, standard, When::Live)?;
    let watched = match target {
        Target::Host => Watched::Host,
        Target::Processes(pids) => Watched::Processes(pids),
        Target::Command { words, program } => Watched::Command(Gated::start(words, program)?),
    };
    let pods = match &watched {
        Watched::Host => Pods::open(&settings.kubernetes),
        Watched::Processes(_) | Watched::Command(_) => Pods::default(),
    };
    let started = Started {
        stages,
        recording,
        pods,
        choice,
        reloader,
    };
    let session = match Session::start(&watched, &settings.probes, started) {
        Ok(session) => session,
        Err(failure) => {
            if let Watched::Command(command) = watched {
                command.abandon();
            }
            return Err(failure);
        }
    };
    session.run(watched)
}

/// Whom we wait for.
#[derive(Debug)]
enum Watched {
    Host,
    Processes(Vec<u32>),
    Command(Gated),
}

struct Session {
    tracer: Tracer,
    pods: Pods,
    scrubber: Scrubber,
    selection: Selection,
    recorder: Recorder,
    stages: Stages,
    census: Census,
    pulse: Pulse,
    manager: Option<ServiceManager>,
    signals: Signals,
    reloader: Reloader,
}

/// What a session begins with beside the probes.
struct Started {
    stages: Stages,
    recording: Option<Place>,
    pods: Pods,
    choice: Choice,
    reloader: Reloader,
}

/// How it ended.
#[derive(Debug, Default)]
struct Ending {
    /// The command has ended.
    status: Option<ExitStatus>,
    /// What could not be done to the end.
    failure: Option<Failure>,
}

impl Session {
    fn start(watched: &Watched, probes: &Probes, started: Started) -> Result<Self, Failure> {
        let Started {
            mut stages,
            recording,
            pods,
            choice,
            reloader,
        } = started;
        let (scope, meant) = match watched {
            Watched::Host => (Scope::All, Meant::Us),
            Watched::Processes(pids) => (Scope::Processes(pids.clone()), Meant::Us),
            Watched::Command(command) => (
                Scope::Processes(vec![command.id()]),
                Meant::Command(command.pid()),
            ),
        };
        let signals = Signals::listen(meant, HangUp::Reloads).map_err(|error| {
            let remedy = "check the limits on threads and open files (ulimit -a)";
            Failure::new("cannot listen for signals", error, remedy)
        })?;
        let options = Options {
            ring_bytes: probes.ring_bytes(),
            rules: Arc::clone(&choice.rules),
            ..Options::new(scope)
        };
        let mut tracer = Tracer::start(options).map_err(|error| cannot_trace(&error))?;
        if let Watched::Command(command) = watched {
            tracer.prepare_command(command.program().as_os_str());
        }
        stages.steer(tracer.verdicts());
        // A command may be the service itself: then it is for the command to say how it goes.
        let manager = match watched {
            Watched::Host | Watched::Processes(_) => {
                ServiceManager::from_environment(|name| std::env::var_os(name))
            }
            Watched::Command(_) => None,
        };
        // Not before tracing works: an older recording of that name is worth more than an empty one.
        let recorder = Recorder::create(recording)?;
        keep_only(tracer.rights());
        Ok(Self {
            selection: Selection::new(choice, tracer.left_alone()),
            tracer,
            pods,
            scrubber: Scrubber::new(),
            recorder,
            pulse: stages.pulse(),
            stages,
            census: Census::default(),
            manager,
            signals,
            reloader,
        })
    }

    fn run(mut self, watched: Watched) -> Result<ExitCode, Failure> {
        if let Some(address) = self.stages.prometheus() {
            note(format_args!("metrics are at http://{address}/metrics"));
        }
        match &watched {
            Watched::Host => {
                coverage::tell_host(&self.tracer.coverage());
                note(format_args!("tracing every process; Ctrl-C ends"));
            }
            Watched::Processes(pids) => {
                coverage::tell_processes(&self.tracer.coverage(), pids);
                note(format_args!("tracing; Ctrl-C ends, the traced processes go on"));
            }
            Watched::Command(command) => command.release(),
        }
        let Ending { status, failure } = self.follow(watched);
        let status_code = status.map(exit_code_of);
        self.signals.draining(status_code);
        self.pulse.stands(Standing::Ending);
        if let Some(manager) = &self.manager {
            manager.stopping();
        }
        // Nobody waits for a backend with probes in place.
        let health = self.take_probes_out();

        let Self {
            tracer,
            pods,
            scrubber,
            selection,
            recorder,
            stages,
            census: _,
            pulse: _,
            manager: _,
            signals: _,
            reloader: _,
        } = self;
        let failure = failure.or(recorder.finish());
        let beside = counted_beside(&scrubber, &pods, &selection);
        let health = health.map(|mut health| {
            health.counters.merge(&beside);
            health
        });
        let mut outcome = stages.finish(health);
        outcome.counters.merge(&beside);
        summary::tell(&outcome);
        tracer.stop();
        if status.is_some() && outcome.counters.get(Counter::Connections) == 0 {
            hint("no TLS was seen: if the command uses some, `geophone doctor` says why while it runs");
        }
        match (status_code.unwrap_or(0), failure) {
            (0, None) if outcome.report.broken => Ok(ExitCode::from(FAILED)),
            (code, None) => Ok(ExitCode::from(code)),
            (0, Some(failure)) => Err(failure),
            // Where the command failed as well, that is what its caller must hear of.
            (code, Some(failure)) => Err(failure.with_exit_code(code)),
        }
    }

    /// Hands events on until there is a reason to end.
    fn follow(&mut self, mut watched: Watched) -> Ending {
        loop {
            let exited = match self.poll(WAIT) {
                Ok(exited) => exited,
                Err(error) => return end_without_probes(watched, cannot_trace(&error)),
            };
            self.reload();
            self.give_a_sign();
            // Where nothing goes anywhere any more there is no reason to trace, but one to let a command end by itself.
            let useful = self.recorder.is_recording() || self.stages.is_open();
            match &mut watched {
                Watched::Host if useful => {}
                Watched::Processes(pids) if useful => {
                    pids.retain(|pid| !exited.contains(pid) && is_running(*pid));
                    if pids.is_empty() {
                        return Ending::default();
                    }
                }
                Watched::Host | Watched::Processes(_) => return Ending::default(),
                Watched::Command(command) => {
                    let ended = exited.contains(&command.id());
                    // The exit is told a moment before the status can be had.
                    let status = if ended {
                        command.wait().map(Some)
                    } else {
                        command.try_wait()
                    };
                    match status {
                        Ok(None) => {}
                        Ok(status) => {
                            return Ending {
                                status,
                                failure: None,
                            };
                        }
                        Err(error) => {
                            return Ending {
                                status: None,
                                failure: Some(lost_command(&error)),
                            };
                        }
                    }
                }
            }
            if self.signals.asked_to_end() {
                return Ending::default();
            }
        }
    }

    /// Reads the settings again where that was asked for, and takes them once they are read.
    fn reload(&mut self) {
        if !self.reloader.is_under_way() && self.signals.asked_to_reload() {
            if let Some(manager) = &self.manager {
                manager.reloading();
            }
            self.reloader.begin();
        }
        let Some(outcome) = self.reloader.outcome() else {
            return;
        };
        let taken = match outcome {
            Reloaded::Taken(taken) => {
                let Taken { pipeline, rules } = *taken;
                self.stages.reconfigure(pipeline);
                self.choose(rules);
                true
            }
            Reloaded::Kept => false,
        };
        if let Some(manager) = &mut self.manager {
            manager.reloaded(taken);
        }
    }

    /// Other rules hold from now on, for who runs already too.
    fn choose(&mut self, rules: Rules) {
        let Self {
            tracer,
            selection,
            recorder,
            stages,
            ..
        } = self;
        selection.reload(rules, tracer, &mut |event| {
            recorder.event(event);
            stages.push(event);
        });
    }

    /// The loop has turned once more. Nobody asks how the probes stand where nobody can.
    fn give_a_sign(&mut self) {
        self.pulse.turned();
        if self.stages.prometheus().is_none() && self.manager.is_none() {
            return;
        }
        let standing = self.census.standing(&mut self.tracer);
        self.pulse.stands(standing.clone());
        if let Some(manager) = &mut self.manager {
            manager.turned(Instant::now(), &standing);
        }
    }

    /// Takes the probes out and hands on what they have left. How geophone was before that, where it is of interest; what
    /// is counted beside the pipeline is not in it yet.
    fn take_probes_out(&mut self) -> Option<Health> {
        let Self {
            tracer,
            pods,
            scrubber,
            selection,
            recorder,
            stages,
            census,
            ..
        } = self;
        let health = stages
            .is_metered()
            .then(|| census.health(tracer, Counters::default()));
        hint("taking the probes out…");
        let mut each = |event: &ProbeEvent<'_>| {
            recorder.event(event);
            stages.push(event);
        };
        tracer.finish(DRAIN, &mut |event| {
            selection.push(&scrubber.scrub(pods.tell(event)), &mut each);
        });
        // What waited for a word on its process.
        selection.finish(&mut each);
        health
    }

    /// Hands on what was seen; the processes that ended.
    fn poll(&mut self, wait: Duration) -> Result<Vec<u32>, probe::Error> {
        let Self {
            tracer,
            pods,
            scrubber,
            selection,
            recorder,
            stages,
            census,
            pulse: _,
            manager: _,
            signals: _,
            reloader: _,
        } = self;
        let mut exited = Vec::new();
        let mut each = |event: &ProbeEvent<'_>| {
            recorder.event(event);
            stages.push(event);
        };
        let events = tracer.poll(wait, &mut |event| {
            if let ProbeEvent::ProcessExit { process, .. } = &event {
                exited.push(process.pid);
            }
            selection.push(&scrubber.scrub(pods.tell(event)), &mut each);
        })?;
        for process in pods.news() {
            selection.push(&ProbeEvent::Process(process), &mut each);
        }
        if events > 0 {
            recorder.flush();
        }
        if stages.metrics_are_asked_for() {
            stages.tell_metrics(census.health(tracer, counted_beside(scrubber, pods, selection)));
        }
        Ok(exited)
    }
}

/// What is counted outside of the pipeline.
fn counted_beside(scrubber: &Scrubber, pods: &Pods, selection: &Selection) -> Counters {
    let mut counters = scrubber.counters().clone();
    counters.merge(selection.counters());
    counters.merge(&pods.counters());
    counters
}

/// The probes are lost: a command runs on by itself to its end, everything else ends now.
fn end_without_probes(watched: Watched, failure: Failure) -> Ending {
    match watched {
        Watched::Host | Watched::Processes(_) => Ending {
            status: None,
            failure: Some(failure),
        },
        Watched::Command(mut command) => {
            note(format_args!("tracing ended before the command did"));
            Ending {
                status: command.wait().ok(),
                failure: Some(failure),
            }
        }
    }
}

pub(super) fn cannot_trace(error: &probe::Error) -> Failure {
    let remedy = "`geophone doctor` says what this host lacks and how to change that";
    Failure::new("cannot trace", error, remedy)
}

fn lost_command(error: &io::Error) -> Failure {
    Failure::new(
        "the command's exit status is not known",
        error,
        "look whether it still runs",
    )
}

/// As shells tell it.
fn exit_code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// For somebody who sits and waits. Elsewhere the log has it, for programs that wait until the probes are in place.
pub(super) fn hint(text: &str) {
    if io::stderr().is_terminal() {
        note(format_args!("{text}"));
    } else {
        tracing::info!("{text}");
    }
}

/// A signal or the end of a process is noticed after this time at the latest.
const WAIT: Duration = Duration::from_millis(100);

/// How long reading may take that which was seen before the end.
const DRAIN: Duration = Duration::from_secs(2);
