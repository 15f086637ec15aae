//! The ledger of an agent's work: what was begun, what came of it, and within whose work it was.
//!
//! A trace tells what was asked and what came of it in events of their own. The two belong together by the agents that called one
//! another (`callerChain`), by `traceId`, and among several alike in order.

use crate::event::Monotonic;

use super::super::content::{Budget, Content};
use super::clock::{Clock, Moment};
use super::said::Saying;
use super::step::{AgentWork, Fault, Phase, Step, StepGaps, Work};

/// Most steps of one call.
const MAX_STEPS: usize = 1024;

/// Most bytes kept of all steps of one call.
const MAX_HELD: usize = 4 << 20;

/// Most agents that call one another: deeper ones count as the deepest.
const MAX_DEPTH: usize = 8;

/// Whose work an event tells of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Teller {
    /// Agent aliases, the one that was called by the client first.
    pub(super) chain: Vec<String>,
    /// Name of the second of them: those further down are told of by it as well (recorded).
    pub(super) name: Option<String>,
    /// Version of the last.
    pub(super) version: Option<String>,
}

/// What an event tells beside the work itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'e> {
    /// Whose work it tells of.
    pub(super) teller: &'e Teller,
    /// `traceId`: `REQUEST-NUMBER`, the same for all work of one turn of the loop; empty where it is not told.
    pub(super) trace_id: &'e str,
    /// Part of the loop.
    pub(super) phase: Option<Phase>,
    /// When.
    pub(super) moment: Moment,
}

/// What came of a piece of work.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Outcome {
    /// `metadata.startTime`.
    pub(super) start: Option<Moment>,
    /// `metadata.endTime`.
    pub(super) end: Option<Moment>,
    /// `metadata.clientRequestId`.
    pub(super) request_id: Option<String>,
    /// Why it failed.
    pub(super) fault: Option<Fault>,
}

/// All steps of a call, as far as they came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ledger {
    drafts: Vec<Draft>,
    /// The first is that of the agent that the client called.
    scopes: Vec<Scope>,
    /// The scope of agents that were called by nobody in their chain: another than the first while the trace of a flow's node is read.
    base: usize,
    clock: Clock,
    /// The step that began last, if there was room for it.
    begun: Option<usize>,
    /// The last event.
    last: Option<Moment>,
    held: usize,
    /// How much may still be kept of what is said; `None` if it is not wanted.
    budget: Option<Budget>,
    /// Events that told of steps beyond the caps.
    dropped: u64,
}

/// A step that may not be over.
#[derive(Debug, Clone, PartialEq)]
struct Draft {
    scope: usize,
    trace_id: String,
    phase: Option<Phase>,
    work: Work,
    begun: Moment,
    ended: Option<Moment>,
    request_id: Option<String>,
    fault: Option<Fault>,
    gaps: StepGaps,
    content: Option<Box<Content>>,
    weight: usize,
}

/// The work of one agent for one question.
#[derive(Debug, Clone, PartialEq, Default)]
struct Scope {
    chain: Vec<String>,
    /// What all its trace ids begin with: the id of its request.
    request: String,
    /// The step that asked it; `None` for the agent that the client called.
    step: Option<usize>,
    /// The step of the model that answered last, and which of the tools it asked for have run.
    model: Option<(usize, Vec<usize>)>,
}

/// The scope of the agent that the client called.
const ROOT: usize = 0;

impl Default for Ledger {
    fn default() -> Self {
        Self {
            drafts: Vec::new(),
            scopes: vec![Scope::default()],
            base: ROOT,
            clock: Clock::default(),
            begun: None,
            last: None,
            held: 0,
            budget: None,
            dropped: 0,
        }
    }
}

impl Ledger {
    /// An event of the trace arrived.
    pub(super) fn observe(&mut self, moment: Moment) {
        self.clock.observe(moment);
        self.last = Some(moment);
    }

    /// Bytes kept.
    pub(super) fn held(&self) -> usize {
        self.held.saturating_add(self.budget.map_or(0, Budget::spent))
    }

    /// What is said is wanted.
    pub(super) fn keep_content(&mut self) {
        self.budget.get_or_insert_default();
    }

    /// Keeps what was asked in the step that has just begun.
    pub(super) fn say_asked(&mut self, say: impl FnOnce(&mut Budget) -> Saying) {
        let begun = self.begun.and_then(|step| self.drafts.get_mut(step));
        if let (Some(draft), Some(budget)) = (begun, &mut self.budget) {
            let Saying { system, messages } = say(budget);
            let content = draft.content.get_or_insert_default();
            content.system = system;
            content.input = messages;
            content.asked = *budget;
        }
    }

