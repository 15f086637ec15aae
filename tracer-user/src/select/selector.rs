//! Applies the rules to the events of a run.
//!
//! Every process is judged when it is told of, and again after `execve` and when its pod becomes known or changes. What comes
//! of one that may yet turn out to be left alone is held, bounded in time and in bytes; what is too much, or comes too late,
//! is dropped and counted. After the time the narrowest of what may be true holds: a process that a rule may leave alone is
//! left alone, and one whose pod nobody has told of is traced without content.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::condition::{Place, Subject};
use super::rules::Rules;
use crate::counters::{Counter, Counters};
use crate::event::pod::Wishes;
use crate::event::{Monotonic, ProbeEvent, Process, ProcessKey};

/// How long events are held for the word of the API server.
pub(super) const PATIENCE_NS: u64 = 5_000_000_000;

/// Most bytes held of one process, and of all.
pub(super) const HELD_MAX: usize = 4 << 20;
pub(super) const HELD_IN_ALL_MAX: usize = 32 << 20;

/// What an event weighs beside its plaintext.
const EVENT_WEIGHT: usize = 256;

/// Most processes remembered. The one told of first is forgotten first; what comes of it then is judged as that of a process
/// of which nothing is known.
pub(super) const PROCESSES_MAX: usize = 65_536;

/// Tells of a control group whether it may be that of a pod.
pub type InPod = fn(&str) -> bool;

/// Takes what the selector lets through.
pub trait Sink {
    /// An event of a process that is traced, or of none.
    fn event(&mut self, event: &ProbeEvent<'_>);

    /// This process is left alone from now on: the kernel side need not look at it.
    fn leave_alone(&mut self, process: &Process);

    /// This process is traced from now on, after it was left alone.
    fn follow(&mut self, process: &Process);
}

/// Knows of each process whether it is traced.
#[derive(Debug)]
pub struct Selector {
    rules: Arc<Rules>,
    /// Tells of a control group whether it may be that of a pod; `None` where nobody asks for pods.
    in_pod: Option<InPod>,
    processes: HashMap<ProcessKey, Known>,
    /// In the order they were first told of.
    order: VecDeque<ProcessKey>,
    /// Those that wait.
    waiting: Vec<ProcessKey>,
    held: usize,
    counters: Counters,
}

/// A process and what is done with it.
#[derive(Debug)]
struct Known {
    /// As it was told last, with what is withheld.
    process: Arc<Process>,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    Traced,
    LeftAlone,
    /// Not known yet.
    Waits {
        /// The first tick since; processes are told of without a time.
        since: Option<Monotonic>,
        held: Vec<ProbeEvent<'static>>,
        bytes: usize,
    },
}

/// What is to be done with a process, and whether more may become known.
struct Verdict {
    withheld: Wishes,
    left_alone: bool,
    is_open: bool,
}

impl Selector {
    /// With rules, and with what tells processes in pods where the API server is asked for pods.
    pub fn new(rules: Arc<Rules>, in_pod: Option<InPod>) -> Self {
        Self {
            rules,
            in_pod,
            processes: HashMap::new(),
            order: VecDeque::new(),
            waiting: Vec::new(),
            held: 0,
            counters: Counters::default(),
        }
    }

    /// Takes one more event, credentials blanked.
    pub fn push(&mut self, event: &ProbeEvent<'_>, sink: &mut impl Sink) {
        match event {
            ProbeEvent::Process(process) => self.judge(process, sink),
            ProbeEvent::Tick(time) => {
                self.lose_patience(*time, sink);
                sink.event(event);
            }
            ProbeEvent::ProcessExit { process, .. } => {
                self.pass(*process, event, sink);
                self.forget_settled(*process);
            }
            ProbeEvent::Open { connection, .. }
            | ProbeEvent::ServerName { connection, .. }
            | ProbeEvent::Close { connection, .. } => self.pass(connection.process, event, sink),
            ProbeEvent::Data(data) => self.pass(data.connection.process, event, sink),
            ProbeEvent::Host(_) | ProbeEvent::Lost(_) => sink.event(event),
        }
    }

    /// Other rules hold from now on: every running process is judged anew.
    pub fn reload(&mut self, rules: Arc<Rules>, sink: &mut impl Sink) {
        self.rules = rules;
        let mut processes: Vec<Arc<Process>> = self
            .processes
            .values()
            .map(|known| Arc::clone(&known.process))
            .collect();
        // In an order that does not depend on the hash.
        processes.sort_by_key(|process| process.key);
        for process in processes {
            self.judge(&process, sink);
        }
    }

