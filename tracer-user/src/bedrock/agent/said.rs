//! What was said in the steps of an agent, where it was asked for: prompts and answers of models, arguments and results of tools,
//! questions and what was found. Bounded for the trace as a whole.

use serde_json::{Map, Value, json};

use super::super::body::{Body, Keep};
use super::super::content::{Budget, Content, Message, Part};
use super::super::family::{Facts, Family};
use super::super::json::Json;
use crate::http::BodyPart;

/// Most passages of a search that are kept.
const MAX_PASSAGES: usize = 100;

/// What is told of one side of a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Saying {
    pub(super) system: Vec<String>,
    pub(super) messages: Vec<Message>,
}

impl Saying {
    /// One message of one part.
    fn of(role: &str, part: Part) -> Self {
        Self {
            system: Vec::new(),
            messages: vec![Message {
                role: role.to_owned(),
                parts: vec![part],
            }],
        }
    }

    /// A text.
    pub(super) fn text(role: &str, text: Option<Json<'_>>, budget: &mut Budget) -> Self {
        Self::of(role, Part::Text(budget.text(text)))
    }

    /// The prompt of a model: JSON with `system` and `messages`, or bare text.
    pub(super) fn prompt(text: &str, budget: &mut Budget) -> Self {
        let prompt = Json::new(text);
        let Some(messages) = prompt.member("messages") else {
            return Self::of("user", Part::Text(budget.cut_to_fit(text)));
        };
        let mut saying = Self::default();
        if let Some(system) = prompt.member("system") {
            saying.system.push(budget.text(Some(system)));
        }
        let _broken = messages.items(|message| {
            if budget.envelope() {
                let role = message.member("role").and_then(Json::text);
                let text = budget.text(message.member("content"));
                saying
                    .messages
                    .push(Message::text(role.as_deref().unwrap_or("user"), text));
            }
        });
        saying
    }

    /// The answer of a model: its own JSON, or bare text.
    pub(super) fn answer(raw: &str, model: Option<&str>, budget: &mut Budget) -> Self {
        if Json::new(raw).is_object() && budget.take(raw.len()) {
            let family = model
                .and_then(Family::of_model)
                .or_else(|| Family::of_body(Json::new(raw)))
                .unwrap_or(Family::Other);
            let mut body = Body::new(Keep::Content);
            body.push(&BodyPart::Bytes(raw.as_bytes()), usize::MAX);
            let mut facts = Facts {
                content: Some(Content::default()),
                ..Facts::default()
            };
            let _foreign = family.response(&body, &mut facts);
            let messages = facts.content.map(|content| content.output).unwrap_or_default();
            return Self {
                system: Vec::new(),
                messages,
            };
        }
        Self::of("assistant", Part::Text(budget.cut_to_fit(raw)))
    }

    /// What a tool is called with: the members of a value, of which `parameters` are a list of names and values.
    pub(super) fn arguments(value: Json<'_>, names: &[&str], budget: &mut Budget) -> Self {
        let mut arguments = Map::new();
        let _broken = value.members(|name, value| match name {
            "parameters" => {
                let _broken = value.items(|parameter| {
                    if let Some(name) = parameter.member("name").and_then(Json::text)
                        && budget.envelope()
                    {
                        arguments.insert(name, budget.text(parameter.member("value")).into());
                    }
                });
            }
            name if names.contains(&name) && !value.is_null() => {
                arguments.insert(name.to_owned(), budget.value(Some(value)));
            }
            _ => {}
        });
        let call = Part::ToolCall {
            id: None,
            name: String::new(),
            arguments: Value::Object(arguments),
        };
        Self::of("assistant", call)
    }

    /// What a tool said: one of the members of a value.
    pub(super) fn result(value: Json<'_>, names: &[&str], budget: &mut Budget) -> Self {
        let told = names
            .iter()
            .filter_map(|name| value.member(name))
            .find(|value| !value.is_null());
        Self::response(budget.value(told))
    }

    /// What was found.
    pub(super) fn passages(references: Json<'_>, budget: &mut Budget) -> Self {
        let mut passages = Vec::new();
        let _broken = references.items(|reference| {
            if passages.len() < MAX_PASSAGES && budget.envelope() {
                let text = budget.text(reference.at(&["content", "text"]));
                let mut place = None;
                if let Some(location) = reference.member("location") {
                    let _broken = location.members(|_, place_of_kind| {
                        let told =
                            ["uri", "url", "id"].map(|name| place_of_kind.member(name).and_then(Json::text));
                        place = told.into_iter().flatten().next().or(place.take());
                    });
                }
                passages.push(json!({"id": place, "content": text}));
            }
        });
        Self::response(Value::Array(passages))
    }

    fn response(response: Value) -> Self {
        Self::of("tool", Part::ToolResult { id: None, response })
    }
}
