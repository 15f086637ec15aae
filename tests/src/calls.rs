//! Words requests: one `Call` becomes the JSON body that its operation and its model's family want.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::fake::scenario::{Answer, Framing, Scenario, Stop};
use crate::fake::{Operation, Parameters};

/// Claude behind an inference profile.
pub const CLAUDE: &str = "us.anthropic.claude-3-haiku-20240307-v1:0";
/// Nova behind the ARN of an inference profile: a model id with slashes and colons.
pub const NOVA: &str = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
/// Titan by its plain id.
pub const TITAN: &str = "amazon.titan-text-express-v1";

/// Nova's speech model, which is talked to in both directions at once.
pub const SONIC: &str = "amazon.nova-sonic-v1:0";

/// Titan's vectors.
pub const TITAN_EMBEDDINGS: &str = "amazon.titan-embed-text-v2:0";
/// `OpenAI`'s open model, for Chat Completions.
pub const GPT_OSS: &str = "openai.gpt-oss-20b-1:0";

/// The tool that calls with tools offer.
pub const TOOL: &str = "get_weather";

/// One request that a client is asked to make.
#[derive(Debug, Clone)]
pub struct Call {
    /// Operation.
    pub operation: Operation,
    /// Model id as the client is given it.
    pub model: String,
    /// Prompt, marker of the scenario included.
    pub prompt: String,
    /// Sampling parameters.
    pub parameters: Parameters,
    /// Whether a tool is offered.
    pub tools: bool,
    /// Whether the answer is to come as a stream, where the operation leaves that to the body.
    pub stream: bool,
    /// Header fields beside the client's own; clients with an SDK ignore them.
    pub headers: Vec<(&'static str, String)>,
    /// Stop reading a stream after so many events.
    pub take: Option<u32>,
}

impl Call {
    /// A call with a prompt of its own and the usual parameters.
    pub fn new(operation: Operation, model: &str, scenario: &Scenario) -> Self {
        Self {
            operation,
            model: model.to_owned(),
            prompt: format!("What hums below? {}", scenario.marker()),
            parameters: Parameters {
                max_tokens: Some(200),
                temperature: Some(0.25),
                top_p: Some(0.875),
                top_k: None,
                stop_sequences: vec!["STOP".to_owned()],
            },
            tools: false,
            stream: false,
            headers: Vec::new(),
            take: None,
        }
    }

    /// The same call with a tool on offer.
    #[must_use]
    pub fn with_tools(mut self) -> Self {
        self.tools = true;
        self
    }

    /// The same call, its answer to be streamed.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.stream = true;
        self
    }

    /// The same call with the prompt made so long.
    #[must_use]
    pub fn with_prompt_bytes(mut self, bytes: usize) -> Self {
        const FILLER: &str = "Schist and gneiss, marble and slate. ";
        self.prompt.push_str(&FILLER.repeat(bytes / FILLER.len() + 1));
        self
    }

    /// The same call, given up after so many events of the stream.
    #[must_use]
    pub fn taking(mut self, events: u32) -> Self {
        self.take = Some(events);
        self
    }

    /// The same call with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Path of the request, the model id percent-encoded as the SDKs do.
    pub fn path(&self) -> String {
        let segment = self.operation.path_segment();
        if self.operation.is_compatible() {
            return segment.to_owned();
        }
        format!("/model/{}/{segment}", encode(&self.model))
    }

    /// Body of the request.
    pub fn body(&self) -> Value {
        match self.operation {
            Operation::Converse | Operation::ConverseStream => self.converse(),
            Operation::InvokeModel | Operation::InvokeModelWithResponseStream => {
                if self.model.contains("anthropic.") {
                    self.anthropic()
                } else if self.model == TITAN_EMBEDDINGS {
                    json!({"inputText": self.prompt, "embeddingTypes": ["float"]})
                } else if self.model.contains("amazon.titan") {
                    self.titan()
                } else {
                    self.nova()
                }
            }
            Operation::InvokeModelWithBidirectionalStream => self.speech(),
            Operation::ChatCompletions => self.chat(),
            Operation::Messages => self.messages(),
        }
    }

