//! Patterns in texts: in messages of failures, and in everything that was said.

use std::borrow::Cow;

use serde_json::Value;

use super::{Hits, Pattern, Redaction, mark};
use crate::bedrock::content::{Content, Message, Part, ToolDefinition};

/// Where a text was cut, half of something secret may stand, which no pattern matches: this much before the cut goes too.
const CUT_MARGIN: usize = 256;

/// Group of a pattern that alone is taken out, if the pattern has one.
pub(super) const GROUP: &str = "redact";

impl Redaction {
    /// Takes the patterns out of a text.
    pub(crate) fn text(&self, text: &mut String, hits: &mut Hits) {
        for pattern in &self.patterns {
            if let Cow::Owned(redacted) = pattern.replace(text) {
                *text = redacted;
                hits.insert(pattern.name.clone());
            }
        }
    }

    /// Takes the patterns out of every text of a JSON value, names of members among them.
    pub(crate) fn value(&self, value: &mut Value, hits: &mut Hits) {
        match value {
            Value::String(text) => self.text(text, hits),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, hits)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| self.value(member, hits));
                if members.keys().any(|name| self.matches(name)) {
                    *members = std::mem::take(members)
                        .into_iter()
                        .map(|(mut name, member)| {
                            self.text(&mut name, hits);
                            (name, member)
                        })
                        .collect();
                }
            }
            // A card number may well be sent as a number.
            Value::Number(number) => {
                let mut text = number.to_string();
                if self.matches(&text) {
                    self.text(&mut text, hits);
                    *value = Value::String(text);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Takes the patterns out of all that was said.
    pub(crate) fn content(&self, content: &mut Content, hits: &mut Hits) {
        let Content {
            system,
            input,
            output,
            tools,
            asked,
            answered,
        } = content;
        if asked.cut() {
            system.last_mut().into_iter().for_each(trim);
            last_text(input).into_iter().for_each(trim);
        }
        if answered.cut() {
            last_text(output).into_iter().for_each(trim);
        }
        for text in system {
            self.text(text, hits);
        }
        for message in input.iter_mut().chain(output) {
            let Message { role: _, parts } = message;
            for part in parts {
                self.part(part, hits);
            }
        }
        for ToolDefinition {
            name: _,
            description,
            parameters,
        } in tools
        {
            if let Some(description) = description {
                self.text(description, hits);
            }
            if let Some(parameters) = parameters {
                self.value(parameters, hits);
            }
        }
    }

    fn part(&self, part: &mut Part, hits: &mut Hits) {
        match part {
            Part::Text(text)
            | Part::Reasoning(text)
            | Part::Uri {
                modality: _,
                mime_type: _,
                uri: text,
            }
            | Part::File {
                modality: _,
                mime_type: _,
                file_id: text,
            } => self.text(text, hits),
            Part::ToolCall {
                id: _,
                name: _,
                arguments: value,
            }
            | Part::ToolResult {
                id: _,
                response: value,
            } => self.value(value, hits),
            Part::Blob {
                modality: _,
                mime_type: _,
                size: _,
            }
            | Part::Other { kind: _ } => {}
        }
    }

    fn matches(&self, text: &str) -> bool {
        self.patterns
            .iter()
            .any(|pattern| matches!(pattern.replace(text), Cow::Owned(_)))
    }
}

impl Pattern {
    /// The text without the pattern; borrowed if it was not there.
    fn replace<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut redacted = String::new();
        let mut from = 0;
        for captures in self.expression.captures_iter(text) {
            let Some(found) = captures.name(GROUP).or_else(|| captures.get(0)) else {
                continue;
            };
            if found.is_empty() || self.check.is_some_and(|holds| !holds(found.as_str())) {
                continue;
            }
            redacted.push_str(text.get(from..found.start()).unwrap_or_default());
            redacted.push_str(&mark(&self.name));
            from = found.end();
        }
        if redacted.is_empty() {
            return Cow::Borrowed(text);
        }
        redacted.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(redacted)
    }
}

/// The text that was taken over last.
fn last_text(messages: &mut [Message]) -> Option<&mut String> {
    let Message { role: _, parts } = messages.last_mut()?;
    parts.iter_mut().rev().find_map(|part| match part {
        Part::Text(text) | Part::Reasoning(text) => Some(text),
        Part::ToolCall { .. }
        | Part::ToolResult { .. }
        | Part::Blob { .. }
        | Part::File { .. }
        | Part::Uri { .. }
        | Part::Other { .. } => None,
    })
}

fn trim(text: &mut String) {
    let end = text.floor_char_boundary(text.len().saturating_sub(CUT_MARGIN));
    text.truncate(end);
}
