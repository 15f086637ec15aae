//! Prompt and answer in one shape, whatever body they came in. Built only when content is asked for, and bounded.

use serde_json::Value;

use super::json::Json;

/// Most bytes of JSON taken over from each of request and answer.
pub const MAX_SAID: usize = 1 << 20;

/// Largest JSON value that is looked into for media to leave out.
const MAX_BUILT: usize = 8 << 20;

/// A string from this length on that is base64 throughout is a medium and no words.
const MEDIUM_FROM: usize = 1024;

/// What a message or a part costs beside its text.
const ENVELOPE: usize = 32;

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
    /// What the request may still fill.
    pub asked: Budget,
    /// What the answer may still fill.
    pub answered: Budget,
}

/// How much may still be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    left: usize,
    cut: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: MAX_SAID,
            cut: false,
        }
    }
}

impl Budget {
    /// Whether something did not fit.
    pub fn cut(self) -> bool {
        self.cut
    }

    /// How much was taken over.
    pub fn spent(self) -> usize {
        MAX_SAID.saturating_sub(self.left)
    }

    /// Something that cannot be taken over in part. `false` if it does not fit.
    pub fn take(&mut self, length: usize) -> bool {
        let fits = length <= self.left;
        self.cut |= !fits;
        if fits {
            self.left -= length;
        }
        fits
    }

    /// Room for one more message or part.
    pub fn envelope(&mut self) -> bool {
        self.take(ENVELOPE)
    }

    /// As much of a text as fits; nothing for what is no text.
    pub fn text(&mut self, value: Option<Json<'_>>) -> String {
        self.cut_to_fit(&value.and_then(Json::string).unwrap_or_default())
    }

    /// As much of a text as fits.
    pub fn cut_to_fit(&mut self, text: &str) -> String {
        let end = (0..=self.left.min(text.len()))
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        self.cut |= end < text.len();
        self.left -= end;
        text.get(..end).unwrap_or_default().to_owned()
    }

    /// The text if all of it fits, else nothing: half an address is none.
    pub fn whole(&mut self, value: Json<'_>) -> String {
        if self.take(value.source().len()) {
            value.string().unwrap_or_default().into_owned()
        } else {
            String::new()
        }
    }

    /// The value without its media if all of it fits, else null.
    pub fn value(&mut self, value: Option<Json<'_>>) -> Value {
        let Some(value) = value else {
            return Value::Null;
        };
        let length = value.source().len();
        if length > MAX_BUILT {
            self.cut = true;
            return Value::Null;
        }
        let Some(mut built) = value.build() else {
            return Value::Null;
        };
        let left_out = leave_media_out(&mut built);
        if self.take(length.saturating_sub(left_out)) {
            built
        } else {
            Value::Null
        }
    }
}

impl Content {
    /// Bytes taken over.
    pub fn size(&self) -> usize {
        let taken = |budget: Budget| MAX_SAID.saturating_sub(budget.left);
        taken(self.asked).saturating_add(taken(self.answered))
    }

