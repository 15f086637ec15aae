//! Who made the calls: host and processes as they were told, so that each call becomes a span of its process.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::bedrock::Call;
use crate::event::{Host, Monotonic, ProbeEvent, Process, ProcessKey};

use super::capture::Capture;
use super::control::Control;
use super::options::Options;
use super::redaction::Hits;
use super::span::Span;
use super::span_builder::span_of;
use super::steps::spans_of_steps;
use super::tool_loop::{Loop, Tool, loop_span, tool_span};

/// Most processes remembered. The one told of first is forgotten first; its spans then know the pid only.
const MAX_PROCESSES: usize = 65_536;

/// Turns calls into spans.
#[derive(Debug)]
pub struct Spans {
    options: Options,
    /// When content was let out that was kept back before: that of calls which had begun by then stays back.
    content_since: Option<Monotonic>,
    host: Host,
    control: Control,
    processes: BTreeMap<ProcessKey, Arc<Process>>,
    /// In the order they were first told of.
    order: VecDeque<ProcessKey>,
}

impl Spans {
    /// Knows no process yet, and reads times as if the machine had booted with the Unix epoch.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            content_since: None,
            host: Host {
                boot_id: String::new(),
                name: String::new(),
                wall_offset_ns: 0,
            },
            control: Control::default(),
            processes: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Makes spans by other options from now on. `now`: the time of the last event.
    pub fn reconfigure(&mut self, options: Options, now: Monotonic) {
        if options.capture.any() && !self.options.capture.any() {
            self.content_since = Some(now);
        }
        self.options = options;
    }

    /// Learns from an event, before anything is made of it.
    pub fn learn(&mut self, event: &ProbeEvent<'_>) {
        match event {
            ProbeEvent::Host(host) => self.host.clone_from(host),
            ProbeEvent::Process(process) => {
                if self.processes.insert(process.key, Arc::clone(process)).is_none() {
                    self.order.push_back(process.key);
                    self.make_room();
                }
            }
            ProbeEvent::ProcessExit { .. }
            | ProbeEvent::Open { .. }
            | ProbeEvent::ServerName { .. }
            | ProbeEvent::Data(_)
            | ProbeEvent::Close { .. }
            | ProbeEvent::Lost(_)
            | ProbeEvent::Tick(_) => {}
        }
    }

    /// Forgets what the event ended, after all has been made of it.
    pub fn forget(&mut self, event: &ProbeEvent<'_>) {
        if let ProbeEvent::ProcessExit { process, .. } = event {
            self.processes.remove(process);
        }
    }

    /// The spans of a call: its own, and beneath it one for each step of a hosted agent, in the order of the tree.
    pub fn spans(&mut self, call: &Call) -> Vec<Span> {
        let mut span = self.span(call);
        span.links.extend(self.control.link(call, &span));
        let steps = spans_of_steps(call, &span, &self.host, &self.options_of(call, &span.process));
        let steps = steps.into_iter().map(|(mut step, hits)| {
            self.options.redaction.span(&mut step, hits);
            step
        });
        std::iter::once(span).chain(steps).collect()
    }

    /// The machine, as it was told last.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The span of a call.
    pub fn span(&self, call: &Call) -> Span {
        let process = self.process(call.connection.process);
        let options = self.options_of(call, &process);
        span_of(call, &self.host, process, &options)
    }

    /// What the telemetry of a call is to look like: the pod of its process or a rule may keep content back, and so does that it
    /// began while content was kept back of all.
    fn options_of(&self, call: &Call, process: &Process) -> Cow<'_, Options> {
        let is_older = self
            .content_since
            .is_some_and(|since| call.timings.request <= since);
        if !is_older && !process.keeps_content_back() {
            return Cow::Borrowed(&self.options);
        }
        Cow::Owned(Options {
            capture: Capture::Nothing,
            ..self.options.clone()
        })
    }

    /// The span of a loop. Why it failed is what its last call said.
    pub fn of_loop(&self, of: &Loop) -> Span {
        let mut span = loop_span(of, &self.host, self.process(of.process));
        self.options.redaction.span(&mut span, Hits::new());
        span
    }

    /// The span of a tool that ran in a loop.
    pub fn of_tool(&self, of: &Tool) -> Span {
        tool_span(of, &self.host, self.process(of.process))
    }

    /// How many processes are remembered.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Who a process is.
    pub fn process(&self, key: ProcessKey) -> Arc<Process> {
        self.processes
            .get(&key)
            .cloned()
            .unwrap_or_else(|| Arc::new(unknown(key)))
    }

    /// Whether there is to be no telemetry of a process.
    pub fn is_left_alone(&self, process: ProcessKey) -> bool {
        self.processes
            .get(&process)
            .is_some_and(|process| process.is_left_alone())
    }

    fn make_room(&mut self) {
        while self.processes.len() > MAX_PROCESSES {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.processes.remove(&oldest);
        }
        if self.order.len() > 2 * MAX_PROCESSES {
            let processes = &self.processes;
            self.order.retain(|key| processes.contains_key(key));
        }
    }
}

/// A process of which nothing but its key was told.
fn unknown(key: ProcessKey) -> Process {
    Process {
        key,
        parent_pid: 0,
        executable: String::new(),
        command_line: Vec::new(),
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    }
}
