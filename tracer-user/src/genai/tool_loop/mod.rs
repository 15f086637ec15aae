//! The loop of an agent that nobody instrumented, inferred from what passes: the model asks for tools, its caller runs them and
//! hands their results to the model again, until there is an answer.
//!
//! An answer asks for a tool by an id, and a later request of the same process carries the result under that id: that proves
//! that the two calls belong together. Nothing else does. An id that two open loops of a process ask for proves nothing.
//!
//! The first call of what may be a loop waits for its proof until the process ends, tracing stops, room is needed, or
//! [`PATIENCE_NS`] have passed. All this only where the user asked for it.

mod open;
mod spans;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::bedrock::Call;
use crate::bedrock::call::Origin;
use crate::bedrock::operation::Purpose;
use crate::bedrock::session::Session;
use crate::counters::Counter;
use crate::event::{Monotonic, ProcessKey};

use super::failure::failed;
use super::ids;
use open::Open;

pub(super) use spans::{loop_span, tool_span};

/// How long an answer that asks for tools waits for their results, and a loop for its next call.
pub const PATIENCE_NS: u64 = 300_000_000_000;

/// Most loops open at once. The one that has been silent longest is ended first.
pub const MAX_LOOPS: usize = 1024;

/// Most bytes of content kept in first calls that wait for their proof.
pub const MAX_HELD: usize = 64 << 20;

/// Finds loops. No IO, no clock: time comes with the calls and with [`ToolLoops::tick`].
#[derive(Debug, Default)]
pub struct ToolLoops {
    open: BTreeMap<u64, Open>,
    next: u64,
    /// Who asked for a tool: as a rule one.
    asked: BTreeMap<(ProcessKey, String), BTreeSet<u64>>,
    /// By the time of their last call.
    silent: BTreeSet<(Monotonic, u64)>,
    /// Bytes of content kept.
    held: usize,
    outputs: Vec<Output>,
}

/// Something to tell. The owner takes it after every event.
#[derive(Debug)]
pub enum Output {
    /// A call, with its place in a loop if it belongs to one.
    Call(Box<Call>),
    /// A tool that ran between two calls.
    Tool(Box<Tool>),
    /// A loop that is over.
    Loop(Box<Loop>),
    /// Something to be counted.
    Count(Counter, u64),
}

/// A tool that ran, as its shadow shows: from the end of the answer that asked for it to the request that brought the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The loop.
    pub origin: Origin,
    /// The process.
    pub process: ProcessKey,
    /// Id of its call.
    pub id: String,
    /// Its name, if the answer told it.
    pub name: Option<String>,
    /// Its caller says that it failed.
    pub failed: bool,
    /// The conversation, where it is known.
    pub session: Option<Session>,
    /// End of the answer that asked.
    pub start: Monotonic,
    /// Start of the request with the result.
    pub end: Monotonic,
}

/// A loop as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Loop {
    /// Its first call gives it its identity.
    pub origin: Origin,
    /// The process.
    pub process: ProcessKey,
    /// The conversation, where it is known.
    pub session: Option<Session>,
    /// Start of the first call.
    pub start: Monotonic,
    /// End of the last call.
    pub end: Monotonic,
    /// How many calls of the model it has.
    pub calls: u64,
    /// How many tools ran.
    pub tools: u64,
    /// Why its last call failed, if it did: `error.type` and description.
    pub failed: Option<(String, String)>,
    /// It came to an answer that asks for no tool.
    pub answered: bool,
}

impl ToolLoops {
    /// A call is over, all its attempts included.
    pub fn call(&mut self, call: Box<Call>) {
        match self.proven(&call) {
            Some(id) => self.go_on(id, call),
            None => self.begin_or_pass(call),
        }
    }

    /// A call that nobody asks about: told as it is.
    pub fn pass(&mut self, call: Box<Call>) {
        self.outputs.push(Output::Call(call));
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Monotonic) {
        while let Some((last, id)) = self.silent.first().copied()
            && last.0.saturating_add(PATIENCE_NS) <= now.0
        {
            self.close(id);
        }
    }

