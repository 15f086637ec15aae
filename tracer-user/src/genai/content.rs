//! Prompts and answers as the message JSON of OpenTelemetry's `gen_ai` conventions, each attribute bounded.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::bedrock::content::{Content, Message, Part};

/// Most text in one attribute, before JSON's own marks.
pub(super) const MAX_ATTRIBUTE: usize = 1 << 20;

/// The content attributes of a span; empty ones are left out.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    pub(super) system: Option<String>,
    pub(super) tools: Option<String>,
    /// Some of it did not fit.
    pub(super) cut: bool,
}

/// Renders all content. `finish_reasons` go with the messages of the answer, one each.
pub(super) fn render(content: &Content, finish_reasons: &[String]) -> Rendered {
    let Content {
        system,
        input,
        output,
        tools,
    } = content;
    let budgets: [Budget; 4] = Default::default();
    let [for_input, for_output, for_system, for_tools] = &budgets;
    let input = array(input.iter().map(|one| message(one, for_input)));
    let output = array(output.iter().enumerate().map(|(index, one)| {
        let mut value = message(one, for_output);
        let reason = finish_reasons.get(index).or_else(|| finish_reasons.last());
        if let (Some(reason), Some(object)) = (reason, value.as_object_mut()) {
            object.insert("finish_reason".into(), Value::String(reason.clone()));
        }
        value
    }));
    let system = array(
        system
            .iter()
            .map(|text| json!({"type": "text", "content": for_system.text(text)})),
    );
    let tools = array(tools.iter().map(|tool| {
        let mut definition = json!({"type": "function", "name": tool.name});
        if let Some(object) = definition.as_object_mut() {
            if let Some(description) = &tool.description {
                object.insert("description".into(), for_tools.text(description).into());
            }
            if let Some(parameters) = &tool.parameters {
                object.insert("parameters".into(), for_tools.value(parameters));
            }
        }
        definition
    }));
    Rendered {
        input,
        output,
        system,
        tools,
        cut: budgets.iter().any(|budget| budget.cut.get()),
    }
}

fn array(items: impl Iterator<Item = Value>) -> Option<String> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then(|| Value::Array(items).to_string())
}

fn message(message: &Message, budget: &Budget) -> Value {
    let results_only = !message.parts.is_empty()
        && message
            .parts
            .iter()
            .all(|part| matches!(part, Part::ToolResult { .. }));
    let role = if results_only { "tool" } else { &message.role };
    let parts: Vec<Value> = message.parts.iter().map(|one| part(one, budget)).collect();
    json!({"role": role, "parts": parts})
}

fn part(part: &Part, budget: &Budget) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "content": budget.text(text)}),
        Part::Reasoning(text) => json!({"type": "reasoning", "content": budget.text(text)}),
        Part::ToolCall { id, name, arguments } => {
            json!({"type": "tool_call", "id": id, "name": name, "arguments": budget.value(arguments)})
        }
        Part::ToolResult { id, response } => {
            json!({"type": "tool_call_response", "id": id, "response": budget.value(response)})
        }
        Part::Blob {
            modality,
            mime_type,
            content,
        } => {
            json!({"type": "blob", "modality": modality, "mime_type": mime_type, "content": budget.whole(content)})
        }
        Part::Uri {
            modality,
            mime_type,
            uri,
        } => json!({"type": "uri", "modality": modality, "mime_type": mime_type, "uri": budget.whole(uri)}),
        Part::Other { kind } => json!({"type": budget.whole(kind)}),
    }
}

/// How much text an attribute may still take.
struct Budget {
    left: Cell<usize>,
    cut: Cell<bool>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: Cell::new(MAX_ATTRIBUTE),
            cut: Cell::new(false),
        }
    }
}

impl Budget {
    /// As much of a text as fits.
    fn text<'a>(&self, text: &'a str) -> &'a str {
        let end = (0..=self.left.get().min(text.len()))
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        self.take(end, end < text.len());
        text.get(..end).unwrap_or_default()
    }

    /// The text if all of it fits, else nothing: half an image is none.
    fn whole<'a>(&self, text: &'a str) -> &'a str {
        let fits = text.len() <= self.left.get();
        self.take(if fits { text.len() } else { 0 }, !fits);
        if fits { text } else { "" }
    }

    /// The value if all of it fits, else null.
    fn value(&self, value: &Value) -> Value {
        let length = value.to_string().len();
        let fits = length <= self.left.get();
        self.take(if fits { length } else { 0 }, !fits);
        if fits { value.clone() } else { Value::Null }
    }

    fn take(&self, length: usize, cut: bool) {
        self.left.set(self.left.get().saturating_sub(length));
        self.cut.set(self.cut.get() || cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::content::ToolDefinition;

    #[test]
    fn messages_have_the_conventions_shape() {
        let content = Content {
            system: vec!["Be brief.".into()],
            input: vec![
                Message::text("user", "Hi"),
                Message {
                    role: "user".into(),
                    parts: vec![Part::ToolResult {
                        id: Some("t1".into()),
                        response: json!([{"text": "sunny"}]),
                    }],
                },
            ],
            output: vec![Message {
                role: "assistant".into(),
                parts: vec![
                    Part::Reasoning("hm".into()),
                    Part::ToolCall {
                        id: None,
                        name: "weather".into(),
                        arguments: json!({"city": "Oslo"}),
                    },
                ],
            }],
            tools: vec![ToolDefinition {
                name: "weather".into(),
                description: Some("Tells it.".into()),
                parameters: Some(json!({"type": "object"})),
            }],
        };
        let rendered = render(&content, &["tool_call".into()]);
        assert!(!rendered.cut);
        let read = |text: Option<String>| {
            serde_json::from_str::<Value>(&text.expect("there is some")).expect("JSON")
        };
        assert_eq!(
            read(rendered.input),
            json!([
                {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": [{"text": "sunny"}]}]},
            ])
        );
        assert_eq!(
            read(rendered.output),
            json!([{"role": "assistant", "finish_reason": "tool_call", "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": null, "name": "weather", "arguments": {"city": "Oslo"}},
            ]}])
        );
        assert_eq!(
            read(rendered.system),
            json!([{"type": "text", "content": "Be brief."}])
        );
        assert_eq!(
            read(rendered.tools),
            json!([{"type": "function", "name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}])
        );
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said_to_be() {
        let content = Content {
            input: vec![
                Message::text("user", "é".repeat(MAX_ATTRIBUTE / 2 - 1)),
                Message::text("user", "éé"),
                Message {
                    role: "user".into(),
                    parts: vec![Part::Blob {
                        modality: "image",
                        mime_type: None,
                        content: "AAAA".into(),
                    }],
                },
            ],
            ..Content::default()
        };
        let rendered = render(&content, &[]);
        assert!(rendered.cut);
        let input: Value = serde_json::from_str(&rendered.input.expect("input")).expect("JSON");
        assert_eq!(input[1]["parts"][0]["content"], "é");
        assert_eq!(input[2]["parts"][0]["content"], "");
    }
}