    /// Keeps what is answered in the step that is about to end.
    pub(super) fn say_answered(
        &mut self,
        event: &Event<'_>,
        kind: &Work,
        request_id: Option<&str>,
        say: impl FnOnce(&Work, &mut Budget) -> Saying,
    ) {
        if self.budget.is_none() {
            return;
        }
        let Some(scope) = self.scope(event) else { return };
        let step = self.open(scope, kind, event.trace_id, request_id);
        let draft = step.and_then(|step| self.drafts.get_mut(step));
        if let (Some(draft), Some(budget)) = (draft, &mut self.budget) {
            let Saying { system: _, messages } = say(&draft.work, budget);
            let content = draft.content.get_or_insert_default();
            content.output = messages;
            content.answered = *budget;
        }
    }

    /// Events that told of steps beyond the caps.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A piece of work began.
    pub(super) fn begin(&mut self, event: &Event<'_>, work: Work) {
        self.begun = self
            .scope(event)
            .and_then(|scope| self.draft(scope, event, work, StepGaps::default()));
    }

    /// Something came of a piece of work. `kind` is what it was where nobody told that it began; `update` adds what is told now.
    pub(super) fn end(
        &mut self,
        event: &Event<'_>,
        unasked: Work,
        outcome: Outcome,
        update: impl FnOnce(&mut Work),
    ) {
        let Some(scope) = self.scope(event) else { return };
        let step = self.open(scope, &unasked, event.trace_id, outcome.request_id.as_deref());
        let unseen = StepGaps {
            request_unseen: true,
            outcome_unseen: false,
        };
        let Some(step) = step.or_else(|| self.draft(scope, event, unasked, unseen)) else {
            return;
        };
        let Outcome {
            start,
            end,
            request_id,
            fault,
        } = outcome;
        let Some(draft) = self.drafts.get_mut(step) else {
            return;
        };
        draft.begun = start.unwrap_or(draft.begun);
        draft.ended = Some(end.unwrap_or(event.moment));
        draft.request_id = request_id;
        draft.fault = draft.fault.take().or(fault);
        let mut work = draft.work.clone();
        update(&mut work);
        let weight = work.weight();
        let held = self.held.saturating_sub(draft.weight).saturating_add(weight);
        if held > MAX_HELD {
            self.dropped += 1;
            return;
        }
        self.held = held;
        draft.weight = weight;
        draft.work = work;
        if matches!(draft.work, Work::Model(_))
            && let Some(scope) = self.scopes.get_mut(scope)
        {
            scope.model = Some((step, Vec::new()));
        }
    }

    /// What comes until [`Ledger::leave`] is the work of a node of a flow: of the open one with this trace id, or the one that
    /// was open last.
    pub(super) fn enter(&mut self, trace_id: &str) {
        let node = |open: bool| {
            self.drafts.iter().rposition(|draft| {
                let is_node = matches!(draft.work, Work::Node(_)) && draft.trace_id == trace_id;
                is_node && (!open || draft.ended.is_none())
            })
        };
        let Some(step) = node(true).or_else(|| node(false)) else {
            return;
        };
        let known = self.scopes.iter().position(|scope| scope.step == Some(step));
        self.base = known.unwrap_or_else(|| {
            self.scopes.push(Scope {
                step: Some(step),
                ..Scope::default()
            });
            self.scopes.len() - 1
        });
    }

    /// What comes next is the work of the call itself.
    pub(super) fn leave(&mut self) {
        self.base = ROOT;
    }

    /// Changes the open step of this kind and trace id.
    pub(super) fn amend(&mut self, event: &Event<'_>, kind: &Work, update: impl FnOnce(&mut Work)) {
        let Some(scope) = self.scope(event) else { return };
        if let Some(step) = self.open(scope, kind, event.trace_id, None)
            && let Some(draft) = self.drafts.get_mut(step)
        {
            update(&mut draft.work);
            let weight = draft.work.weight();
            self.held = self.held.saturating_sub(draft.weight).saturating_add(weight);
            draft.weight = weight;
        }
    }

    /// A piece of work that is told of in one event.
    pub(super) fn whole(&mut self, event: &Event<'_>, work: Work, outcome: Outcome) {
        self.begin(event, work.clone());
        self.end(event, work, outcome, |_| ());
    }

