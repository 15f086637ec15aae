//! Content in the convention's shape.

use serde_json::json;

use super::Documents;
use crate::bedrock::content::{Content, Message, Part, ToolDefinition};
use crate::genai::Options;

#[test]
fn messages_have_the_conventions_shape() {
    let content = Content {
        system: vec!["Be brief.".into()],
        input: vec![
            Message::text("user", "Hi".into()),
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
                Part::Other {
                    kind: "searchResult".into(),
                },
            ],
        }],
        tools: vec![ToolDefinition {
            name: "weather".into(),
            description: Some("Tells it.".into()),
            parameters: Some(json!({"type": "object"})),
        }],
        ..Content::default()
    };
    let documents = Documents::of(&content, &["tool_call".into()], &Options::default());
    assert_eq!(
        documents.input.expect("there is some"),
        json!([
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": [{"text": "sunny"}]}]},
        ])
    );
    assert_eq!(
        documents.output.expect("there is some"),
        json!([{"role": "assistant", "finish_reason": "tool_call", "parts": [
            {"type": "reasoning", "content": "hm"},
            {"type": "tool_call", "id": null, "name": "weather", "arguments": {"city": "Oslo"}},
            {"type": "searchResult"},
        ]}])
    );
    assert_eq!(
        documents.system.expect("there is some"),
        json!([{"type": "text", "content": "Be brief."}])
    );
    assert_eq!(
        documents.tools.expect("there is some"),
        json!([{"type": "function", "name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}])
    );
}
