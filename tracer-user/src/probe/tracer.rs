//! The probes, the ring buffer and discovery as one value.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracer_common::limits;

use super::attach::Attachment;
use super::clock::{HostClock, now};
use super::coverage::Coverage;
use super::discover::{Finder, Found, News};
use super::files::{FileIdentity, Target};
use super::left_alone::LeftAlone;
use super::loader::{self, Kernel};
use super::process::Processes;
use super::resolve::AttachPoint;
use super::ring::{self, Record};
use super::verdicts::Verdicts;
use super::wait::Waiter;
use super::{Error, Options, Scope};
use crate::event::{LossReason, Monotonic, ProbeEvent, ProcessKey};
use crate::rights::Rights;
use crate::select::Rules;

/// Between two ticks.
const TICK: Duration = Duration::from_secs(1);

/// The probes in the kernel and the ring buffer they write to.
#[must_use = "dropping it stops tracing"]
pub struct Tracer {
    kernel: Kernel,
    verdicts: Verdicts,
    left_alone: LeftAlone,
    finder: Finder,
    attachments: HashMap<FileIdentity, Attachment>,
    /// Attached by the caller, not by discovery.
    extra: Vec<Attachment>,
    waiter: Waiter,
    clock: HostClock,
    host_told: bool,
    introduced: Introduced,
    /// Processes that the caller named: their end is told in any case.
    asked_for: HashSet<u32>,
    next_tick: Instant,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tracer")
            .field("files", &self.attachments.len())
            .finish_non_exhaustive()
    }
}

impl Tracer {
    /// Loads the programs, attaches to what runs already and follows what starts later.
    pub fn start(options: Options) -> Result<Self, Error> {
        let Options {
            scope,
            ring_bytes,
            links,
            rules,
        } = options;
        raise_file_limit();
        let mut kernel = loader::load(&scope, ring_bytes, links)?;
        let asked_for: HashSet<u32> = match &scope {
            Scope::All => HashSet::new(),
            Scope::Processes(processes) => processes.iter().copied().collect(),
        };
        for pid in &asked_for {
            kernel.follow(*pid)?;
        }
        let left_alone = LeftAlone::new(kernel.left_alone()?);
        let mut finder = Finder::start(&scope).map_err(Error::Wait)?;
        finder.choose(rules, left_alone.clone());
        if let Some(error) = finder.watch_error() {
            tracing::warn!(%error, "cannot follow new processes by events: libraries are found up to a second late");
        }
        let waiter = Waiter::new(&kernel.ring)?;
        for descriptor in finder.descriptors() {
            waiter.add_urgent(descriptor)?;
        }
        let mut tracer = Self {
            verdicts: Verdicts::new(kernel.verdicts()?),
            left_alone,
            waiter,
            kernel,
            finder,
            attachments: HashMap::new(),
            extra: Vec::new(),
            clock: HostClock::measure(),
            host_told: false,
            introduced: Introduced::default(),
            asked_for,
            next_tick: Instant::now() + TICK,
        };
        let found = tracer.finder.look_at_everything();
        tracer.follow_up(found);
        if scope == Scope::All {
            tracer.finder.look_ahead();
        }
        Ok(tracer)
    }

    /// Adds a process and its later children to the scope and attaches to the libraries it has mapped. Data flows when
    /// this returns. With [`Scope::All`] it only attaches.
    pub fn trace_process(&mut self, pid: u32) -> Result<(), Error> {
        self.kernel.follow(pid)?;
        let found = self.finder.add_process(pid).map_err(|_| Error::NoProcess(pid))?;
        self.asked_for.insert(pid);
        self.follow_up(found);
        Ok(())
    }

    /// Attaches to the files that a command will run code from, so that the probes are there before it.
    pub fn prepare_command(&mut self, program: &OsStr) {
        let found = self.finder.prepare_command(program);
        self.follow_up(found);
    }