    /// Tracing stops: what waits still is told as far as it may be.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        for process in std::mem::take(&mut self.waiting) {
            self.give_up(process, sink);
        }
    }

    /// What was dropped.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that are held now.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    fn judge(&mut self, process: &Arc<Process>, sink: &mut impl Sink) {
        let Verdict {
            withheld,
            left_alone,
            is_open,
        } = verdict(&self.rules, self.in_pod, process);
        let process = if process.withheld == withheld {
            Arc::clone(process)
        } else {
            Arc::new(Process {
                withheld,
                ..Process::clone(process)
            })
        };
        let key = process.key;
        let Some(known) = self.processes.get_mut(&key) else {
            self.remember(process, left_alone, is_open, sink);
            return;
        };
        let before = std::mem::replace(&mut known.process, Arc::clone(&process));
        match std::mem::replace(&mut known.standing, standing(left_alone)) {
            waits @ Standing::Waits { .. } if is_open => known.standing = waits,
            Standing::Waits { held, bytes, .. } => {
                self.waiting.retain(|waiting| *waiting != key);
                self.release(&process, held, bytes, left_alone, sink);
            }
            // Who has waited once does not wait again, unless it has become another program.
            Standing::Traced | Standing::LeftAlone if is_open && !is_same_program(&before, &process) => {
                known.standing = wait(&mut self.waiting, key);
            }
            Standing::Traced => {
                // Of one that is left alone now, whoever hears this drops what is under way.
                sink.event(&ProbeEvent::Process(Arc::clone(&process)));
                if left_alone {
                    sink.leave_alone(&process);
                }
            }
            Standing::LeftAlone if left_alone => sink.leave_alone(&process),
            Standing::LeftAlone => {
                sink.follow(&process);
                sink.event(&ProbeEvent::Process(process));
            }
        }
    }

    /// A process that was not known before.
    fn remember(&mut self, process: Arc<Process>, left_alone: bool, is_open: bool, sink: &mut impl Sink) {
        let key = process.key;
        self.make_room();
        self.order.push_back(key);
        let standing = if is_open {
            wait(&mut self.waiting, key)
        } else {
            if left_alone {
                sink.leave_alone(&process);
            } else {
                sink.event(&ProbeEvent::Process(Arc::clone(&process)));
            }
            standing(left_alone)
        };
        self.processes.insert(key, Known { process, standing });
    }

    /// Something of a process.
    fn pass(&mut self, process: ProcessKey, event: &ProbeEvent<'_>, sink: &mut impl Sink) {
        let Some(known) = self.processes.get_mut(&process) else {
            self.pass_unknown(event, sink);
            return;
        };
        // That a process ended is told and kept in any case: who it was must not be remembered for ever.
        let is_end = matches!(event, ProbeEvent::ProcessExit { .. });
        match &mut known.standing {
            Standing::Traced => sink.event(event),
            Standing::LeftAlone if is_end => sink.event(event),
            Standing::LeftAlone => {}
            Standing::Waits { held, bytes, .. } => {
                let weight = weight(event);
                let fits = *bytes + weight <= HELD_MAX && self.held + weight <= HELD_IN_ALL_MAX;
                if fits || is_end {
                    *bytes += weight;
                    self.held += weight;
                    held.push(event.clone().into_owned());
                } else {
                    self.counters.add(Counter::HeldEventsDropped, 1);
                }
            }
        }
    }

    /// Something of a process that nobody has told of, or that was forgotten.
    fn pass_unknown(&mut self, event: &ProbeEvent<'_>, sink: &mut impl Sink) {
        let subject = Subject::new("", &[], Place::Unknown);
        let is_end = matches!(event, ProbeEvent::ProcessExit { .. });
        if is_end || self.rules.decide(&subject).decision().trace {
            sink.event(event);
        } else {
            self.counters.add(Counter::HeldEventsDropped, 1);
        }
    }

    /// Those that have waited long enough.
    fn lose_patience(&mut self, now: Monotonic, sink: &mut impl Sink) {
        let processes = &mut self.processes;
        let mut late = Vec::new();
        self.waiting.retain(|key| {
            let Some(Known {
                standing: Standing::Waits { since, .. },
                ..
            }) = processes.get_mut(key)
            else {
                return false;
            };
            let since = since.get_or_insert(now);
            let is_late = now.0.saturating_sub(since.0) >= PATIENCE_NS;
            if is_late {
                late.push(*key);
            }
            !is_late
        });
        for key in late {
            self.give_up(key, sink);
        }
    }

    /// No longer waits for what may be told of a process.
    fn give_up(&mut self, key: ProcessKey, sink: &mut impl Sink) {
        let Some(known) = self.processes.get_mut(&key) else {
            return;
        };
        let Standing::Waits { held, bytes, .. } = std::mem::replace(&mut known.standing, Standing::Traced)
        else {
            return;
        };
        let Verdict { left_alone, .. } = verdict(&self.rules, self.in_pod, &known.process);
        if left_alone {
            known.standing = Standing::LeftAlone;
            self.counters.add(Counter::HeldEventsDropped, held.len() as u64);
        }
        let process = Arc::clone(&known.process);
        self.release(&process, held, bytes, left_alone, sink);
    }

    /// What was held of a process comes out, or is dropped. One that has ended meanwhile is forgotten.
    fn release(
        &mut self,
        process: &Arc<Process>,
        held: Vec<ProbeEvent<'static>>,
        bytes: usize,
        left_alone: bool,
        sink: &mut impl Sink,
    ) {
        self.held = self.held.saturating_sub(bytes);
        let has_ended = held
            .iter()
            .any(|event| matches!(event, ProbeEvent::ProcessExit { .. }));
        if left_alone {
            if !has_ended {
                sink.leave_alone(process);
            }
        } else {
            sink.event(&ProbeEvent::Process(Arc::clone(process)));
            for event in held {
                sink.event(&event);
            }
        }
        if has_ended {
            self.processes.remove(&process.key);
        }
    }

    fn forget_settled(&mut self, process: ProcessKey) {
        let waits = |known: &Known| matches!(known.standing, Standing::Waits { .. });
        if !self.processes.get(&process).is_some_and(waits) {
            self.processes.remove(&process);
        }
    }

    fn make_room(&mut self) {
        while self.processes.len() >= PROCESSES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(Known {
                standing: Standing::Waits { held, bytes, .. },
                ..
            }) = self.processes.remove(&oldest)
            {
                self.held = self.held.saturating_sub(bytes);
                self.counters.add(Counter::HeldEventsDropped, held.len() as u64);
            }
        }
        if self.order.len() > 2 * PROCESSES_MAX {
            let processes = &self.processes;
            self.order.retain(|key| processes.contains_key(key));
        }
    }
}

