//! Why an answer ended: the word on the wire and what it means.

/// A stop reason as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReason {
    /// The word on the wire.
    pub wire: String,
}

/// What a stop reason means, in OpenTelemetry's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finish<'a> {
    /// The answer is whole.
    Stop,
    /// The token limit, or the model's window, ended it.
    Length,
    /// The model asks for tools.
    ToolCall,
    /// A filter or guardrail ended it.
    ContentFilter,
    /// It failed.
    Error,
    /// A word that is not known.
    Other(&'a str),
}

impl StopReason {
    /// What the word means. Families spell the same reasons in their own ways and cases.
    pub fn finish(&self) -> Finish<'_> {
        let lower = self.wire.to_ascii_lowercase();
        match lower.as_str() {
            "end_turn" | "stop_sequence" | "stop" | "finish" | "finished" | "complete" | "completed"
            | "endoftext" | "eos" | "eos_token" | "stop_criteria_met" | "success" => Finish::Stop,
            "tool_use" | "tool_calls" | "tool_call" | "function_call" => Finish::ToolCall,
            "max_tokens"
            | "max_output_tokens"
            | "length"
            | "model_length"
            | "error_limit"
            | "model_context_window_exceeded" => Finish::Length,
            "content_filtered" | "content_filter" | "guardrail_intervened" | "refusal" | "error_toxic" => {
                Finish::ContentFilter
            }
            "malformed_model_output" | "malformed_tool_use" | "error" | "failed" => Finish::Error,
            _ => Finish::Other(&self.wire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_familys_words_mean_the_same_few_things() {
        for (wire, finish) in [
            ("end_turn", Finish::Stop),
            ("FINISH", Finish::Stop),
            ("STOP_CRITERIA_MET", Finish::Stop),
            ("COMPLETE", Finish::Stop),
            ("endoftext", Finish::Stop),
            ("tool_use", Finish::ToolCall),
            ("LENGTH", Finish::Length),
            ("MAX_TOKENS", Finish::Length),
            ("CONTENT_FILTERED", Finish::ContentFilter),
            ("guardrail_intervened", Finish::ContentFilter),
            ("malformed_tool_use", Finish::Error),
            ("pause_turn", Finish::Other("pause_turn")),
        ] {
            let reason = StopReason { wire: wire.into() };
            assert_eq!(reason.finish(), finish);
        }
    }
}