    /// The call as the client programs read it.
    pub(crate) fn to_json(&self, id: usize) -> Value {
        let mut call = json!({
            "id": id,
            "operation": self.operation,
            "model": self.model,
            "body": self.body(),
            "headers": self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect::<std::collections::BTreeMap<_, _>>(),
        });
        if let Some(take) = self.take {
            call["take"] = take.into();
        }
        call
    }

    fn converse(&self) -> Value {
        let Parameters {
            max_tokens,
            temperature,
            top_p,
            top_k,
            stop_sequences,
        } = &self.parameters;
        let mut body = json!({
            "system": [{"text": "You are a geologist."}],
            "messages": [{"role": "user", "content": [{"text": self.prompt}]}],
            "inferenceConfig": without_nulls(json!({
                "maxTokens": max_tokens,
                "temperature": temperature,
                "topP": top_p,
                "stopSequences": stop_sequences,
            })),
        });
        if let Some(top_k) = top_k {
            body["additionalModelRequestFields"] = json!({"top_k": top_k});
        }
        if self.tools {
            body["toolConfig"] = tool_config();
        }
        body
    }

    fn anthropic(&self) -> Value {
        let Parameters {
            max_tokens,
            temperature,
            top_p,
            top_k,
            stop_sequences,
        } = &self.parameters;
        let mut body = without_nulls(json!({
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "stop_sequences": stop_sequences,
            "system": "You are a geologist.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": self.prompt}]}],
        }));
        if self.tools {
            body["tools"] = json!([{
                "name": TOOL,
                "description": "Tells the weather.",
                "input_schema": tool_schema(),
            }]);
        }
        body
    }

    /// Anthropic's own operation: the model in the body, the version in a header.
    fn messages(&self) -> Value {
        let mut body = self.anthropic();
        body["model"] = self.model.as_str().into();
        body["stream"] = self.stream.into();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("anthropic_version");
        }
        body
    }

    fn chat(&self) -> Value {
        let Parameters {
            max_tokens,
            temperature,
            top_p,
            top_k: _,
            stop_sequences,
        } = &self.parameters;
        let mut body = without_nulls(json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": "You are a geologist."},
                {"role": "user", "content": self.prompt},
            ],
            "max_completion_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "stop": stop_sequences,
            "stream": self.stream,
        }));
        if self.stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        if self.tools {
            let function =
                json!({"name": TOOL, "description": "Tells the weather.", "parameters": tool_schema()});
            body["tools"] = json!([{"type": "function", "function": function}]);
        }
        body
    }

    fn nova(&self) -> Value {
        let Parameters {
            max_tokens,
            temperature,
            top_p,
            top_k,
            stop_sequences,
        } = &self.parameters;
        let mut body = json!({
            "schemaVersion": "messages-v1",
            "system": [{"text": "You are a geologist."}],
            "messages": [{"role": "user", "content": [{"text": self.prompt}]}],
            "inferenceConfig": without_nulls(json!({
                "maxTokens": max_tokens,
                "temperature": temperature,
                "topP": top_p,
                "topK": top_k,
                "stopSequences": stop_sequences,
            })),
        });
        if self.tools {
            body["toolConfig"] = tool_config();
        }
        body
    }

    /// Events of a conversation of three turns; a client sends each turn when the one before was answered.
    fn speech(&self) -> Value {
        let start = json!({"sessionStart": {"inferenceConfiguration": without_nulls(json!({
            "maxTokens": self.parameters.max_tokens,
            "temperature": self.parameters.temperature,
            "topP": self.parameters.top_p,
        }))}});
        let turn = |turn: u32| json!({"textInput": {"content": format!("{} ({turn})", self.prompt)}});
        let events = [start, turn(1), turn(2), turn(3), json!({"sessionEnd": {}})];
        json!({"events": events.map(|event| json!({"event": event}))})
    }

    fn titan(&self) -> Value {
        let Parameters {
            max_tokens,
            temperature,
            top_p,
            top_k: _,
            stop_sequences,
        } = &self.parameters;
        json!({
            "inputText": self.prompt,
            "textGenerationConfig": without_nulls(json!({
                "maxTokenCount": max_tokens,
                "temperature": temperature,
                "topP": top_p,
                "stopSequences": stop_sequences,
            })),
        })
    }
}

