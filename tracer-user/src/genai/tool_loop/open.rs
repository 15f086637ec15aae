//! A loop that is not over yet, or one call that may become one.

use std::collections::BTreeMap;

use crate::bedrock::Call;
use crate::bedrock::call::{Origin, ToolResult};
use crate::bedrock::content::Content;
use crate::bedrock::session::Session;
use crate::event::{Monotonic, ProcessKey};

use super::{Loop, Tool};

/// Most tools asked for and not answered in one loop.
pub(super) const MAX_ASKED: usize = 256;

#[derive(Debug)]
pub(super) struct Open {
    pub(super) origin: Origin,
    pub(super) process: ProcessKey,
    pub(super) session: Option<Session>,
    /// End of the last call.
    pub(super) end: Monotonic,
    /// Tools asked for, by the ids of their calls.
    pub(super) asked: BTreeMap<String, Asked>,
    start: Monotonic,
    calls: u64,
    tools: u64,
    failed: Option<(String, String)>,
    answered: bool,
    /// The first call, until it is proven to have begun a loop.
    first: Option<Box<Call>>,
}

#[derive(Debug)]
pub(super) struct Asked {
    name: Option<String>,
    time: Monotonic,
    /// Its result has been sent.
    ran: bool,
}

impl Open {
    pub(super) fn new(call: &Call) -> Self {
        Self {
            origin: Origin {
                connection: call.connection,
                exchange: call.exchange,
                trace: call.trace.clone(),
            },
            process: call.connection.process,
            session: call.session.clone(),
            start: call.timings.request,
            end: call.timings.end,
            asked: BTreeMap::new(),
            calls: 1,
            tools: 0,
            failed: None,
            answered: false,
            first: None,
        }
    }

    /// Keeps the first call. Returns how many bytes of content that are.
    pub(super) fn hold(&mut self, call: Box<Call>) -> usize {
        let size = call.content.as_ref().map_or(0, Content::size);
        self.first = Some(call);
        size
    }

    /// The first call, if it was not let go before; what it held is taken from `held`.
    pub(super) fn let_go(&mut self, held: &mut usize) -> Option<Box<Call>> {
        let first = self.first.take()?;
        *held = held.saturating_sub(first.content.as_ref().map_or(0, Content::size));
        Some(first)
    }

    /// An answer asks for a tool. `false` if that is not remembered.
    pub(super) fn ask(&mut self, id: &str, name: Option<&String>, time: Monotonic) -> bool {
        if self.asked.len() >= MAX_ASKED {
            return false;
        }
        let asked = Asked {
            name: name.cloned(),
            time,
            ran: false,
        };
        self.asked.insert(id.to_owned(), asked);
        true
    }

    /// Whether the tool was asked for before that time.
    pub(super) fn asked_before(&self, id: &str, time: Monotonic) -> bool {
        self.asked.get(id).is_some_and(|asked| asked.time <= time)
    }

    /// The tools whose results the request brings for the first time.
    pub(super) fn answered_by(&mut self, call: &Call) -> Vec<Tool> {
        let end = call.timings.request;
        let mut tools = Vec::new();
        for ToolResult { id, failed } in &call.tool_results {
            if let Some(asked) = self.asked.get_mut(id)
                && asked.time <= end
                && !std::mem::replace(&mut asked.ran, true)
            {
                self.tools += 1;
                tools.push(Tool {
                    origin: self.origin.clone(),
                    process: self.process,
                    id: id.clone(),
                    name: asked.name.clone(),
                    failed: *failed,
                    session: self.session.clone(),
                    start: asked.time,
                    end,
                });
            }
        }
        tools
    }

    /// Another call of the loop is over.
    pub(super) fn take(&mut self, call: &Call, failed: Option<(String, String)>) {
        self.calls += 1;
        self.end = self.end.max(call.timings.end);
        self.answered = failed.is_none() && call.tool_calls.is_empty();
        self.failed = failed;
    }

    /// Lets go of the tools that ran. Returns their ids.
    pub(super) fn done(&mut self) -> Vec<String> {
        let done: Vec<String> = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.ran)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &done {
            self.asked.remove(id);
        }
        done
    }

    pub(super) fn into_loop(self) -> Loop {
        Loop {
            origin: self.origin,
            process: self.process,
            session: self.session,
            start: self.start,
            end: self.end,
            calls: self.calls,
            tools: self.tools,
            failed: self.failed,
            answered: self.answered,
        }
    }
}
