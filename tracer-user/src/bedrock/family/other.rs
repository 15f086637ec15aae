//! Bodies of any other family: what most of them have in common. Token counts come from headers and Bedrock's metrics
//! first; the spellings here are those of Llama, Mistral, Cohere, AI21, Titan embeddings and the `OpenAI` shape.

use super::super::body::Body;
use super::super::json::{Json, Malformed};
use super::{Facts, Task, set};

const REQUEST: [&str; 14] = [
    "max_tokens",
    "max_gen_len",
    "maxTokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "topP",
    "top_k",
    "p",
    "k",
    "stop",
    "stop_sequences",
    "stopSequences",
    "seed",
];

const RESPONSE: [&str; 6] = [
    "stop_reason",
    "finish_reason",
    "usage",
    "prompt_token_count",
    "generation_token_count",
    "inputTextTokenCount",
];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    let mut task = None;
    let end = body.members(&REQUEST, |name, value| {
        match name {
            // Cohere's names; too short to mean the same everywhere.
            "p" => facts.parameters.take("top_p", value),
            "k" => facts.parameters.take("top_k", value),
            _ => facts.parameters.take(name, value),
        }
        let found = match name {
            "messages" | "message" => Task::Chat,
            "prompt" if task.is_none() => Task::Completion,
            "texts" | "inputText" | "embedding_types" | "singleEmbeddingParams" => Task::Embedding,
            "documents" if task.is_none() => Task::Ranking,
            "text_prompts" | "textToImageParams" => Task::Image,
            _ => return,
        };
        task = Some(found);
    });
    facts.task = task;
    end
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.spoke = true;
    let mut own = Own::default();
    let end = body.members(&RESPONSE, |name, value| own.member(name, value, facts));
    own.settle(facts);
    end
}

pub(super) fn chunk(chunk: Json<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    facts.spoke = true;
    let mut own = Own::default();
    let end = chunk.members(|name, value| own.member(name, value, facts));
    own.settle(facts);
    end
}

/// Reasons of one body: those of its choices, else its own.
#[derive(Default)]
struct Own {
    reason: Option<String>,
    choices: Vec<String>,
}

impl Own {
    fn member(&mut self, name: &str, value: Json<'_>, facts: &mut Facts) {
        match name {
            "stop_reason" | "finish_reason" | "stopReason" | "finishReason" => {
                set(&mut self.reason, reason(value));
            }
            "generations" | "outputs" | "choices" | "completions" => {
                let _broken = value.items(|choice| self.choice(choice, facts));
            }
            "id" | "response_id" => set(&mut facts.response_id, id(value)),
            "model" => set(&mut facts.response_model, value.text()),
            "embedding" | "embeddings" | "embeddingsByType" => facts.task = Some(Task::Embedding),
            "prompt_token_count" | "inputTextTokenCount" => set(&mut facts.usage.input, value.count()),
            "generation_token_count" => set(&mut facts.usage.output, value.count()),
            "usage" => usage(value, facts),
            _ => facts.take_bedrocks_own(name, value),
        }
    }

    fn choice(&mut self, choice: Json<'_>, facts: &mut Facts) {
        let _broken = choice.members(|name, value| match name {
            "stop_reason" | "finish_reason" | "finishReason" => {
                if let Some(reason) = reason(value) {
                    self.choices.push(reason);
                }
            }
            "message" => {
                if let Some(calls) = value.member("tool_calls") {
                    let _broken = calls.items(|call| {
                        facts.tool_call(
                            call.member("id").and_then(Json::text),
                            call.at(&["function", "name"]).and_then(Json::text),
                        );
                    });
                }
            }
            _ => {}
        });
    }

    fn settle(self, facts: &mut Facts) {
        if self.choices.is_empty() {
            facts.stop(self.reason);
        } else {
            for reason in self.choices {
                facts.stop(Some(reason));
            }
        }
    }
}

/// A reason as text, or AI21's `{"reason": …}`.
fn reason(value: Json<'_>) -> Option<String> {
    value
        .text()
        .or_else(|| value.member("reason").and_then(Json::text))
}

/// An id as text, or AI21's number.
fn id(value: Json<'_>) -> Option<String> {
    value
        .text()
        .or_else(|| value.integer().map(|number| number.to_string()))
}

/// `OpenAI`'s counts, in which the input holds the cached tokens already.
fn usage(value: Json<'_>, facts: &mut Facts) {
    let usage = &mut facts.usage;
    let _broken = value.members(|name, value| match name {
        "prompt_tokens" | "input_tokens" => {
            set(&mut usage.input, value.count());
            usage.input_is_total = usage.input.is_some();
        }
        "completion_tokens" | "output_tokens" => set(&mut usage.output, value.count()),
        "prompt_tokens_details" => {
            set(
                &mut usage.cache_read,
                value.member("cached_tokens").and_then(Json::count),
            );
            set(
                &mut usage.cache_write,
                value.member("cache_write_tokens").and_then(Json::count),
            );
        }
        "completion_tokens_details" => set(
            &mut usage.reasoning,
            value.member("reasoning_tokens").and_then(Json::count),
        ),
        _ => {}
    });
}
