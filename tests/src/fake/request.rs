//! Reads a request as strictly as Bedrock does where it matters: nonsense gets a 400 with a reason, not an answer.

use hyper::HeaderMap;
use serde_json::Value;

use super::error::Refusal;
use super::family::Family;
use super::scenario::{Answer, Scenario};
use super::served::{Operation, Parameters};

/// A valid request.
#[derive(Debug)]
pub(super) struct ModelCall {
    pub(super) operation: Operation,
    pub(super) family: Family,
    pub(super) model: String,
    pub(super) prompt_characters: u64,
    pub(super) parameters: Parameters,
    pub(super) tools: Vec<String>,
    pub(super) scenario: Scenario,
    /// The answer is to come as a stream,
    pub(super) streams: bool,
    /// whose last event tells the usage, where the operation leaves that to the caller.
    pub(super) stream_tells_usage: bool,
}

/// Operation and model that a path names: `/model/{id}/{operation}`, the id being everything up to the last `/`, or a path
/// that leaves the model to the body.
pub(super) fn route(path: &str) -> Option<(Operation, String)> {
    let compatible = [Operation::ChatCompletions, Operation::Messages];
    if let Some(operation) = compatible
        .into_iter()
        .find(|operation| operation.path_segment() == path)
    {
        return Some((operation, String::new()));
    }
    let (model, last) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let operation = Operation::ALL
        .into_iter()
        .chain([Operation::InvokeModelWithBidirectionalStream])
        .find(|operation| operation.path_segment() == last)?;
    let model = percent_encoding::percent_decode_str(model).decode_utf8().ok()?;
    Some((operation, model.into_owned()))
}

/// Whether the request carries what SigV4 or an API key look like. Signatures are not verified.
pub(super) fn is_signed(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get("authorization").and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let sigv4 = value.starts_with("AWS4-HMAC-SHA256 ")
        && ["/bedrock/", "/bedrock-agentcore/"]
            .iter()
            .any(|service| value.contains(&format!("{service}aws4_request")))
        && headers.contains_key("x-amz-date");
    sigv4 || value.starts_with("Bearer ")
}

impl ModelCall {
    /// Checks the body against the operation and the family of the model.
    pub(super) fn parse(operation: Operation, model: &str, body: &[u8]) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body).map_err(|_| {
            Refusal::validation("Malformed input request, please reformat your input and try again.")
        })?;
        let body = body
            .as_object()
            .map(|_| &body)
            .ok_or_else(|| Refusal::validation("Malformed input request: expected type: JSONObject"))?;
        let model = if operation.is_compatible() {
            body["model"].as_str().unwrap_or_default()
        } else {
            model
        };
        let family = Family::of(model).ok_or_else(Refusal::unknown_model)?;
        let read = match operation {
            Operation::ChatCompletions if family == Family::OpenAi => read_chat(body)?,
            Operation::Messages if family == Family::Anthropic => read_messages(body)?,
            Operation::ChatCompletions | Operation::Messages => return Err(Refusal::unknown_model()),
            Operation::Converse | Operation::ConverseStream if family == Family::TitanEmbeddings => {
                return Err(Refusal::validation(
                    "This action doesn't support the model that you provided.",
                ));
            }
            Operation::Converse | Operation::ConverseStream => read_converse(body)?,
            Operation::InvokeModel | Operation::InvokeModelWithResponseStream => match family {
                Family::Anthropic => read_anthropic(body)?,
                Family::Nova => read_nova(body)?,
                Family::TitanEmbeddings if operation.streams() => {
                    return Err(Refusal::validation("The model is unsupported for streaming."));
                }
                Family::Titan | Family::TitanEmbeddings => read_titan(body)?,
                Family::OpenAi => return Err(Refusal::unknown_model()),
            },
            Operation::InvokeModelWithBidirectionalStream => return Err(Refusal::unknown_operation()),
        };
        check_range("temperature", read.parameters.temperature)?;
        check_range("topP", read.parameters.top_p)?;
        if read.parameters.max_tokens == Some(0) {
            return Err(Refusal::validation(
                "The maximum tokens you requested is below the model limit of 1.",
            ));
        }
        let scenario = Scenario::from_prompt(&read.prompt).map_err(Refusal::validation)?;
        if scenario.answer == Answer::Tool && (read.tools.is_empty() || !family.has_tools()) {
            return Err(Refusal::validation(
                "This model was asked to call a tool, but the request offers none that it could call.",
            ));
        }
        Ok(Self {
            operation,
            family,
            model: model.to_owned(),
            prompt_characters: read.prompt.chars().count() as u64,
            parameters: read.parameters,
            tools: read.tools,
            scenario,
            streams: operation.streams() || body["stream"] == true,
            stream_tells_usage: body["stream_options"]["include_usage"] == true,
        })
    }
}