/// Every operation with every family: a plain answer, an uneven one and a tool call.
pub fn repertoire() -> Vec<Call> {
    let ragged = Scenario {
        chunks: 30,
        size: 60_000,
        framing: Framing::Chunked,
        ragged: Some(3),
        stop: Some(Stop::MaxTokens),
        ..Scenario::default()
    };
    let tool = Scenario {
        answer: Answer::Tool,
        cache_read: Some(1028),
        cache_write: Some(12),
        ..Scenario::default()
    };
    let mut calls = Vec::new();
    for operation in Operation::ALL {
        for model in [CLAUDE, NOVA, TITAN] {
            calls.push(Call::new(operation, model, &Scenario::default()));
            calls.push(Call::new(operation, model, &ragged));
        }
        for model in [CLAUDE, NOVA] {
            calls.push(Call::new(operation, model, &tool).with_tools());
        }
    }
    calls
}

/// What Claude's own SDK can ask for.
pub fn claude_repertoire() -> Vec<Call> {
    let tool = Scenario {
        answer: Answer::Tool,
        ..Scenario::default()
    };
    [Operation::InvokeModel, Operation::InvokeModelWithResponseStream]
        .into_iter()
        .flat_map(|operation| {
            [
                Call::new(operation, CLAUDE, &Scenario::default()),
                Call::new(operation, CLAUDE, &tool).with_tools(),
            ]
        })
        .collect()
}

/// A plain answer, an uneven one and a tool call of an operation whose body says whether to stream: both ways.
pub fn compatible_repertoire(operation: Operation, model: &str) -> Vec<Call> {
    let uneven = Scenario {
        chunks: 20,
        size: 20_000,
        ragged: Some(5),
        cache_read: Some(1028),
        ..Scenario::default()
    };
    let tool = Scenario {
        answer: Answer::Tool,
        ..Scenario::default()
    };
    let calls = [
        Call::new(operation, model, &Scenario::default()),
        Call::new(operation, model, &uneven),
        Call::new(operation, model, &tool).with_tools(),
    ];
    let streamed = calls.clone().map(Call::streaming);
    calls.into_iter().chain(streamed).collect()
}

/// So many streams that are all under way before one of them goes on, of different lengths.
pub fn streams(count: u32) -> Vec<Call> {
    [
        Operation::ConverseStream,
        Operation::InvokeModelWithResponseStream,
    ]
    .into_iter()
    .cycle()
    .zip(0..count)
    .map(|(operation, index)| {
        let scenario = Scenario {
            together: count,
            chunks: 4 + index % 7,
            size: 200 * (index as usize % 11),
            ..Scenario::default()
        };
        Call::new(operation, CLAUDE, &scenario)
    })
    .collect()
}

/// Percent-encodes a model id as the SDKs do: everything but unreserved characters (RFC 3986, section 2.3).
pub(crate) fn encode(model: &str) -> String {
    const RESERVED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(model, &RESERVED).to_string()
}

fn tool_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    })
}

fn tool_config() -> Value {
    json!({"tools": [{"toolSpec": {
        "name": TOOL,
        "description": "Tells the weather.",
        "inputSchema": {"json": tool_schema()},
    }}]})
}

fn without_nulls(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}
