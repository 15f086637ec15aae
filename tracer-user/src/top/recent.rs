//! `Recent`: the last spans, as many as there is room for.

use std::collections::VecDeque;
use std::sync::Arc;

use super::seen::{Seen, SpanKey};
use crate::export;

/// Most spans kept.
pub const SPANS_MAX: usize = 4_096;

/// Most bytes kept of them, about.
pub const BYTES_MAX: usize = 32 << 20;

/// The last spans, in the order they ended.
#[derive(Debug, Default)]
pub struct Recent {
    spans: VecDeque<(Arc<Seen>, usize)>,
    bytes: usize,
    forgotten: u64,
}

impl Recent {
    pub(super) fn push(&mut self, seen: Arc<Seen>) {
        let bytes = export::weight(&seen.span);
        self.bytes += bytes;
        self.spans.push_back((seen, bytes));
        while self.spans.len() > SPANS_MAX || self.bytes > BYTES_MAX {
            let Some((_, bytes)) = self.spans.pop_front() else {
                return;
            };
            self.bytes -= bytes;
            self.forgotten += 1;
        }
    }

    /// The spans, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Seen>> {
        self.spans.iter().map(|(seen, _)| seen)
    }

    /// A span.
    pub fn get(&self, key: SpanKey) -> Option<&Arc<Seen>> {
        self.iter().rev().find(|seen| seen.key() == key)
    }

    /// The spans right beneath a span, by their start.
    pub fn children(&self, (trace_id, span_id): SpanKey) -> Vec<&Arc<Seen>> {
        let is_child = |seen: &&Arc<Seen>| {
            let parent = seen.span.parent.as_ref();
            seen.span.trace_id == trace_id && parent.is_some_and(|parent| parent.span_id == span_id)
        };
        let mut children: Vec<_> = self.iter().filter(is_child).collect();
        children.sort_by_key(|seen| seen.span.start_unix_ns);
        children
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many had to make room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
