//! What the scripts hold, for those who compare.

/// A call of a model by the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelCall {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Why the model stopped, in the words of its own answer.
    pub stop_reason: &'static str,
}

/// The model that the agent uses.
pub const MODEL: &str = "anthropic.claude-3-5-sonnet-20240620-v1:0";
/// Its calls, in order: it asks for the tool, for the knowledge base, and is done.
pub const MODEL_CALLS: [ModelCall; 3] = [
    ModelCall {
        input: 861,
        output: 97,
        stop_reason: "tool_use",
    },
    ModelCall {
        input: 1039,
        output: 61,
        stop_reason: "tool_use",
    },
    ModelCall {
        input: 1155,
        output: 114,
        stop_reason: "end_turn",
    },
];
/// Version of the agent.
pub const AGENT_VERSION: &str = "3";
/// The tool that the agent uses: group and function.
pub const TOOL: (&str, &str) = ("Weather", "get_weather");
/// The knowledge base that the agent searches.
pub const KNOWLEDGE_BASE: &str = "KBGRANITE1";
/// Documents found by every search.
pub const DOCUMENTS: [&str; 2] = ["Granite hums below 20 Hz.", "Gneiss does not."];
/// What every agent answers in the end.
pub const ANSWER: &str = "Granite is hörtbar; bedrock hums 🪨 at night.";
/// What code gives out when it is run.
pub const OUTPUT: &str = "42\n";