    /// The agent gave up, and with it everything that it had begun. `true` if it was the one that the client called.
    pub(super) fn fail(&mut self, event: &Event<'_>, fault: &Fault) -> bool {
        let Some(failed) = self.scope(event) else {
            return false;
        };
        let within: Vec<usize> = (0..self.drafts.len())
            .filter(|step| self.is_within(*step, failed))
            .collect();
        for step in within {
            if let Some(draft) = self.drafts.get_mut(step)
                && draft.ended.is_none()
            {
                draft.ended = Some(event.moment);
                draft.fault = Some(fault.clone());
            }
        }
        let asked = self.scopes.get(failed).and_then(|scope| scope.step);
        if let Some(draft) = asked.and_then(|step| self.drafts.get_mut(step)) {
            draft.fault = Some(fault.clone());
        }
        failed == ROOT
    }

    /// The id under which the model asked for a tool of this name, if it did so last and the tool has not run since.
    pub(super) fn claim_tool_call(&mut self, event: &Event<'_>, name: &str) -> Option<String> {
        let scope = self.scope(event)?;
        let (step, claimed) = self.scopes.get_mut(scope)?.model.as_mut()?;
        let Work::Model(work) = &self.drafts.get(*step)?.work else {
            return None;
        };
        let (place, call) = work
            .tool_calls
            .iter()
            .enumerate()
            .find(|(place, call)| call.name.as_deref() == Some(name) && !claimed.contains(place))?;
        claimed.push(place);
        call.id.clone()
    }