    /// A process is gone: its loops are over.
    pub fn process_exit(&mut self, process: ProcessKey) {
        let of_process = |open: &Open| open.process == process;
        let ids: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, open)| of_process(open))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.close(id);
        }
    }

    /// Tracing stops.
    pub fn finish(&mut self) {
        while let Some(id) = self.open.keys().next().copied() {
            self.close(id);
        }
    }

    /// How many loops are not over.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// What was found since the last time.
    pub fn outputs(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.outputs.drain(..)
    }

    /// The loop that a request carries on. The last results are the news; those before are what the loop said already.
    fn proven(&self, call: &Call) -> Option<u64> {
        let process = call.connection.process;
        call.tool_results.iter().rev().find_map(|result| {
            let askers = self.asked.get(&(process, result.id.clone()))?;
            let only = askers.first().copied().filter(|_| askers.len() == 1)?;
            // An answer that came after the request was sent cannot be what it answers.
            let open = self.open.get(&only)?;
            open.asked_before(&result.id, call.timings.request)
                .then_some(only)
        })
    }

    fn begin_or_pass(&mut self, call: Box<Call>) {
        let is_inference = matches!(call.route.operation.purpose(), Purpose::Chat | Purpose::Model);
        let asks = call.tool_calls.iter().any(|tool| tool.id.is_some());
        if !is_inference || !asks || failed(&call).is_some() {
            self.outputs.push(Output::Call(call));
            return;
        }
        while self.open.len() >= MAX_LOOPS || (self.held > MAX_HELD && !self.open.is_empty()) {
            let Some((_, quietest)) = self.silent.first().copied() else {
                break;
            };
            self.outputs.push(Output::Count(Counter::ToolLoopsEvicted, 1));
            self.close(quietest);
        }
        let id = self.next;
        self.next += 1;
        let mut open = Open::new(&call);
        self.ask(id, &mut open, &call);
        self.held += open.hold(call);
        self.silent.insert((open.end, id));
        self.open.insert(id, open);
    }

    fn go_on(&mut self, id: u64, mut call: Box<Call>) {
        let Some(mut open) = self.open.remove(&id) else {
            self.outputs.push(Output::Call(call));
            return;
        };
        self.silent.remove(&(open.end, id));
        let same_parent = ids::caller(&open.origin.trace) == ids::caller(&call.trace);
        if let Some(mut first) = open.let_go(&mut self.held) {
            if !same_parent {
                // The caller's own trace tells how its calls belong together.
                self.outputs.push(Output::Call(first));
                self.forget(id, open.asked.keys(), open.process);
                self.begin_or_pass(call);
                return;
            }
            first.tool_loop = Some(open.origin.clone());
            self.outputs.push(Output::Call(first));
        }
        Session::prefer(&mut open.session, call.session.clone());
        for tool in open.answered_by(&call) {
            self.outputs.push(Output::Tool(Box::new(tool)));
        }
        let failed = failed(&call);
        open.take(
            &call,
            failed
                .as_ref()
                .map(|failed| (failed.kind.clone(), failed.description.clone())),
        );
        if failed.is_none() {
            // Results that were taken in prove nothing more; after a failure they are sent again.
            let done = open.done();
            self.forget(id, done.iter(), open.process);
            self.ask(id, &mut open, &call);
        }
        if same_parent {
            call.tool_loop = Some(open.origin.clone());
        }
        self.outputs.push(Output::Call(call));
        let is_over = failed.is_none() && open.asked.is_empty();
        self.silent.insert((open.end, id));
        self.open.insert(id, open);
        if is_over {
            self.close(id);
        }
    }

    /// Remembers what an answer asks for.
    fn ask(&mut self, id: u64, open: &mut Open, call: &Call) {
        for tool in &call.tool_calls {
            if let Some(tool_id) = &tool.id
                && open.ask(tool_id, tool.name.as_ref(), call.timings.end)
            {
                let key = (open.process, tool_id.clone());
                self.asked.entry(key).or_default().insert(id);
            }
        }
    }

    fn forget<'i>(&mut self, id: u64, tools: impl Iterator<Item = &'i String>, process: ProcessKey) {
        for tool in tools {
            let key = (process, tool.clone());
            if let Some(askers) = self.asked.get_mut(&key) {
                askers.remove(&id);
                if askers.is_empty() {
                    self.asked.remove(&key);
                }
            }
        }
    }

    /// Nothing more is awaited. What was never proven to be a loop is a call like any other.
    fn close(&mut self, id: u64) {
        let Some(mut open) = self.open.remove(&id) else {
            return;
        };
        self.silent.remove(&(open.end, id));
        self.forget(id, open.asked.keys(), open.process);
        match open.let_go(&mut self.held) {
            Some(first) => self.outputs.push(Output::Call(first)),
            None => self.outputs.push(Output::Loop(Box::new(open.into_loop()))),
        }
    }
}
