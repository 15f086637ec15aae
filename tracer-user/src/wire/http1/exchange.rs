//! Requests that wait for their responses, in order (RFC 9112 §9.3.2).

use std::collections::VecDeque;

use super::head::Method;
use crate::event::Monotonic;
use crate::http::{Completion, ExchangeNumber, Phase};

/// Most requests sent ahead of their responses. No known client of Bedrock pipelines at all.
pub(super) const PIPELINED_MAX: usize = 128;

/// A request and its response, not yet complete.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Exchange {
    pub(super) number: ExchangeNumber,
    pub(super) method: Method,
    /// The client may answer `100 Continue` with the body, or a refusal with none.
    pub(super) expects_continue: bool,
    /// A byte of the request body passed.
    pub(super) has_body: bool,
    /// Nothing more of the request is waited for.
    pub(super) requested: bool,
    /// Requests may be missing before it.
    pub(super) follows_hole: bool,
    pub(super) response: Response,
}

/// How far the response came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Response {
    /// The final head did not pass yet.
    Awaited,
    Begun,
    /// All of it passed by then.
    Complete(Monotonic),
}

impl Exchange {
    /// How far it came.
    pub(super) fn phase(&self) -> Phase {
        match self.response {
            Response::Awaited if self.requested => Phase::Waiting,
            Response::Awaited => Phase::Request,
            Response::Begun | Response::Complete(_) => Phase::Response,
        }
    }

    /// How it ended, given how it would have if the response had not been seen to its end.
    pub(super) fn completion(&self, otherwise: impl FnOnce(Phase) -> Completion) -> Completion {
        match self.response {
            Response::Complete(_) => Completion::Complete,
            Response::Awaited | Response::Begun => otherwise(self.phase()),
        }
    }

    /// When the response was complete.
    pub(super) fn responded(&self) -> Option<Monotonic> {
        match self.response {
            Response::Complete(time) => Some(time),
            Response::Awaited | Response::Begun => None,
        }
    }
}

/// Exchanges under way on one connection, oldest first.
#[derive(Debug)]
pub(super) struct Exchanges {
    queue: VecDeque<Exchange>,
    next: u64,
}

impl Exchanges {
    /// Counts from `first`.
    pub(super) fn starting_at(first: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            next: first,
        }
    }

    /// Adds an exchange with nothing seen of it yet.
    pub(super) fn begin(&mut self, method: Method) -> ExchangeNumber {
        let number = ExchangeNumber(self.next);
        self.next = self.next.saturating_add(1);
        self.queue.push_back(Exchange {
            number,
            method,
            expects_continue: false,
            has_body: false,
            requested: false,
            follows_hole: false,
            response: Response::Awaited,
        });
        number
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= PIPELINED_MAX
    }

    /// The exchange that the next response answers.
    pub(super) fn waiting(&mut self) -> Option<&mut Exchange> {
        self.queue
            .iter_mut()
            .find(|exchange| exchange.response == Response::Awaited)
    }

    /// The exchanges that the response behind a hole cannot answer. A client sends a request when it has the response to the
    /// one before, so of several only the last can still be waiting; and that one neither, if the hole holds the `beginning`
    /// of its own response, or bytes of the request are missing, and with them perhaps other requests.
    pub(super) fn unanswered(&self, beginning: bool) -> Vec<ExchangeNumber> {
        let waiting = || {
            let waiting = |exchange: &&Exchange| exchange.response == Response::Awaited;
            self.queue.iter().filter(waiting)
        };
        let is_alone = waiting().count() == 1;
        let last = waiting().next_back().filter(|last| {
            let own_is_lost = beginning && is_alone && !last.follows_hole;
            last.requested && !own_is_lost
        });
        let kept = last.map(|last| last.number);
        waiting()
            .map(|exchange| exchange.number)
            .filter(|number| Some(*number) != kept)
            .collect()
    }

    pub(super) fn get(&mut self, number: ExchangeNumber) -> Option<&mut Exchange> {
        self.queue.iter_mut().find(|exchange| exchange.number == number)
    }

    pub(super) fn remove(&mut self, number: ExchangeNumber) -> Option<Exchange> {
        let at = self.queue.iter().position(|exchange| exchange.number == number)?;
        self.queue.remove(at)
    }

    /// Takes out all of them.
    pub(super) fn take(&mut self) -> VecDeque<Exchange> {
        std::mem::take(&mut self.queue)
    }
}
