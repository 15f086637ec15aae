//! Words a request of Converse in the SDK's types; the harness words it as JSON.

use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, InferenceConfiguration, Message, SystemContentBlock, Tool,
    ToolConfiguration, ToolInputSchema, ToolSpecification,
};
use aws_smithy_types::{Document, Number};
use serde_json::Value;

/// A request in parts.
#[derive(Debug)]
pub struct Conversation {
    /// System prompts.
    pub system: Vec<SystemContentBlock>,
    /// Messages.
    pub messages: Vec<Message>,
    /// Parameters.
    pub inference: InferenceConfiguration,
    /// Tools on offer.
    pub tools: Option<ToolConfiguration>,
}

impl Conversation {
    /// Reads the JSON body of a request.
    pub fn of(body: &Value) -> Self {
        let inference = &body["inferenceConfig"];
        let number = |name: &str| inference[name].as_f64().map(|number| number as f32);
        Self {
            system: list(&body["system"])
                .map(|block| SystemContentBlock::Text(text(&block["text"])))
                .collect(),
            messages: list(&body["messages"]).map(message).collect(),
            inference: InferenceConfiguration::builder()
                .set_max_tokens(
                    inference["maxTokens"]
                        .as_i64()
                        .and_then(|tokens| tokens.try_into().ok()),
                )
                .set_temperature(number("temperature"))
                .set_top_p(number("topP"))
                .set_stop_sequences(Some(list(&inference["stopSequences"]).map(text).collect()))
                .build(),
            tools: body.get("toolConfig").map(|config| {
                ToolConfiguration::builder()
                    .set_tools(Some(list(&config["tools"]).map(tool).collect()))
                    .build()
                    .expect("tools")
            }),
        }
    }
}

fn message(message: &Value) -> Message {
    Message::builder()
        .role(ConversationRole::from(
            message["role"].as_str().unwrap_or_default(),
        ))
        .set_content(Some(
            list(&message["content"])
                .map(|block| ContentBlock::Text(text(&block["text"])))
                .collect(),
        ))
        .build()
        .expect("a message")
}

fn tool(tool: &Value) -> Tool {
    let specification = &tool["toolSpec"];
    Tool::ToolSpec(
        ToolSpecification::builder()
            .name(text(&specification["name"]))
            .description(text(&specification["description"]))
            .input_schema(ToolInputSchema::Json(document(
                &specification["inputSchema"]["json"],
            )))
            .build()
            .expect("a tool"),
    )
}

fn document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(*value),
        Value::Number(number) => Document::Number(Number::Float(number.as_f64().unwrap_or_default())),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(values) => Document::Array(values.iter().map(document).collect()),
        Value::Object(fields) => Document::Object(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), document(value)))
                .collect(),
        ),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