    /// Attaches to places in a file beside those that discovery finds; tells how many probes that makes.
    pub fn attach(&mut self, file: &Path, points: &[AttachPoint]) -> Result<usize, Error> {
        let attachment = self.kernel.attach(file, points)?;
        let probes = attachment.probes();
        self.extra.push(attachment);
        Ok(probes)
    }

    /// Waits for events, at most `timeout`, and hands them to `each` in order: [`ProbeEvent::Host`] first of all, a
    /// [`ProbeEvent::Process`] before the first event of that process, a [`ProbeEvent::Tick`] once a second, which never
    /// overtakes what was seen before it. Follows
    /// new processes and libraries by the way. Returns how many events were handed over; 0 after a time-out or a signal.
    pub fn poll(&mut self, timeout: Duration, each: &mut dyn FnMut(ProbeEvent<'_>)) -> Result<usize, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let found = self.finder.take(Instant::now());
            self.follow_up(found);
            let told = self.tell_host(each);
            let Drained { count, until } = self.drain(each);
            let count = told + count + self.tick(until, each);
            let now = Instant::now();
            if count > 0 || now >= deadline {
                return Ok(count);
            }
            let due = now + self.finder.due_in(now);
            if self
                .waiter
                .wait(deadline.min(self.next_tick).min(due))?
                .is_interrupted()
            {
                return Ok(0);
            }
        }
    }

    /// A handle that tells the kernel side what user space decided; may be used from within `each`.
    pub fn verdicts(&self) -> Verdicts {
        self.verdicts.clone()
    }

    /// A handle that tells the kernel side which processes to leave alone; may be used from within `each`.
    pub fn left_alone(&self) -> LeftAlone {
        self.left_alone.clone()
    }

    /// Other rules hold from now on. Who is left alone by executable and command line is told to the kernel side by the next
    /// look at everything, which is begun; who is by its pod, the caller tells again.
    pub fn choose(&mut self, rules: Arc<Rules>) {
        self.left_alone.clear();
        self.finder.choose(rules, self.left_alone.clone());
    }

    /// For every process of the scope: is it traced, and if not, why.
    pub fn coverage(&mut self) -> Vec<Coverage> {
        self.finder.coverage()
    }

    /// How many entries each map of the programs has, and how many processes are known.
    pub fn tables(&self) -> Vec<(&'static str, u64)> {
        let mut tables = self.kernel.tables.entries().unwrap_or_else(|error| {
            tracing::warn!(%error, "the maps of the programs cannot be read");
            Vec::new()
        });
        tables.push(("introduced", self.introduced.processes.len() as u64));
        tables
    }

