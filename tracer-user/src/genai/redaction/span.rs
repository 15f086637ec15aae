//! Messages of failures on a finished span, and the names of the rules that took something out of it.

use std::borrow::Cow;

use super::{Hits, Redaction};
use crate::genai::semconv;
use crate::genai::span::{Attribute, Span, SpanStatus, Value};

impl Redaction {
    /// Takes the patterns out of what failures say. `hits`: rules that took something out of the content.
    pub(in crate::genai) fn span(&self, span: &mut Span, mut hits: Hits) {
        if let SpanStatus::Error { description } = &mut span.status {
            self.text(description, &mut hits);
        }
        let of_events = span.events.iter_mut().flat_map(|event| &mut event.attributes);
        for attribute in span.attributes.iter_mut().chain(of_events) {
            if let Attribute {
                key: semconv::EXCEPTION_MESSAGE | semconv::JOB_FAILURE,
                value: Value::String(message),
            } = attribute
            {
                let mut text = std::mem::take(message).into_owned();
                self.text(&mut text, &mut hits);
                *message = Cow::Owned(text);
            }
        }
        if !hits.is_empty() {
            span.attributes.push(Attribute {
                key: semconv::REDACTED,
                value: Value::Strings(hits.into_iter().collect()),
            });
        }
    }
}