/// What the families have in common.
struct Read {
    prompt: String,
    parameters: Parameters,
    tools: Vec<String>,
}

fn read_converse(body: &Value) -> Result<Read, Refusal> {
    let prompt = last_message(body, "")?;
    for tool in body["toolConfig"]["tools"].as_array().into_iter().flatten() {
        if tool["toolSpec"]["name"].is_string() && !tool["toolSpec"]["inputSchema"]["json"].is_object() {
            return Err(Refusal::validation(
                "The value at toolConfig.tools.0.toolSpec.inputSchema.json is missing.",
            ));
        }
    }
    Ok(Read {
        prompt,
        tools: names(&body["toolConfig"]["tools"], "/toolSpec/name"),
        parameters: Parameters {
            max_tokens: body["inferenceConfig"]["maxTokens"].as_u64(),
            temperature: body["inferenceConfig"]["temperature"].as_f64(),
            top_p: body["inferenceConfig"]["topP"].as_f64(),
            top_k: body["additionalModelRequestFields"]["top_k"].as_u64(),
            stop_sequences: texts(&body["inferenceConfig"]["stopSequences"]),
        },
    })
}

fn read_anthropic(body: &Value) -> Result<Read, Refusal> {
    if !body["anthropic_version"].is_string() {
        return Err(Refusal::validation("anthropic_version: Field required"));
    }
    read_messages(body)
}

/// Claude's body, whose version a header tells where the operation is Anthropic's own.
fn read_messages(body: &Value) -> Result<Read, Refusal> {
    if body["max_tokens"].as_u64().is_none() {
        return Err(Refusal::validation("max_tokens: Field required"));
    }
    Ok(Read {
        prompt: last_message(body, "text")?,
        tools: names(&body["tools"], "/name"),
        parameters: Parameters {
            max_tokens: body["max_tokens"].as_u64(),
            temperature: body["temperature"].as_f64(),
            top_p: body["top_p"].as_f64(),
            top_k: body["top_k"].as_u64(),
            stop_sequences: texts(&body["stop_sequences"]),
        },
    })
}

fn read_chat(body: &Value) -> Result<Read, Refusal> {
    let messages = body["messages"]
        .as_array()
        .filter(|messages| !messages.is_empty());
    let last = messages
        .and_then(|messages| messages.last())
        .ok_or_else(|| Refusal::validation("[] is too short - 'messages'"))?;
    let prompt = match &last["content"] {
        Value::String(text) => text.clone(),
        parts => names(parts, "/text").join("\n"),
    };
    let most = [&body["max_completion_tokens"], &body["max_tokens"]];
    Ok(Read {
        prompt,
        tools: names(&body["tools"], "/function/name"),
        parameters: Parameters {
            max_tokens: most.into_iter().find_map(Value::as_u64),
            temperature: body["temperature"].as_f64(),
            top_p: body["top_p"].as_f64(),
            top_k: None,
            stop_sequences: texts(&body["stop"]),
        },
    })
}

fn read_nova(body: &Value) -> Result<Read, Refusal> {
    let inference = &body["inferenceConfig"];
    Ok(Read {
        prompt: last_message(body, "")?,
        tools: names(&body["toolConfig"]["tools"], "/toolSpec/name"),
        parameters: Parameters {
            max_tokens: inference["maxTokens"]
                .as_u64()
                .or_else(|| inference["max_new_tokens"].as_u64()),
            temperature: inference["temperature"].as_f64(),
            top_p: inference["topP"].as_f64(),
            top_k: inference["topK"].as_u64(),
            stop_sequences: texts(&inference["stopSequences"]),
        },
    })
}

