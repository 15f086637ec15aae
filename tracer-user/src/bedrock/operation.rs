//! The operations of the Bedrock data plane, by the names AWS gives them (botocore's service models).

/// A service of Bedrock with an endpoint of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `bedrock-runtime`: models and guardrails.
    Runtime,
    /// `bedrock-agent-runtime`: agents, flows, knowledge bases.
    AgentRuntime,
    /// `bedrock-agentcore`: hosted agents and their tools.
    AgentCore,
    /// `bedrock-mantle`: `OpenAI`- and Anthropic-compatible models.
    Mantle,
}

impl Service {
    /// The service id of the AWS SDKs (`serviceId` of the service model).
    pub fn name(self) -> &'static str {
        match self {
            Service::Runtime => "Bedrock Runtime",
            Service::AgentRuntime => "Bedrock Agent Runtime",
            Service::AgentCore => "Bedrock AgentCore",
            Service::Mantle => "Bedrock Mantle",
        }
    }
}

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A conversation with a model.
    Chat,
    /// Whatever the model's body says: a conversation, a completion, an embedding, an image.
    Model,
    /// A hosted agent is asked.
    Agent,
    /// A knowledge base or a memory is searched.
    Retrieval,
    /// A tool runs.
    Tool,
    /// Documents are put in order.
    Ranking,
    /// Related work for which OpenTelemetry has no `gen_ai` operation.
    Auxiliary,
    /// Housekeeping: recognised, and no span.
    Housekeeping,
}

/// Where the operation's path is known as Bedrock's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    /// On any host: no other service has such a path.
    Anywhere,
    /// On a host or with a signature of Bedrock only.
    Bedrock,
}

/// One line of the table below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) operation: Operation,
    pub(super) method: &'static str,
    /// Segments separated by `/`; `{name}` takes one segment, `{model}` as many as there are.
    pub(super) path: &'static str,
    pub(super) reach: Reach,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident, $service:ident, $purpose:ident, $reach:ident, [$($method:literal $path:literal),*];)+) => {
        /// An operation of the data plane.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[$doc])* $name,)+
        }

        impl Operation {
            /// Every operation, in the order of the table.
            pub const ALL: &[Operation] = &[$(Operation::$name),+];

            /// The name AWS gives it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Operation::$name => stringify!($name),)+
                }
            }

            /// The service whose endpoint has it.
            pub fn service(self) -> Service {
                match self {
                    $(Operation::$name => Service::$service,)+
                }
            }

            /// What it is for.
            pub fn purpose(self) -> Purpose {
                match self {
                    $(Operation::$name => Purpose::$purpose,)+
                }
            }
        }

        /// Method and path of every operation.
        pub(super) const TABLE: &[Entry] = &[
            $($(Entry { operation: Operation::$name, method: $method, path: $path, reach: Reach::$reach },)*)+
        ];
    };
}