fn wait(waiting: &mut Vec<ProcessKey>, process: ProcessKey) -> Standing {
    waiting.push(process);
    Standing::Waits {
        since: None,
        held: Vec::new(),
        bytes: 0,
    }
}

fn standing(left_alone: bool) -> Standing {
    if left_alone {
        Standing::LeftAlone
    } else {
        Standing::Traced
    }
}

fn is_same_program(one: &Process, other: &Process) -> bool {
    one.executable == other.executable && one.command_line == other.command_line
}

fn weight(event: &ProbeEvent<'_>) -> usize {
    let bytes = match event {
        ProbeEvent::Data(data) => data.bytes.len(),
        ProbeEvent::ServerName { name, .. } => name.len(),
        _ => 0,
    };
    bytes + EVENT_WEIGHT
}

/// What is to be done with a process, by all that is known of it.
fn verdict(rules: &Rules, in_pod: Option<InPod>, process: &Process) -> Verdict {
    // A control group that could not be read may be that of a pod.
    let may_be_in_pod = || in_pod.is_some_and(|in_pod| process.cgroup.is_empty() || in_pod(&process.cgroup));
    let (place, of_pod, awaits_pod) = match &process.pod {
        Some(pod) => (
            Place::Pod(pod),
            pod.wishes,
            in_pod.is_some() && pod.awaits_namespace,
        ),
        None if may_be_in_pod() => (Place::Unknown, Wishes::default(), true),
        None => (Place::Outside, Wishes::default(), false),
    };
    let outcome = rules.decide(&Subject::of(process, place));
    let decision = outcome.decision();
    let is_settled = matches!(outcome, super::Outcome::Settled(_));
    let withheld = Wishes {
        untraced: !decision.trace,
        without_content: !decision.content || awaits_pod,
    };
    Verdict {
        withheld,
        left_alone: withheld.untraced || of_pod.untraced,
        is_open: !(of_pod.untraced || is_settled && (!decision.trace || !awaits_pod)),
    }
}

/// What is kept back of a process and why, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// It is left alone.
    pub left_alone: bool,
    /// All of it in a sentence.
    pub sentence: String,
}

/// Why a process is left alone, or traced without content; `None` where nothing is kept back.
pub fn explain(rules: &Rules, in_pod: Option<InPod>, process: &Process) -> Option<Told> {
    let Verdict {
        withheld,
        left_alone,
        is_open,
    } = verdict(rules, in_pod, process);
    let wishes = process.pod.as_ref().map(|pod| pod.wishes).unwrap_or_default();
    let by_rule = || {
        let place = match &process.pod {
            Some(pod) => Place::Pod(pod),
            None if is_open => Place::Unknown,
            None => Place::Outside,
        };
        let decision = rules.decide(&Subject::of(process, place)).decision();
        let by = rules.tell(decision.by);
        if is_open {
            format!("{by}, until more is known of it or its pod")
        } else {
            by.to_string()
        }
    };
    let of_annotation = |name| format!("its pod or namespace says so ({name})");
    let (what, why) = if wishes.untraced {
        ("left alone", of_annotation("geophone.dev/trace"))
    } else if left_alone {
        ("left alone", by_rule())
    } else if wishes.without_content {
        ("without content", of_annotation("geophone.dev/content"))
    } else if withheld.without_content && is_open {
        (
            "without content",
            "the API server has not told of its pod or namespace".to_owned(),
        )
    } else if withheld.without_content {
        ("without content", by_rule())
    } else {
        return None;
    };
    Some(Told {
        left_alone,
        sentence: format!("{what}: {why}"),
    })
}
