//! Prompts and answers as the message JSON of OpenTelemetry's `gen_ai` conventions: redacted, then cut to size.

mod limit;
mod messages;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::options::Options;
use super::redaction::Hits;
use crate::bedrock::content::Content;

pub use limit::{ContentLimit, ContentLimitError};

/// What was said, a JSON document for each attribute; what there is nothing of is left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents {
    /// The conversation sent.
    pub(super) input: Option<Value>,
    /// The answer.
    pub(super) output: Option<Value>,
    /// System instructions.
    pub(super) system: Option<Value>,
    /// Tools offered.
    pub(super) tools: Option<Value>,
    /// Some of it did not fit.
    pub(super) cut: bool,
    /// Rules that took something out.
    pub(super) redacted: Hits,
}

impl Documents {
    /// All that was said. `finish_reasons` go with the messages of the answer, one each, where the convention has them there.
    pub(super) fn of(said: &Content, finish_reasons: &[String], options: &Options) -> Self {
        let mut said = said.clone();
        let mut redacted = Hits::new();
        if options.redaction.has_patterns() {
            options.redaction.content(&mut said, &mut redacted);
        }
        let finish_reasons = if options.convention.old_names() {
            finish_reasons
        } else {
            &[]
        };
        let mut documents = messages::documents(said, finish_reasons);
        documents.redacted = redacted;
        if options.redaction.has_paths() {
            documents = documents.without_paths(options);
        }
        let Self {
            input,
            output,
            system,
            tools,
            cut,
            redacted: _,
        } = &mut documents;
        let limit = options.content_limit;
        // Of a long conversation the end is what is new.
        *cut |= limit.keep_last(input);
        for document in [output, system, tools] {
            *cut |= limit.keep_first(document);
        }
        documents
    }

    /// Each document at the place that the name of its attribute spells, so that a path can be written down from the name.
    fn without_paths(self, options: &Options) -> Self {
        let Self {
            input,
            output,
            system,
            tools,
            cut,
            mut redacted,
        } = self;
        let mut all = json!({"gen_ai": {
            "input": {"messages": input},
            "output": {"messages": output},
            "system_instructions": system,
            "tool": {"definitions": tools},
        }});
        options.redaction.document(&mut all, &mut redacted);
        let mut take = |place: &str| {
            all.pointer_mut(place)
                .map(Value::take)
                .filter(|value| !value.is_null())
        };
        Self {
            input: take("/gen_ai/input/messages"),
            output: take("/gen_ai/output/messages"),
            system: take("/gen_ai/system_instructions"),
            tools: take("/gen_ai/tool/definitions"),
            cut,
            redacted,
        }
    }
}
