//! One logical call: its attempts as they come, in whatever order they end.

use std::collections::BTreeMap;

use crate::bedrock::Call;
use crate::bedrock::attempt::{Outcome, Series};
use crate::bedrock::call::TraceHeaders;
use crate::bedrock::content::Content;
use crate::event::{Monotonic, ProcessKey};

use super::Place;
use super::outcome::{may_be_followed, outcome};

/// Most attempts of one call that are told. Of more the first and the last stay.
pub(super) const MAX_OUTCOMES: usize = 64;

/// What is known of a logical call.
#[derive(Debug)]
pub(super) struct Logical {
    pub(super) key: (ProcessKey, Series),
    /// Attempts that have not ended, and how many came before each.
    pub(super) under_way: BTreeMap<Place, u64>,
    /// When its patience ends, while it waits.
    pub(super) deadline: Option<Monotonic>,
    /// Attempts that have ended, in order.
    outcomes: Vec<Outcome>,
    /// The first of them: it gives the whole its identity.
    first: Option<First>,
    /// The last of them.
    last: Option<Box<Call>>,
    /// How many attempts were seen at all.
    seen: u64,
}

#[derive(Debug)]
struct First {
    order: (u64, Monotonic),
    place: Place,
    trace: TraceHeaders,
    thread: u32,
}

impl Logical {
    pub(super) fn new(key: (ProcessKey, Series)) -> Self {
        Self {
            key,
            under_way: BTreeMap::new(),
            deadline: None,
            outcomes: Vec::new(),
            first: None,
            last: None,
            seen: 0,
        }
    }

    /// Takes an attempt that has ended.
    pub(super) fn take(&mut self, call: Box<Call>) {
        self.seen += 1;
        let order = order_of(&call);
        if self.first.as_ref().is_none_or(|first| order < first.order) {
            self.first = Some(First {
                order,
                place: (call.connection, call.exchange),
                trace: call.trace.clone(),
                thread: call.thread,
            });
        }
        let outcome = outcome(&call);
        let at = self
            .outcomes
            .partition_point(|other| (other.resends, other.start) <= order);
        self.outcomes.insert(at, outcome);
        if self.outcomes.len() > MAX_OUTCOMES {
            self.outcomes.remove(MAX_OUTCOMES / 2);
        }
        if self.last.as_ref().is_none_or(|last| order_of(last) <= order) {
            self.last = Some(call);
        }
    }

    /// Whether the last attempt that ended is the last that there is.
    pub(super) fn is_over(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !may_be_followed(last))
    }

    /// Whether it waits for nothing but an attempt after so many others.
    pub(super) fn waits_for(&self, resends: u64) -> bool {
        self.deadline.is_some() && self.under_way.is_empty() && self.lacks(resends)
    }

    /// Whether an attempt after so many others would be its next, though the one before has not ended here: the client may
    /// have given it up.
    pub(super) fn may_be_given_up_for(&self, resends: u64) -> bool {
        !self.under_way.is_empty() && self.lacks(resends)
    }

    fn lacks(&self, resends: u64) -> bool {
        let ended = self.last.as_ref().map(|last| last.attempt.resends);
        let latest = self.under_way.values().copied().chain(ended).max();
        latest.is_some_and(|latest| latest.checked_add(1) == Some(resends))
    }

    /// Bytes of content that it keeps.
    pub(super) fn held(&self) -> usize {
        let content = self.last.as_ref().and_then(|last| last.content.as_ref());
        content.map_or(0, Content::size)
    }

    /// The call as a whole; `None` if no attempt has ended.
    pub(super) fn into_call(self) -> Option<Box<Call>> {
        let (mut call, first) = (self.last?, self.first?);
        call.gaps.attempts_unseen = self.seen <= call.attempt.resends;
        if self.seen > 1 || call.attempt.resends > 0 {
            call.attempts = self.outcomes;
        }
        (call.connection, call.exchange) = first.place;
        call.trace = first.trace;
        call.thread = first.thread;
        call.timings.request = first.order.1;
        Some(call)
    }
}

fn order_of(call: &Call) -> (u64, Monotonic) {
    (call.attempt.resends, call.timings.request)
}