    /// How many entries each map of the programs has for one process.
    #[cfg(test)]
    pub(super) fn tables_of(&self, process: u32) -> std::collections::BTreeMap<&'static str, u64> {
        let entries = self.kernel.tables.entries_of(process);
        entries.unwrap_or_default().into_iter().collect()
    }

    /// Why processes cannot be looked at, if so: then nothing is known of those that started since.
    pub fn shortage(&self) -> Option<&str> {
        self.finder.shortage()
    }

    /// How many probes are in place.
    pub fn probes(&self) -> u64 {
        self.finder.probes()
    }

    /// What the thread that polls needs from now on: everything is loaded, but new libraries get their probes for ever.
    pub fn rights(&self) -> Rights {
        if self.kernel.multi.is_some() {
            Rights::LOOKING
        } else {
            Rights::LOOKING.and(Rights::PERF_EVENTS)
        }
    }

    /// Ends tracing: takes the probes out, then hands over what they have left in the ring, for no longer than `patience`, and
    /// what was lost since it was told last. Where each probe is a link of its own, taking them out is left to
    /// [`stop`](Self::stop): it may take minutes, in which what was seen should be on its way.
    pub fn finish(&mut self, patience: Duration, each: &mut dyn FnMut(ProbeEvent<'_>)) {
        if self.kernel.multi.is_some() {
            self.detach();
        }
        self.tell_host(each);
        // Processes come and go without probes too: on a busy host the ring may never be empty.
        let deadline = Instant::now() + patience;
        let until = loop {
            let Drained { count, until } = self.drain(each);
            if count == 0 || Instant::now() >= deadline {
                break until;
            }
        };
        for lost in self.kernel.losses.take(until) {
            each(ProbeEvent::Lost(lost));
        }
        self.kernel.losses.warn(Instant::now(), self.finder.processes());
    }

    /// Takes the probes out of the kernel, as dropping does, but all at once: for each link the kernel waits until no
    /// program of it runs any more.
    pub fn stop(mut self) {
        self.detach();
    }

    fn detach(&mut self) {
        let attachments = self.attachments.drain().map(|(_, attachment)| attachment);
        let all = Attachment::all(attachments.chain(self.extra.drain(..)));
        self.kernel.detach(all);
    }

    fn follow_up(&mut self, found: Vec<Found>) {
        for found in found {
            match found {
                Found::Attach(target) => self.attach_target(&target),
                Found::LookedAhead(programs) => {
                    tracing::info!(programs, "installed programs have their probes");
                }
                Found::Detach(identity) => {
                    if let Some(attachment) = self.attachments.remove(&identity) {
                        self.kernel.detach(attachment);
                    }
                }
            }
        }
    }

    fn attach_target(&mut self, target: &Target) {
        let path = target.path.display();
        let result = match self.attach_libraries(target) {
            Ok(attachment) => {
                let probes = attachment.probes();
                tracing::debug!(%path, libraries = %target.resolved, probes, "attached");
                self.attachments.insert(target.identity, attachment);
                Ok(probes)
            }
            Err(error) => {
                tracing::debug!(%path, %error, "not attached");
                Err(error.to_string())
            }
        };
        let reason = result.as_ref().err().cloned().unwrap_or_default();
        match self.finder.attached(target.identity, result) {
            News::None => {}
            News::Refused => {
                tracing::warn!(%path, error = %reason, "a TLS library is not traced, it is tried again");
            }
            // As loud as the line before it: who read that one waits for this one.
            News::Granted(refusals) => tracing::warn!(%path, refusals, "a TLS library is traced now"),
        }
    }

    /// To each library by itself, since what the programs know of its connections depends on which points it has; to all
    /// of a file or to none.
    fn attach_libraries(&mut self, target: &Target) -> Result<Attachment, Error> {
        let path = target.attach_path();
        let mut attachments = Vec::new();
        for library in &target.resolved.libraries {
            match self.kernel.attach(&path, &library.points) {
                Ok(attachment) => attachments.push(attachment),
                Err(error) => {
                    self.kernel.detach(Attachment::all(attachments));
                    return Err(error);
                }
            }
        }
        Ok(Attachment::all(attachments))
    }

    fn tell_host(&mut self, each: &mut dyn FnMut(ProbeEvent<'_>)) -> usize {
        if self.host_told {
            return 0;
        }
        self.host_told = true;
        each(ProbeEvent::Host(self.clock.host().clone()));
        1
    }

    /// Hands over what is in the ring.
    fn drain(&mut self, each: &mut dyn FnMut(ProbeEvent<'_>)) -> Drained {
        let mut until = now();
        let Self {
            kernel,
            finder,
            introduced,
            waiter,
            asked_for,
            ..
        } = self;
        let mut count = 0;
        let mut last = until;
        while let Some(item) = kernel.ring.next() {
            match ring::read(&item) {
                Some(Record::Event { process, event }) => {
                    last = event.time().unwrap_or(last);
                    if let ProbeEvent::ProcessExit { .. } = event {
                        kernel.tables.somebody_ended();
                        // Of the children that come and go without TLS nobody has heard.
                        if introduced.forget(process) || asked_for.remove(&process.pid) {
                            each(event);
                        }
                    } else {
                        introduced.introduce(process, finder.processes(), each);
                        each(event);
                    }
                }
                Some(Record::Identity { process, identity }) => {
                    // What it runs was told by events that may still wait.
                    finder.take_note();
                    finder.processes().told(process, identity);
                    introduced.introduce_as_known(process, finder.processes(), each);
                }
                Some(Record::Exec { process, time }) => {
                    last = time;
                    introduced.introduce_again(process, finder.processes(), each);
                }
                None => tracing::error!(bytes = item.len(), "a record of an unknown kind"),
            }
            count += 1;
            if count == ROUND {
                until = until.min(last);
                break;
            }
        }
        if count > 0 && count < ROUND {
            waiter.drained();
        }
        Drained { count, until }
    }

    /// Once a second: time, losses, the wall clock, and what the programs have to say. `time`: everything up to there has been
    /// handed over.
    fn tick(&mut self, time: Monotonic, each: &mut dyn FnMut(ProbeEvent<'_>)) -> usize {
        if Instant::now() < self.next_tick {
            return 0;
        }
        self.next_tick = Instant::now() + TICK;
        let mut count = 1;
        if let Some(host) = self.clock.check() {
            each(ProbeEvent::Host(host.clone()));
            count += 1;
        }
        for lost in self.kernel.losses.take(time) {
            if lost.reason == LossReason::RingFull {
                // The end of a process may have been among them.
                self.kernel.tables.somebody_ended();
            }
            each(ProbeEvent::Lost(lost));
            count += 1;
        }
        for process in self.swept() {
            self.introduced.forget(process);
            self.asked_for.remove(&process.pid);
            each(ProbeEvent::ProcessExit { process, time });
            count += 1;
        }
        each(ProbeEvent::Tick(time));
        self.kernel.losses.warn(Instant::now(), self.finder.processes());
        (self.kernel.flush_log)();
        count
    }

    /// Takes out of the kernel what belongs to processes that are gone, and gives those whose end was never told.
    fn swept(&mut self) -> Vec<ProcessKey> {
        let known = self.introduced.processes.iter().copied();
        self.kernel
            .tables
            .sweep(Instant::now(), known)
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "what ended processes left in the kernel stays there");
                Vec::new()
            })
    }
}

