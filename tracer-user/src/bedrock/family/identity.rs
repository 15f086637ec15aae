//! Which family a model is of: by its id or ARN, and where that does not tell, by members of a body that no other family has.

use super::super::json::Json;
use super::{Family, Task};

/// Vendors with models on Bedrock, as model ids begin.
const VENDORS: [&str; 20] = [
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "luma",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "nvidia",
    "openai",
    "qwen",
    "stability",
    "twelvelabs",
    "writer",
    "xai",
    "zai",
];

impl Family {
    /// The family of a model id or ARN; `None` where the id does not tell, as with vendors whose models speak in several
    /// shapes.
    pub fn of_model(model: &str) -> Option<Self> {
        let (vendor, rest) = vendor_name(model)?.split_once('.')?;
        let is = |start: &str| rest.starts_with(start);
        let family = match Task::of_model(model) {
            Some(Task::Embedding) => Family::Embedding,
            Some(Task::Ranking) => Family::Ranking,
            Some(Task::Image) => Family::Image,
            Some(Task::Video) => Family::Video,
            Some(Task::Chat | Task::Completion) | None => match vendor {
                "anthropic" => Family::Anthropic,
                "amazon" if is("titan-text") || is("titan-tg") => Family::TitanText,
                "amazon" if is("nova") => Family::Nova,
                "meta" => Family::Llama,
                "cohere" if is("command-r") => Family::CommandR,
                "cohere" if is("command-text") || is("command-light") => Family::Command,
                "ai21" if is("j2") => Family::Jurassic,
                "ai21" | "google" | "minimax" | "moonshot" | "moonshotai" | "nvidia" | "openai" | "qwen"
                | "writer" | "xai" | "zai" => Family::Chat,
                "twelvelabs" => Family::Pegasus,
                _ => return None,
            },
        };
        Some(family)
    }

    /// The family of a body, by members that no other family has.
    pub fn of_body(body: Json<'_>) -> Option<Self> {
        let mut certain = None;
        // What others may have as well.
        let mut likely = None;
        let _broken = body.members(|name, value| {
            if certain.is_none() {
                certain = by_member(name, value);
            }
            likely = likely.or(match name {
                "messages" => Some(Family::Chat),
                "inputTextTokenCount" | "results" => Some(Family::TitanText),
                "metadata" => Some(Family::Nova),
                // Cohere's newest embeddings; a text of that name is a prompt.
                "inputs" if value.is_array() => Some(Family::Embedding),
                "images" => Some(Family::Image),
                "dimensions" | "embeddingTypes" => Some(Family::Embedding),
                _ => None,
            });
        });
        certain.or(likely)
    }
}

/// The family that alone has a member of this name and kind.
fn by_member(name: &str, value: Json<'_>) -> Option<Family> {
    Some(match name {
        "anthropic_version" | "max_tokens_to_sample" | "completion" | "content_block" => Family::Anthropic,
        "type" => match value.text().as_deref()? {
            "message"
            | "message_start"
            | "message_delta"
            | "message_stop"
            | "content_block_start"
            | "content_block_delta"
            | "content_block_stop" => Family::Anthropic,
            _ => return None,
        },
        "object" => match value.text().as_deref()? {
            "text_completion" => Family::Completions,
            "chat.completion" | "chat.completion.chunk" => Family::Chat,
            _ => return None,
        },
        "schemaVersion" | "inferenceConfig" | "messageStart" | "contentBlockStart" | "contentBlockDelta"
        | "contentBlockStop" | "messageStop" | "stopReason" => Family::Nova,
        "textGenerationConfig" | "outputText" => Family::TitanText,
        "max_gen_len" | "generation" | "generation_token_count" | "prompt_token_count" => Family::Llama,
        "outputs" => Family::Mistral,
        "choices" => of_choices(value)?,
        "generations" | "is_finished" => Family::Command,
        "event_type" | "chat_history" | "generation_id" => Family::CommandR,
        "completions" => Family::Jurassic,
        "texts"
        | "input_type"
        | "embedding_types"
        | "embeddingConfig"
        | "singleEmbeddingParams"
        | "segmentedEmbeddingParams"
        | "embedding"
        | "embeddings"
        | "embeddingsByType" => Family::Embedding,
        "top_n" => Family::Ranking,
        "results" if value_has(value, "relevance_score") => Family::Ranking,
        "textToImageParams" | "imageGenerationConfig" | "text_prompts" | "artifacts" | "seeds" => {
            Family::Image
        }
        "textToVideoParams" | "videoGenerationConfig" => Family::Video,
        "inputPrompt" | "mediaSource" => Family::Pegasus,
        _ => return None,
    })
}

/// `OpenAI` has two shapes of choices: messages and plain texts.
fn of_choices(choices: Json<'_>) -> Option<Family> {
    if value_has(choices, "message") || value_has(choices, "delta") {
        Some(Family::Chat)
    } else if value_has(choices, "text") {
        Some(Family::Completions)
    } else {
        None
    }
}

/// Whether an item of the list has a member of that name.
fn value_has(list: Json<'_>, name: &str) -> bool {
    let mut found = false;
    let _broken = list.items(|item| found |= item.member(name).is_some());
    found
}

impl Task {
    /// What a model is for, where its id tells that it is not for text.
    pub fn of_model(model: &str) -> Option<Self> {
        let name = vendor_name(model)?;
        let has = |part: &str| name.contains(part);
        if has("embed") || has("marengo") {
            Some(Task::Embedding)
        } else if has("rerank") {
            Some(Task::Ranking)
        } else if has("titan-image") || has("nova-canvas") || name.starts_with("stability.") {
            Some(Task::Image)
        } else if has("nova-reel") || name.starts_with("luma.") {
            Some(Task::Video)
        } else {
            None
        }
    }
}

/// The part of a model id or ARN that begins with the vendor: `us.anthropic.claude…` and
/// `arn:aws:bedrock:…:inference-profile/us.anthropic.claude…` are both `anthropic.claude…`.
fn vendor_name(model: &str) -> Option<&str> {
    model.split('/').rev().find_map(|part| {
        let begins_with_vendor = |name: &str| {
            name.split_once('.')
                .is_some_and(|(vendor, _)| VENDORS.contains(&vendor))
        };
        if begins_with_vendor(part) {
            return Some(part);
        }
        let (_region, name) = part.split_once('.')?;
        begins_with_vendor(name).then_some(name)
    })
}
