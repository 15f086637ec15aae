//! Return of control: an agent hands the running of tools over to its caller, who comes back with the results in another call.

use std::collections::{BTreeMap, VecDeque};

use crate::bedrock::Call;

use super::attributes::List;
use super::semconv;
use super::span::{Link, Span, SpanId, TraceId};

/// Most invocations remembered. The oldest is forgotten first: the call that answers it then has no link.
const MAX_REMEMBERED: usize = 4096;

/// Invocations that were handed over and not brought back yet.
#[derive(Debug, Default)]
pub(super) struct Control {
    handed_over: BTreeMap<String, (TraceId, SpanId)>,
    /// The oldest first.
    order: VecDeque<String>,
}

impl Control {
    /// Learns what this call hands over, and links it to the one whose results it brings back.
    pub(super) fn link(&mut self, call: &Call, span: &Span) -> Option<Link> {
        let link = call.agent.brought_back.as_ref().and_then(|invocation| {
            let (trace_id, span_id) = *self.handed_over.get(invocation)?;
            let mut attributes = List::default();
            attributes.string(semconv::HANDED_OVER, Some(invocation));
            Some(Link {
                trace_id,
                span_id,
                attributes: attributes.into_attributes(),
            })
        });
        if let Some(invocation) = &call.agent.handed_over {
            let place = (span.trace_id, span.span_id);
            if self.handed_over.insert(invocation.clone(), place).is_none() {
                self.order.push_back(invocation.clone());
            }
            if self.order.len() > MAX_REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.handed_over.remove(&oldest);
            }
        }
        link
    }
}