/// Probes hold files open, several for each library: as many as may be had. The usual limit is what `select(2)` can take, and
/// nothing here uses that.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
    {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// What a look into the ring gave.
#[derive(Debug, Clone, Copy)]
struct Drained {
    /// Records.
    count: usize,
    /// No record from before this time is left in the ring: a tick that went beyond would let timeouts fire over what has
    /// happened and was not read yet.
    until: Monotonic,
}

/// Records handed over before ticks and new processes get their turn.
const ROUND: usize = 4096;

/// Processes whose [`ProbeEvent::Process`] was handed over.
#[derive(Debug, Default)]
struct Introduced {
    processes: HashSet<ProcessKey>,
}

impl Introduced {
    /// Tells who the process is, if that was not told before.
    fn introduce(
        &mut self,
        process: ProcessKey,
        facts: &mut Processes,
        each: &mut dyn FnMut(ProbeEvent<'_>),
    ) {
        if self.processes.contains(&process) {
            return;
        }
        // Ends may have been lost; telling twice who a process is does no harm.
        if self.processes.len() >= limits::PROCESSES as usize {
            self.processes.clear();
        }
        self.processes.insert(process);
        each(ProbeEvent::Process(facts.describe(process)));
    }

    /// The process runs another program: tells so, if anything of it was told before.
    fn introduce_again(
        &mut self,
        process: ProcessKey,
        facts: &mut Processes,
        each: &mut dyn FnMut(ProbeEvent<'_>),
    ) {
        if self.processes.contains(&process) {
            each(ProbeEvent::Process(facts.refresh(process)));
        }
    }

    /// The process told who it is: tells so, if anything of it was told before.
    fn introduce_as_known(
        &mut self,
        process: ProcessKey,
        facts: &mut Processes,
        each: &mut dyn FnMut(ProbeEvent<'_>),
    ) {
        if self.processes.contains(&process) {
            each(ProbeEvent::Process(facts.describe(process)));
        }
    }

    /// The process has ended. Whether it had been introduced.
    fn forget(&mut self, process: ProcessKey) -> bool {
        self.processes.remove(&process)
    }
}
