//! Puts a streamed answer together again, block by block. Without content only the names of tools are kept.

use serde_json::Value;

use super::call::{MAX_TOOL_CALLS, ToolCall};
use super::content::{MAX_SAID, Part, parse_arguments, tell_thoughts};

/// Most blocks of one answer.
const MAX_BLOCKS: usize = 1024;

/// Most text of one answer.
const MAX_TEXT: usize = MAX_SAID;

/// A streamed answer so far.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Whether text is kept.
    content: bool,
    /// Which of several answers is added to.
    choice: u64,
    /// Text may hold thoughts.
    thoughts_in_text: bool,
    blocks: Vec<Block>,
    held: usize,
    /// Something did not fit.
    beyond_cap: bool,
}

#[derive(Debug)]
struct Block {
    choice: u64,
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

    /// Forgets what came so far.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.held = 0;
        self.beyond_cap = false;
    }

    /// What follows belongs to this one of several answers.
    pub fn choice(&mut self, choice: u64) {
        self.choice = choice;
    }

    /// The model may think aloud in its text.
    pub fn thoughts_in_text(&mut self) {
        self.thoughts_in_text = true;
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
            choice: self.choice,
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
        if let Some(block) = self.blocks.iter_mut().rev().find(|block| {
            block.choice == self.choice && block.index == index && matches!(block.kind, Kind::Tool { .. })
        }) {
            block.text.push_str(json);
            self.held += json.len();
        }
    }

    /// A piece of a tool call as `OpenAI`'s shape has it: the first has id and name, those that follow the index alone. A piece
    /// without index is a call of its own.
    pub fn tool_piece(&mut self, index: Option<u64>, id: Option<String>, name: Option<String>, json: &str) {
        let known = self.blocks.iter().rev().find_map(|block| match &block.kind {
            Kind::Tool { id: known, .. } if block.choice == self.choice && Some(block.index) == index => {
                Some(known)
            }
            _ => None,
        });
        let continues = known.is_some_and(|known| id.is_none() || id == *known);
        let index = index.unwrap_or(self.blocks.len() as u64);
        if !continues {
            self.tool(index, id, name);
        }
        self.tool_input(index, json);
    }

    /// The answer: tool calls, and the parts of each choice if content is kept.
    pub fn finish(self) -> (Vec<ToolCall>, Vec<Vec<Part>>) {
        let mut calls = Vec::new();
        let mut choices: Vec<(u64, Vec<Part>)> = Vec::new();
        for Block {
            choice, kind, text, ..
        } in self.blocks
        {
            let parts = match kind {
                Kind::Text if self.thoughts_in_text => tell_thoughts(text),
                Kind::Text => vec![Part::Text(text)],
                Kind::Reasoning => vec![Part::Reasoning(text)],
                Kind::Tool { id, name } => {
                    calls.push(ToolCall {
                        id: id.clone(),
                        name: name.clone(),
                    });
                    if !self.content {
                        continue;
                    }
                    vec![Part::ToolCall {
                        id,
                        name: name.unwrap_or_default(),
                        arguments: parse_arguments(Value::String(text)),
                    }]
                }
            };
            match choices.iter_mut().find(|(known, _)| *known == choice) {
                Some((_, known)) => known.extend(parts),
                None => choices.push((choice, parts)),
            }
        }
        choices.sort_by_key(|(choice, _)| *choice);
        (calls, choices.into_iter().map(|(_, parts)| parts).collect())
    }

    /// Appends to the last block if it is of the same kind: Nova gives each piece of one text an index of its own.
    fn append(&mut self, index: u64, kind: Kind, text: &str) {
        if !self.content || text.is_empty() || !self.fits(text) {
            return;
        }
        self.held += text.len();
        let last = self
            .blocks
            .iter_mut()
            .rev()
            .find(|block| block.choice == self.choice);
        if let Some(block) = last
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
            choice: self.choice,
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