operations! {
    /// One message, one answer, in Bedrock's own shape.
    Converse, Runtime, Chat, Anywhere, ["POST" "model/{model}/converse"];
    /// The same as a stream of events.
    ConverseStream, Runtime, Chat, Anywhere, ["POST" "model/{model}/converse-stream"];
    /// A body in the model vendor's shape.
    InvokeModel, Runtime, Model, Anywhere, ["POST" "model/{model}/invoke"];
    /// The same as a stream of chunks.
    InvokeModelWithResponseStream, Runtime, Model, Anywhere, ["POST" "model/{model}/invoke-with-response-stream"];
    /// Speech both ways, over HTTP/2.
    InvokeModelWithBidirectionalStream, Runtime, Chat, Anywhere, ["POST" "model/{model}/invoke-with-bidirectional-stream"];
    /// How many tokens a request would be.
    CountTokens, Runtime, Auxiliary, Anywhere, ["POST" "model/{model}/count-tokens"];
    /// A guardrail is asked about a text.
    ApplyGuardrail, Runtime, Auxiliary, Anywhere, ["POST" "guardrail/{guardrail}/version/{version}/apply"];
    /// Checks without a guardrail resource.
    InvokeGuardrailChecks, Runtime, Auxiliary, Bedrock, ["POST" "guardrail-checks/invoke"];
    /// A job whose result goes to S3.
    StartAsyncInvoke, Runtime, Model, Bedrock, ["POST" "async-invoke"];
    /// State of such a job.
    GetAsyncInvoke, Runtime, Auxiliary, Bedrock, ["GET" "async-invoke/{job}"];
    /// Such jobs.
    ListAsyncInvokes, Runtime, Housekeeping, Bedrock, ["GET" "async-invoke"];
    /// `OpenAI`'s Chat Completions.
    ChatCompletions, Mantle, Chat, Bedrock, ["POST" "openai/v1/chat/completions", "POST" "v1/chat/completions"];
    /// `OpenAI`'s Responses.
    Responses, Mantle, Chat, Bedrock, ["POST" "openai/v1/responses", "POST" "v1/responses"];
    /// Anthropic's Messages.
    Messages, Mantle, Chat, Bedrock, ["POST" "anthropic/v1/messages", "POST" "v1/messages"];
    /// Anthropic's token count.
    MessagesCountTokens, Mantle, Auxiliary, Bedrock, ["POST" "anthropic/v1/messages/count_tokens"];
    /// Models, stored responses, files, batches of the compatible endpoints.
    MantleResource, Mantle, Housekeeping, Bedrock, [
        "GET" "v1/models", "GET" "openai/v1/models", "GET" "v1/responses/{response}", "DELETE" "v1/responses/{response}",
        "POST" "v1/responses/{response}/cancel", "GET" "openai/v1/responses/{response}",
        "DELETE" "openai/v1/responses/{response}", "POST" "openai/v1/responses/{response}/cancel"
    ];
    /// A `POST` to the endpoint of the runtime that no line here knows: newer than this table.
    UnknownRuntimeOperation, Runtime, Auxiliary, Bedrock, [];

    /// An agent answers.
    InvokeAgent, AgentRuntime, Agent, Anywhere, ["POST" "agents/{agent}/agentAliases/{alias}/sessions/{session}/text"];
    /// An agent told inline answers.
    InvokeInlineAgent, AgentRuntime, Agent, Bedrock, ["POST" "agents/{session}"];
    /// A flow runs.
    InvokeFlow, AgentRuntime, Auxiliary, Bedrock, ["POST" "flows/{flow}/aliases/{alias}"];
    /// A knowledge base is searched.
    Retrieve, AgentRuntime, Retrieval, Anywhere, ["POST" "knowledgebases/{knowledge_base}/retrieve"];
    /// A knowledge base is searched and a model answers from it.
    RetrieveAndGenerate, AgentRuntime, Chat, Anywhere, ["POST" "retrieveAndGenerate"];
    /// The same as a stream of events.
    RetrieveAndGenerateStream, AgentRuntime, Chat, Anywhere, ["POST" "retrieveAndGenerateStream"];
    /// A planned search, as a stream of events.
    AgenticRetrieveStream, AgentRuntime, Retrieval, Anywhere, ["POST" "agenticRetrieveStream"];
    /// Documents are put in order.
    Rerank, AgentRuntime, Ranking, Bedrock, ["POST" "rerank"];
    /// A question becomes a query.
    GenerateQuery, AgentRuntime, Auxiliary, Bedrock, ["POST" "generateQuery"];
    /// A prompt is reworded.
    OptimizePrompt, AgentRuntime, Auxiliary, Bedrock, ["POST" "optimize-prompt"];
    /// A flow runs in the background.
    StartFlowExecution, AgentRuntime, Auxiliary, Bedrock, ["POST" "flows/{flow}/aliases/{alias}/executions"];
    /// Flow executions, memories, sessions and their steps, documents of a knowledge base.
    AgentRuntimeResource, AgentRuntime, Housekeeping, Bedrock, [
        "GET" "flows/{flow}/executions", "GET" "flows/{flow}/aliases/{alias}/executions/{execution}",
        "POST" "flows/{flow}/aliases/{alias}/executions/{execution}/stop",
        "GET" "flows/{flow}/aliases/{alias}/executions/{execution}/events",
        "GET" "flows/{flow}/aliases/{alias}/executions/{execution}/flowsnapshot",
        "GET" "agents/{agent}/agentAliases/{alias}/memories", "DELETE" "agents/{agent}/agentAliases/{alias}/memories",
        "PUT" "sessions", "POST" "sessions", "GET" "sessions/{session}", "PUT" "sessions/{session}",
        "PATCH" "sessions/{session}", "DELETE" "sessions/{session}",
        "PUT" "sessions/{session}/invocations", "POST" "sessions/{session}/invocations",
        "PUT" "sessions/{session}/invocationSteps", "POST" "sessions/{session}/invocationSteps",
        "POST" "sessions/{session}/invocationSteps/{step}"
    ];

    /// A hosted agent answers.
    InvokeAgentRuntime, AgentCore, Agent, Anywhere, ["POST" "runtimes/{agent}/invocations"];
    /// A command runs where a hosted agent runs.
    InvokeAgentRuntimeCommand, AgentCore, Auxiliary, Bedrock, ["POST" "runtimes/{agent}/commands"];
    /// A managed agent loop answers.
    InvokeHarness, AgentCore, Agent, Bedrock, ["POST" "harnesses/invoke"];
    /// Code runs in a sandbox.
    InvokeCodeInterpreter, AgentCore, Tool, Anywhere, ["POST" "code-interpreters/{interpreter}/tools/invoke"];
    /// A browser takes a step.
    InvokeBrowser, AgentCore, Tool, Bedrock, ["POST" "browsers/{browser}/sessions/invoke"];
    /// The web is searched.
    InvokeWebSearch, AgentCore, Tool, Bedrock, ["POST" "web-search/{search}/invoke"];
    /// A memory is searched.
    RetrieveMemoryRecords, AgentCore, Retrieval, Bedrock, ["POST" "memories/{memory}/retrieve"];
    /// A message to a gateway, which speaks the Model Context Protocol.
    InvokeGateway, AgentCore, Tool, Bedrock, ["POST" "mcp"];
    /// Something is put into a memory.
    CreateEvent, AgentCore, Auxiliary, Bedrock, ["POST" "memories/{memory}/events"];
    /// Sessions of the sandbox and the browser.
    AgentCoreSession, AgentCore, Housekeeping, Bedrock, [
        "PUT" "code-interpreters/{interpreter}/sessions/start", "PUT" "code-interpreters/{interpreter}/sessions/stop",
        "GET" "code-interpreters/{interpreter}/sessions/get", "POST" "code-interpreters/{interpreter}/sessions/list",
        "PUT" "browsers/{browser}/sessions/start", "PUT" "browsers/{browser}/sessions/stop",
        "GET" "browsers/{browser}/sessions/get", "POST" "browsers/{browser}/sessions/list",
        "POST" "runtimes/{agent}/stopruntimesession"
    ];
}

impl Operation {
    /// Whether the answer is a stream by the operation's definition.
    pub fn streams(self) -> bool {
        matches!(
            self,
            Operation::ConverseStream
                | Operation::InvokeModelWithResponseStream
                | Operation::InvokeModelWithBidirectionalStream
                | Operation::InvokeAgent
                | Operation::InvokeInlineAgent
                | Operation::InvokeFlow
                | Operation::RetrieveAndGenerateStream
                | Operation::AgenticRetrieveStream
                | Operation::OptimizePrompt
                | Operation::InvokeHarness
                | Operation::InvokeCodeInterpreter
                | Operation::InvokeAgentRuntimeCommand
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_operation_has_a_path() {
        for operation in Operation::ALL {
            if *operation == Operation::UnknownRuntimeOperation {
                continue;
            }
            assert!(
                TABLE.iter().any(|entry| entry.operation == *operation),
                "{}",
                operation.name()
            );
        }
    }

    #[test]
    fn housekeeping_is_never_recognised_on_a_foreign_host() {
        for entry in TABLE {
            if entry.operation.purpose() == Purpose::Housekeeping {
                assert_eq!(entry.reach, Reach::Bedrock, "{}", entry.path);
            }
        }
    }
}
