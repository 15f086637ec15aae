//! Puts a streamed answer together again, block by block. Without content only the names of tools are kept.

use serde_json::Value;

use super::call::{MAX_TOOL_CALLS, ToolCall};
use super::content::{MAX_SAID, Part};

/// Most blocks of one answer.
const MAX_BLOCKS: usize = 1024;

/// Most text of one answer.
const MAX_TEXT: usize = MAX_SAID;

/// A streamed answer so far.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Whether text is kept.
    content: bool,
    blocks: Vec<Block>,
    held: usize,
    /// Something did not fit.
    beyond_cap: bool,
}

#[derive(Debug)]
struct Block {
    index: u64,
    kind: Kind,
    text: String,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Text,
    Reasoning,
    Tool {
        id: Option<String>,
        name: Option<String>,
    },
}

impl Assembly {
    /// An empty answer; `content`: keep what is said.
    pub fn new(content: bool) -> Self {
        Self {
            content,
            ..Self::default()
        }
    }

    /// Whether something did not fit.
    pub fn beyond_cap(&self) -> bool {
        self.beyond_cap
    }

    /// Bytes of text kept.
    pub fn held(&self) -> usize {
        self.held
    }

    /// More text.
    pub fn text(&mut self, index: u64, text: &str) {
        self.append(index, Kind::Text, text);
    }

    /// More of the model's thoughts.
    pub fn reasoning(&mut self, index: u64, text: &str) {
        self.append(index, Kind::Reasoning, text);
    }

    /// A tool call begins.
    pub fn tool(&mut self, index: u64, id: Option<String>, name: Option<String>) {
        let tools = self
            .blocks
            .iter()
            .filter(|block| matches!(block.kind, Kind::Tool { .. }))
            .count();
        if self.blocks.len() >= MAX_BLOCKS || tools >= MAX_TOOL_CALLS {
            self.beyond_cap = true;
            return;
        }
        self.blocks.push(Block {
            index,
            kind: Kind::Tool { id, name },
            text: String::new(),
        });
    }

    /// More of the arguments of the tool call that began with this index.
    pub fn tool_input(&mut self, index: u64, json: &str) {
        if !self.content || !self.fits(json) {
            return;
        }
        if let Some(block) = self
            .blocks
            .iter_mut()
            .rev()
            .find(|block| block.index == index && matches!(block.kind, Kind::Tool { .. }))
        {
            block.text.push_str(json);
            self.held += json.len();
        }
    }

    /// The answer: tool calls, and all parts if content is kept.
    pub fn finish(self) -> (Vec<ToolCall>, Vec<Part>) {
        let mut calls = Vec::new();
        let mut parts = Vec::new();
        for Block { kind, text, .. } in self.blocks {
            match kind {
                Kind::Text => parts.push(Part::Text(text)),
                Kind::Reasoning => parts.push(Part::Reasoning(text)),
                Kind::Tool { id, name } => {
                    if self.content {
                        parts.push(Part::ToolCall {
                            id: id.clone(),
                            name: name.clone().unwrap_or_default(),
                            arguments: arguments(text),
                        });
                    }
                    calls.push(ToolCall { id, name });
                }
            }
        }
        (calls, parts)
    }

    /// Appends to the last block if it is of the same kind: Nova gives each piece of one text an index of its own.
    fn append(&mut self, index: u64, kind: Kind, text: &str) {
        if !self.content || text.is_empty() || !self.fits(text) {
            return;
        }
        self.held += text.len();
        if let Some(block) = self.blocks.last_mut()
            && block.kind == kind
        {
            block.text.push_str(text);
            return;
        }
        if self.blocks.len() >= MAX_BLOCKS {
            self.beyond_cap = true;
            return;
        }
        self.blocks.push(Block {
            index,
            kind,
            text: text.to_owned(),
        });
    }

    fn fits(&mut self, text: &str) -> bool {
        let fits = self.held + text.len() <= MAX_TEXT;
        self.beyond_cap |= !fits;
        fits
    }
}

/// Arguments as JSON; none at all are an empty object, and what does not parse stays text.
fn arguments(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
