//! Prompt and answer in one shape, whatever body they came in. Built only when content is asked for.

use serde_json::Value;

/// Everything that was said in one call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// System instructions.
    pub system: Vec<String>,
    /// The conversation sent.
    pub input: Vec<Message>,
    /// The answer, one message a choice.
    pub output: Vec<Message>,
    /// Tools the model may ask for.
    pub tools: Vec<ToolDefinition>,
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `user`, `assistant`, `tool`, …
    pub role: String,
    /// What was said.
    pub parts: Vec<Part>,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// What the model thought aloud.
    Reasoning(String),
    /// The model asks for a tool.
    ToolCall {
        /// Id that the result is to carry.
        id: Option<String>,
        /// Name of the tool.
        name: String,
        /// Arguments: JSON where they parse, else the text.
        arguments: Value,
    },
    /// What a tool said.
    ToolResult {
        /// Id of the call it answers.
        id: Option<String>,
        /// What it said.
        response: Value,
    },
    /// Bytes of an image, a document, a film.
    Blob {
        /// Kind of medium.
        modality: &'static str,
        /// MIME type.
        mime_type: Option<String>,
        /// Base64.
        content: String,
    },
    /// The place of an image, a document, a film.
    Uri {
        /// Kind of medium.
        modality: &'static str,
        /// MIME type.
        mime_type: Option<String>,
        /// Where.
        uri: String,
    },
    /// Something else, by the name of its kind.
    Other {
        /// Kind as the wire names it.
        kind: String,
    },
}

/// A tool the model may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// Name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    pub parameters: Option<Value>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: &str, text: impl Into<String>) -> Self {
        Self {
            role: role.to_owned(),
            parts: vec![Part::Text(text.into())],
        }
    }
}

/// MIME type of a format as Bedrock's content blocks name them (`png`, `pdf`, `mp4`, …).
pub fn mime_type(modality: &str, format: &str) -> String {
    match (modality, format) {
        ("image" | "video" | "audio", format) => {
            let subtype = match format {
                "jpg" => "jpeg",
                "mp3" => "mpeg",
                "mov" => "quicktime",
                "mkv" => "x-matroska",
                "flv" => "x-flv",
                "wmv" => "x-ms-wmv",
                "three_gp" => "3gpp",
                other => other,
            };
            format!("{modality}/{subtype}")
        }
        (_, "pdf") => "application/pdf".into(),
        (_, "txt") => "text/plain".into(),
        (_, "md") => "text/markdown".into(),
        (_, "csv") => "text/csv".into(),
        (_, "html") => "text/html".into(),
        (_, "doc") => "application/msword".into(),
        (_, "docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document".into(),
        (_, "xls") => "application/vnd.ms-excel".into(),
        (_, "xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet".into(),
        (_, other) => format!("application/{other}"),
    }
}
