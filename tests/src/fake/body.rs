//! A response as a list of steps, and the HTTP body that walks through it while it keeps the record of what was served.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame};
use tokio::sync::{Notify, mpsc};

use super::meeting::Meeting;
use super::served::{Parameters, Served, ServedLog, Usage};

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step {
    /// Write bytes; once they are handed over, the facts are true.
    Write { bytes: Bytes, facts: Vec<Fact> },
    /// A fact that no bytes of the response make true.
    Note(Fact),
    /// Let time pass.
    Wait(Duration),
    /// Let time pass until so many responses have come to this step.
    Meet(u32),
    /// Say that the connection takes no further requests: GOAWAY over HTTP/2.
    Leave,
    /// End with trailers (HTTP/2 alone sends them).
    Trailers(HeaderMap),
    /// End the response incomplete: `RST_STREAM` over HTTP/2, the end of the connection over HTTP/1.
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
    /// What the request asks for, where its body comes while it is answered.
    Asked(Parameters),
    /// Bytes of such a request body.
    Request(usize),
    Error {
        kind: String,
        message: String,
    },
}

/// What the responses of a connection share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) meeting: Meeting,
    /// Told when the connection is to take no further requests.
    pub(super) leave: Arc<Notify>,
    pub(super) log: ServedLog,
}

/// The body. What was served goes to the log when the body ends or is given up.
pub(super) struct ScriptBody {
    steps: VecDeque<Step>,
    /// Steps that are still being thought of, of a response to a request that goes on.
    more: Option<mpsc::UnboundedReceiver<Step>>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Before a cut the connection gets one turn to write out what it holds.
    cut_announced: bool,
    shared: Shared,
    record: Record,
}

#[derive(Debug)]
struct Record {
    served: Option<Served>,
    log: ServedLog,
}

impl ScriptBody {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>, served: Served, shared: &Shared) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            more: None,
            pause: None,
            cut_announced: false,
            shared: shared.clone(),
            record: Record {
                served: Some(served),
                log: shared.log.clone(),
            },
        }
    }

    /// A body whose steps come while it is sent; it ends when nobody can send one any more.
    pub(super) fn open_ended(more: mpsc::UnboundedReceiver<Step>, served: Served, shared: &Shared) -> Self {
        Self {
            more: Some(more),
            ..Self::new([], served, shared)
        }
    }

    /// Whether no step will follow those that are here.
    fn is_complete(&self) -> bool {
        self.steps.is_empty() && self.more.is_none()
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
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            if self.steps.is_empty()
                && let Some(more) = &mut self.more
            {
                match ready!(more.poll_recv(context)) {
                    Some(step) => self.steps.push_back(step),
                    None => self.more = None,
                }
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
                Some(Step::Note(fact)) => self.record.note(vec![fact]),
                Some(Step::Wait(time)) => self.pause = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Meet(count)) => self.pause = Some(Box::pin(self.shared.meeting.join(count))),
                Some(Step::Leave) => self.shared.leave.notify_one(),
                Some(Step::Cut) => {
                    self.record.finish(false);
                    return Poll::Ready(Some(Err(std::io::Error::other(
                        "the scenario ends the response here",
                    ))));
                }
                Some(Step::Trailers(fields)) => {
                    self.record.finish(true);
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Some(Step::Write { bytes, facts }) => {
                    self.record.note(facts);
                    if self.is_complete() {
                        self.record.finish(true);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_complete() && self.pause.is_none()
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
                Fact::Asked(parameters) => served.parameters = parameters,
                Fact::Request(bytes) => served.request_bytes += bytes,
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