fn read_titan(body: &Value) -> Result<Read, Refusal> {
    let prompt = body["inputText"]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| {
            Refusal::validation(
                "Malformed input request: #: required key [inputText] not found, please reformat your input and try again.",
            )
        })?;
    let configuration = &body["textGenerationConfig"];
    Ok(Read {
        prompt: prompt.to_owned(),
        tools: Vec::new(),
        parameters: Parameters {
            max_tokens: configuration["maxTokenCount"].as_u64(),
            temperature: configuration["temperature"].as_f64(),
            top_p: configuration["topP"].as_f64(),
            top_k: None,
            stop_sequences: texts(&configuration["stopSequences"]),
        },
    })
}

/// Checks that messages begin with the user and take turns; gives the text of the last one. `block_type` is what text
/// blocks carry as `type`, empty where they carry none.
fn last_message(body: &Value, block_type: &str) -> Result<String, Refusal> {
    let messages = body["messages"]
        .as_array()
        .filter(|messages| !messages.is_empty())
        .ok_or_else(|| {
            Refusal::validation("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
        })?;
    for (index, message) in messages.iter().enumerate() {
        let wanted = if index % 2 == 0 { "user" } else { "assistant" };
        if message["role"] != wanted {
            return Err(Refusal::validation(format!(
                "A conversation must alternate between user and assistant roles: messages.{index} should be {wanted}."
            )));
        }
        let content = &message["content"];
        let plain_string = !block_type.is_empty() && content.as_str().is_some_and(|text| !text.is_empty());
        let blocks = content.as_array().is_some_and(|blocks| !blocks.is_empty());
        if !plain_string && !blocks {
            return Err(Refusal::validation(format!(
                "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the content field and try again."
            )));
        }
    }
    let content = messages.last().map_or(&Value::Null, |last| &last["content"]);
    if let Some(text) = content.as_str() {
        return Ok(text.to_owned());
    }
    Ok(content
        .as_array()
        .into_iter()
        .flatten()
        .filter(|block| block_type.is_empty() || block["type"] == block_type)
        .filter_map(|block| block["text"].as_str())
        .collect::<Vec<_>>()
        .join("\n"))
}

fn check_range(name: &str, value: Option<f64>) -> Result<(), Refusal> {
    match value {
        Some(value) if !(0.0..=1.0).contains(&value) => Err(Refusal::validation(format!(
            "The value of {name} is {value}; it must be between 0 and 1."
        ))),
        _ => Ok(()),
    }
}

fn names(tools: &Value, pointer: &str) -> Vec<String> {
    tools
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.pointer(pointer)?.as_str())
        .map(str::to_owned)
        .collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_everything_before_the_last_segment() {
        for path in [
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse",
            "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0/converse",
        ] {
            let (operation, model) = route(path).expect("a Bedrock path");
            assert_eq!(operation, Operation::Converse);
            assert_eq!(
                model,
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0"
            );
        }
        assert_eq!(route("/model/x/y"), None);
        assert_eq!(route("/"), None);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let claude = "anthropic.claude-3-haiku-20240307-v1:0";
        for (operation, model, body, reason) in [
            (Operation::Converse, "x.y", "{}", "model identifier"),
            (Operation::Converse, claude, "{", "Malformed"),
            (Operation::Converse, claude, "[]", "JSONObject"),
            (
                Operation::Converse,
                claude,
                r#"{"messages":[]}"#,
                "start with a user message",
            ),
            (
                Operation::Converse,
                claude,
                r#"{"messages":[{"role":"assistant","content":[{"text":"x"}]}]}"#,
                "alternate",
            ),
            (
                Operation::InvokeModel,
                claude,
                r#"{"max_tokens":1}"#,
                "anthropic_version",
            ),
            (
                Operation::InvokeModel,
                "amazon.titan-text-lite-v1",
                "{}",
                "inputText",
            ),
        ] {
            let refusal = ModelCall::parse(operation, model, body.as_bytes()).expect_err(body);
            assert_eq!(refusal.status, 400);
            assert!(refusal.message.contains(reason), "{body}: {}", refusal.message);
        }
    }
}