    /// All steps, their times on the host's clock and within `call`, those of the call itself. What is open still ended with
    /// `failure`, if there was one.
    pub(super) fn settle(
        &self,
        call: (Monotonic, Monotonic),
        failure: Option<(Monotonic, &Fault)>,
    ) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::with_capacity(self.drafts.len());
        for draft in &self.drafts {
            let Draft {
                scope,
                trace_id: _,
                phase,
                work,
                begun,
                ended,
                request_id,
                fault,
                gaps,
                content,
                weight: _,
            } = draft;
            let parent = self.scopes.get(*scope).and_then(|scope| scope.step);
            let (first, last) = parent
                .and_then(|parent| steps.get(parent))
                .map_or(call, |parent| (parent.start, parent.end));
            let within = |time: Monotonic| time.max(first).min(last);
            let start = within(self.clock.host(*begun));
            let (end, broken_off) = match (ended, failure, self.last) {
                (Some(ended), ..) => (self.clock.host(*ended), None),
                (None, Some((time, fault)), _) => (time, Some(fault.clone())),
                (None, None, Some(moment)) => (self.clock.host(moment), None),
                (None, None, None) => (start, None),
            };
            steps.push(Step {
                parent,
                phase: *phase,
                work: work.clone(),
                start,
                end: within(end).max(start),
                request_id: request_id.clone(),
                fault: fault.clone().or(broken_off),
                gaps: StepGaps {
                    request_unseen: gaps.request_unseen,
                    outcome_unseen: ended.is_none() && failure.is_none(),
                },
                content: content.clone(),
            });
        }
        steps
    }

    /// A new step, if there is room.
    fn draft(&mut self, scope: usize, event: &Event<'_>, work: Work, gaps: StepGaps) -> Option<usize> {
        let weight = work.weight();
        if self.drafts.len() >= MAX_STEPS || self.held.saturating_add(weight) > MAX_HELD {
            self.dropped += 1;
            return None;
        }
        self.held += weight;
        self.drafts.push(Draft {
            scope,
            trace_id: event.trace_id.to_owned(),
            phase: event.phase,
            work,
            begun: event.moment,
            ended: None,
            request_id: None,
            fault: None,
            gaps,
            content: None,
            weight,
        });
        Some(self.drafts.len() - 1)
    }

    /// The open step that an outcome belongs to: of its kind, in its scope, with its trace id; the agent whose request it was, or
    /// what began first.
    fn open(&self, scope: usize, kind: &Work, trace_id: &str, request_id: Option<&str>) -> Option<usize> {
        let mut candidates = self.drafts.iter().enumerate().filter(|(_, draft)| {
            draft.ended.is_none()
                && draft.scope == scope
                && std::mem::discriminant(&draft.work) == std::mem::discriminant(kind)
                && (draft.trace_id == trace_id || trace_id.is_empty() || draft.trace_id.is_empty())
        });
        if matches!(kind, Work::Agent(_)) {
            let all: Vec<usize> = candidates.map(|(step, _)| step).collect();
            let asked = self
                .scopes
                .iter()
                .filter(|scope| request_id == Some(&scope.request))
                .find_map(|scope| scope.step.filter(|step| all.contains(step)));
            return asked.or_else(|| all.first().copied());
        }
        candidates.next().map(|(step, _)| step)
    }

    /// The scope of an event; `None` if there is no room for it.
    fn scope(&mut self, event: &Event<'_>) -> Option<usize> {
        let chain = &event.teller.chain;
        let chain = chain.get(..MAX_DEPTH).unwrap_or(chain);
        self.scope_of(chain, request_of(event.trace_id), event)
    }

    fn scope_of(&mut self, chain: &[String], request: &str, event: &Event<'_>) -> Option<usize> {
        let (alias, callers) = match chain.split_last() {
            Some((alias, callers)) if !callers.is_empty() => (alias, callers),
            _ => return Some(self.base),
        };
        let known = self
            .scopes
            .iter()
            .rposition(|scope| scope.chain == chain && scope.request == request);
        if known.is_some() {
            return known;
        }
        let asked = AgentWork {
            name: event.teller.name.clone().filter(|_| chain.len() == 2),
            version: event
                .teller
                .version
                .clone()
                .filter(|_| chain == event.teller.chain),
            ..AgentWork::of_alias(alias)
        };
        let step = if let Some(step) = self.asked(&asked, callers) {
            step
        } else if let Some(known) = self.at_work(chain) {
            // An id of another make, or none.
            return Some(known);
        } else {
            self.unasked(asked.clone(), callers, event)?
        };
        if let Some(Draft {
            work: Work::Agent(work),
            ..
        }) = self.drafts.get_mut(step)
        {
            work.version = asked.version;
        }
        self.scopes.push(Scope {
            chain: chain.to_vec(),
            request: request.to_owned(),
            step: Some(step),
            model: None,
        });
        Some(self.scopes.len() - 1)
    }

    /// An agent that answers though nobody was seen to ask it.
    fn unasked(&mut self, agent: AgentWork, callers: &[String], event: &Event<'_>) -> Option<usize> {
        let caller = self.scope_of(callers, "", event)?;
        let untold = Event {
            trace_id: "",
            phase: None,
            ..*event
        };
        let unseen = StepGaps {
            request_unseen: true,
            outcome_unseen: false,
        };
        self.draft(caller, &untold, Work::Agent(agent), unseen)
    }

    /// The agent that was asked first and has not answered with anything yet.
    fn asked(&self, agent: &AgentWork, callers: &[String]) -> Option<usize> {
        self.drafts.iter().enumerate().position(|(step, draft)| {
            let Work::Agent(work) = &draft.work else {
                return false;
            };
            let by_caller = match callers {
                [_] => draft.scope == self.base,
                _ => self
                    .scopes
                    .get(draft.scope)
                    .is_some_and(|scope| scope.chain == callers),
            };
            let same = match (&work.alias, &agent.alias) {
                (Some(_), Some(_)) => (&work.id, &work.alias) == (&agent.id, &agent.alias),
                _ => work.name == agent.name,
            };
            let silent = self.scopes.iter().all(|scope| scope.step != Some(step));
            draft.ended.is_none() && by_caller && same && silent
        })
    }

    /// The newest scope of these agents whose last has not answered in full.
    fn at_work(&self, chain: &[String]) -> Option<usize> {
        self.scopes.iter().rposition(|scope| {
            let step = scope.step.and_then(|step| self.drafts.get(step));
            scope.chain == chain && step.is_some_and(|draft| draft.ended.is_none())
        })
    }

    /// Whether a step is work of this scope, or of an agent that it asked.
    fn is_within(&self, step: usize, outer: usize) -> bool {
        let mut scope = self.drafts.get(step).map(|draft| draft.scope);
        while let Some(place) = scope {
            if place == outer {
                return true;
            }
            let asked = self.scopes.get(place).and_then(|scope| scope.step);
            scope = asked
                .and_then(|step| self.drafts.get(step))
                .map(|draft| draft.scope);
        }
        false
    }
}

/// What all trace ids of one request begin with: its id, a UUID (`7b0b7a7b-99b7-486f-afc7-00463ce7dec5-0`).
fn request_of(trace_id: &str) -> &str {
    const LENGTH: usize = 36;
    trace_id
        .get(..LENGTH)
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
        .unwrap_or_default()
}