    /// Whether something did not fit.
    pub fn cut(&self) -> bool {
        self.asked.cut || self.answered.cut
    }
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
    /// Bytes of an image, a document, a film: how many there were, not what they are.
    Blob {
        /// Kind of medium.
        modality: &'static str,
        /// MIME type.
        mime_type: Option<String>,
        /// Bytes, base64 undone.
        size: u64,
    },
    /// A file that was handed over before.
    File {
        /// Kind of medium.
        modality: &'static str,
        /// MIME type.
        mime_type: Option<String>,
        /// Its id.
        file_id: String,
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
    pub fn text(role: &str, text: String) -> Self {
        Self {
            role: role.to_owned(),
            parts: vec![Part::Text(text)],
        }
    }

    /// The same message with what the model thought aloud told apart from what it said.
    #[must_use]
    pub fn with_thoughts_told(self) -> Self {
        let parts = self.parts.into_iter().flat_map(|part| match part {
            Part::Text(text) => tell_thoughts(text),
            other => vec![other],
        });
        Self {
            parts: parts.collect(),
            role: self.role,
        }
    }
}

/// Thoughts in a text: `<think>…</think>` of `DeepSeek`, whose prompt may have opened the bracket already, and
/// `<reasoning>…</reasoning>` of gpt-oss and Kimi.
pub fn tell_thoughts(text: String) -> Vec<Part> {
    for (open, close) in [("<think>", "</think>"), ("<reasoning>", "</reasoning>")] {
        let Some((thoughts, said)) = text.split_once(close) else {
            continue;
        };
        let (before, thoughts) = thoughts.split_once(open).unwrap_or(("", thoughts));
        if !before.trim().is_empty() {
            continue;
        }
        let mut parts = vec![Part::Reasoning(thoughts.trim().to_owned())];
        let said = said.trim_start();
        if !said.is_empty() {
            parts.push(Part::Text(said.to_owned()));
        }
        return parts;
    }
    vec![Part::Text(text)]
}

/// Arguments of a tool: `OpenAI`'s shape has them as a text of JSON. None at all are an empty object, and what does not parse
/// stays text.
pub fn parse_arguments(value: Value) -> Value {
    match value {
        Value::String(text) if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    }
}

impl Part {
    /// An image, a document, a film by its address. `data:` addresses hold the bytes themselves (RFC 2397).
    pub fn at_address(
        modality: &'static str,
        mime_type: Option<String>,
        address: Json<'_>,
        budget: &mut Budget,
    ) -> Self {
        let said = address.source().trim_matches('"');
        if let Some((description, data)) = said.strip_prefix("data:").and_then(|rest| rest.split_once(',')) {
            let told = description.split(';').next().filter(|told| !told.is_empty());
            return Self::Blob {
                modality,
                mime_type: told
                    .filter(|told| told.len() <= MAX_MIME_TYPE)
                    .map(str::to_owned)
                    .or(mime_type),
                size: decoded_length(data),
            };
        }
        Self::Uri {
            modality,
            mime_type,
            uri: budget.whole(address),
        }
    }
}

/// Longest MIME type that is taken over (RFC 6838 §4.2: 127 characters on each side of the stroke).
const MAX_MIME_TYPE: usize = 255;

/// How many bytes a base64 text stands for; as source text of JSON it may have its quotes.
pub fn decoded_length(base64: &str) -> u64 {
    let digits = base64.trim_matches('"').trim_end_matches('=').len() as u64;
    digits / 4 * 3 + (digits % 4 * 3) / 4
}

/// Puts the number of their bytes where media are, and says how much that saved.
fn leave_media_out(value: &mut Value) -> usize {
    match value {
        Value::String(text) if text.len() >= MEDIUM_FROM && is_base64(text) => {
            let length = text.len();
            *text = format!("[{} bytes]", decoded_length(text));
            length - text.len()
        }
        Value::Array(items) => items.iter_mut().map(leave_media_out).sum(),
        Value::Object(members) => members.values_mut().map(leave_media_out).sum(),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn is_base64(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_said_to_be() {
        let mut budget = Budget::default();
        let long = format!("\"{}\"", "é".repeat(MAX_SAID / 2 - 1));
        assert_eq!(budget.text(Some(Json::new(&long))).len(), MAX_SAID - 2);
        assert!(!budget.cut());
        assert_eq!(budget.text(Some(Json::new("\"éé\""))), "é");
        assert!(budget.cut());
        assert_eq!(budget.whole(Json::new("\"AAAA\"")), "");
        assert_eq!(budget.value(Some(Json::new("{}"))), Value::Null);
        assert!(!budget.envelope());
    }

    #[test]
    fn media_are_told_by_their_size() {
        let image = "iVBORw0KGgo".repeat(200);
        let mut budget = Budget::default();
        let source = format!(r#"[{{"image": {{"format": "png", "source": {{"bytes": "{image}"}}}}}}]"#);
        assert_eq!(
            budget.value(Some(Json::new(&source))),
            serde_json::json!([{"image": {"format": "png", "source": {"bytes": "[1650 bytes]"}}}])
        );
        let address = format!("\"data:image/webp;base64,{image}\"");
        assert_eq!(
            Part::at_address("image", None, Json::new(&address), &mut budget),
            Part::Blob {
                modality: "image",
                mime_type: Some("image/webp".into()),
                size: 1650
            }
        );
        assert!(!budget.cut());
        let lengths = ["", "QQ==", "QUI=", "QUJD", "\"QUJDRA==\""].map(decoded_length);
        assert_eq!(lengths, [0, 1, 2, 3, 4]);
    }
}
