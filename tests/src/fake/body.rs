//! A response as a list of steps, and the HTTP body that walks through it while it keeps the record of what was served.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::Sleep;

use super::served::{Served, ServedLog, Usage};

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Write bytes; once they are handed over, the facts are true.
    Write { bytes: Bytes, facts: Vec<Fact> },
    /// Let time pass.
    Wait(Duration),
    /// Close the connection, the response being incomplete.
    Cut,
}

/// What becomes true when bytes have been written.
#[derive(Debug)]
pub(super) enum Fact {
    Frame,
    Content(String),
    ToolCall {
        name: String,
        id: String,
    },
    Identity {
        id: String,
        model: String,
    },
    Stop(String),
    Usage(Usage),
    /// What a beginning tells: the prompt's tokens alone count.
    InputUsage(Usage),
    Latency(u64),
    Error {
        kind: String,
        message: String,
    },
}

/// The body. What was served goes to the log when the body ends or is given up.
#[derive(Debug)]
pub(super) struct ScriptBody {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Before a cut the connection gets one turn to write out what it holds.
    cut_announced: bool,
    record: Record,
}

#[derive(Debug)]
struct Record {
    served: Option<Served>,
    log: ServedLog,
}

impl ScriptBody {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>, served: Served, log: ServedLog) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            sleep: None,
            cut_announced: false,
            record: Record {
                served: Some(served),
                log,
            },
        }
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(context));
                self.sleep = None;
            }
            match self.steps.front() {
                Some(Step::Cut) if !self.cut_announced => {
                    self.cut_announced = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                _ => {}
            }
            match self.steps.pop_front() {
                None => {
                    self.record.finish(true);
                    return Poll::Ready(None);
                }
                Some(Step::Wait(time)) => {
                    self.sleep = Some(Box::pin(tokio::time::sleep(time)));
                }
                Some(Step::Cut) => {
                    self.record.finish(false);
                    return Poll::Ready(Some(Err(std::io::Error::other(
                        "the scenario ends the connection here",
                    ))));
                }
                Some(Step::Write { bytes, facts }) => {
                    self.record.note(facts);
                    if self.steps.is_empty() {
                        self.record.finish(true);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.sleep.is_none()
    }
}

impl Record {
    fn note(&mut self, facts: Vec<Fact>) {
        let Some(served) = &mut self.served else {
            return;
        };
        for fact in facts {
            match fact {
                Fact::Frame => served.frames += 1,
                Fact::Content(text) => {
                    served.first_content_unix_ns.get_or_insert_with(unix_ns);
                    served.text.push_str(&text);
                }
                Fact::ToolCall { name, id } => served.tool_call = Some((name, id)),
                Fact::Identity { id, model } => {
                    served.response_id = Some(id);
                    served.response_model = Some(model);
                }
                Fact::Stop(reason) => served.stop_reason = Some(reason),
                Fact::Usage(usage) => served.usage = Some(usage),
                Fact::InputUsage(usage) => {
                    served.usage = Some(Usage {
                        output: None,
                        ..usage
                    });
                }
                Fact::Latency(milliseconds) => served.latency_ms = Some(milliseconds),
                Fact::Error { kind, message } => {
                    served.error = Some(kind);
                    served.error_message = Some(message);
                }
            }
        }
    }

    fn finish(&mut self, complete: bool) {
        if let Some(mut served) = self.served.take() {
            served.complete = complete;
            served.ended_unix_ns = unix_ns();
            self.log.push(served);
        }
    }
}

impl Drop for Record {
    /// The client went away before the end.
    fn drop(&mut self) {
        self.finish(false);
    }
}
