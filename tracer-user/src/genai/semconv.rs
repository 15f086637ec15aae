//! Every name that a span may carry: the `gen_ai` conventions of OpenTelemetry, what AWS instrumentations already use, and
//! geophone's own under `geophone.`.
//!
//! Nothing else spells a name, and `docs/signals.md` tells of each; a test compares the two.

/// A constant for each name, and a list of them all.
macro_rules! names {
    ($list:ident $list_doc:literal $($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        $($(#[$doc])* pub const $name: &str = $text;)+

        #[doc = $list_doc]
        pub const $list: &[&str] = &[$($name),+];
    };
}

names! { ATTRIBUTES "Every attribute, on spans and their events."

    /// What kind of work.
    OPERATION_NAME = "gen_ai.operation.name";
    /// Always [`PROVIDER`].
    PROVIDER_NAME = "gen_ai.provider.name";
    /// Model as asked for.
    REQUEST_MODEL = "gen_ai.request.model";
    /// Most tokens to answer with.
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens";
    /// Sampling temperature.
    REQUEST_TEMPERATURE = "gen_ai.request.temperature";
    /// Nucleus sampling.
    REQUEST_TOP_P = "gen_ai.request.top_p";
    /// Sampling from the best k.
    REQUEST_TOP_K = "gen_ai.request.top_k";
    /// Texts that end the answer.
    REQUEST_STOP_SEQUENCES = "gen_ai.request.stop_sequences";
    /// Seed of the sampler.
    REQUEST_SEED = "gen_ai.request.seed";
    /// How many answers, unless one.
    REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count";
    /// Penalty on frequent tokens.
    REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty";
    /// Penalty on tokens already there.
    REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty";
    /// Effort of reasoning.
    REQUEST_REASONING_LEVEL = "gen_ai.request.reasoning.level";
    /// Dimensions of the vectors asked for.
    EMBEDDINGS_DIMENSIONS = "gen_ai.embeddings.dimension.count";
    /// Forms of the vectors asked for.
    REQUEST_ENCODING_FORMATS = "gen_ai.request.encoding_formats";
    /// `true` for a streamed answer.
    REQUEST_STREAM = "gen_ai.request.stream";
    /// Form of answer asked for.
    OUTPUT_TYPE = "gen_ai.output.type";
    /// Id of a managed prompt.
    PROMPT_NAME = "gen_ai.prompt.name";
    /// Version of a managed prompt.
    PROMPT_VERSION = "gen_ai.prompt.version";
    /// Id of the answer.
    RESPONSE_ID = "gen_ai.response.id";
    /// Model that answered.
    RESPONSE_MODEL = "gen_ai.response.model";
    /// Why each choice ended.
    RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons";
    /// Seconds from the request's first byte to the answer's first piece.
    RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk";
    /// Input tokens, cached ones among them.
    USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens";
    /// Output tokens.
    USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    /// Input tokens read from a cache.
    USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens";
    /// Input tokens written to a cache, by the name until v1.41.
    USAGE_CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens";
    /// The same by the name after v1.41.
    USAGE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens";
    /// Output tokens spent on reasoning.
    USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens";
    /// Input and output tokens.
    USAGE_TOTAL = "gen_ai.usage.total_tokens";
    /// What the call costs by list price.
    COST_USD = "llm.cost.usd";
    /// Why there is no cost.
    COST_UNPRICED = "geophone.cost.unpriced";
    /// Conversation.
    CONVERSATION_ID = "gen_ai.conversation.id";
    /// Agent.
    AGENT_ID = "gen_ai.agent.id";
    /// Its name.
    AGENT_NAME = "gen_ai.agent.name";
    /// Its version.
    AGENT_VERSION = "gen_ai.agent.version";
    /// Its alias.
    AGENT_ALIAS = "geophone.agent.alias";
    /// Memory by which it knows the user.
    AGENT_MEMORY = "geophone.agent.memory";
    /// Part of an agent's loop.
    AGENT_PHASE = "geophone.agent.phase";
    /// Invocation that an agent handed over: its caller is to run the tools.
    HANDED_OVER = "geophone.agent.handed_over";
    /// Invocation whose results a request brings back.
    BROUGHT_BACK = "geophone.agent.brought_back";
    /// Files in the answer.
    RESPONSE_FILES = "geophone.response.files";
    /// Tool that ran.
    TOOL_NAME = "gen_ai.tool.name";
    /// Id of its call.
    TOOL_CALL_ID = "gen_ai.tool.call.id";
    /// Where it runs.
    TOOL_TYPE = "gen_ai.tool.type";
    /// What it was called with.
    TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments";
    /// What it said.
    TOOL_CALL_RESULT = "gen_ai.tool.call.result";
    /// Question of a search.
    RETRIEVAL_QUERY = "gen_ai.retrieval.query.text";
    /// What was found.
    RETRIEVAL_FOUND = "gen_ai.retrieval.documents";
    /// How many documents were found.
    RETRIEVAL_DOCUMENTS = "geophone.retrieval.document_count";
    /// How many documents are asked for, by the name after v1.41.
    RETRIEVAL_TOP_K = "gen_ai.retrieval.top_k";
    /// Flow.
    FLOW_ID = "geophone.flow.id";
    /// One run of a flow.
    FLOW_EXECUTION = "geophone.flow.execution_id";
    /// How a flow ended.
    FLOW_COMPLETION = "geophone.flow.completion";
    /// Node of a flow, or stage of a planned search.
    NODE_NAME = "geophone.node.name";
    /// User on whose behalf a hosted agent is called.
    USER_ID = "user.id";
    /// Message of the Model Context Protocol.
    MCP_METHOD = "mcp.method.name";
    /// Its session.
    MCP_SESSION = "mcp.session.id";
    /// Its version.
    MCP_VERSION = "mcp.protocol.version";
    /// Id of the message.
    JSONRPC_ID = "jsonrpc.request.id";
    /// Knowledge base searched.
    DATA_SOURCE_ID = "gen_ai.data_source.id";
    /// Conversation sent.
    INPUT_MESSAGES = "gen_ai.input.messages";
    /// Answer.
    OUTPUT_MESSAGES = "gen_ai.output.messages";
    /// System instructions.
    SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions";
    /// Tools offered.
    TOOL_DEFINITIONS = "gen_ai.tool.definitions";
    /// Guardrail asked for.
    GUARDRAIL_ID = "aws.bedrock.guardrail.id";
    /// Knowledge base.
    KNOWLEDGE_BASE_ID = "aws.bedrock.knowledge_base.id";
    /// AWS request id.
    AWS_REQUEST_ID = "aws.request_id";
    /// The same as the conversation, by the name other tools look for.
    SESSION_ID = "session.id";
    /// Where the session was told.
    SESSION_SOURCE = "geophone.session.source";
    /// AWS region.
    CLOUD_REGION = "cloud.region";
    /// Kind of failure.
    ERROR_TYPE = "error.type";
    /// Server.
    SERVER_ADDRESS = "server.address";
    /// Its port.
    SERVER_PORT = "server.port";
    /// HTTP status.
    HTTP_STATUS = "http.response.status_code";
    /// How many attempts came before.
    HTTP_RESEND_COUNT = "http.request.resend_count";
    /// Always [`RPC_AWS`].
    RPC_SYSTEM = "rpc.system";
    /// AWS service.
    RPC_SERVICE = "rpc.service";
    /// AWS operation.
    RPC_METHOD = "rpc.method";
    /// Thread that wrote the request.
    THREAD_ID = "thread.id";
    /// Type of an exception.
    EXCEPTION_TYPE = "exception.type";
    /// Its message.
    EXCEPTION_MESSAGE = "exception.message";
    /// Why some of the call is missing here.
    INCOMPLETE = "geophone.incomplete";
    /// Stop reasons in the provider's words.
    STOP_REASONS = "geophone.response.stop_reasons";
    /// Names of the tools that the model asks for.
    TOOL_CALL_NAMES = "geophone.response.tool_call.names";
    /// Their ids.
    TOOL_CALL_IDS = "geophone.response.tool_call.ids";
    /// Version of the guardrail asked for.
    GUARDRAIL_VERSION = "geophone.guardrail.version";
    /// Whether it stepped in.
    GUARDRAIL_INTERVENED = "geophone.guardrail.intervened";
    /// Why it did, in the service's words.
    GUARDRAIL_REASON = "geophone.guardrail.reason";
    /// What it found: policy, rule, action.
    GUARDRAIL_FINDINGS = "geophone.guardrail.findings";
    /// Units of text it looked at, by policy.
    GUARDRAIL_UNITS = "geophone.guardrail.units";
    /// Seconds it took.
    GUARDRAIL_DURATION = "geophone.guardrail.duration";
    /// Whether it was asked about an input or an output.
    GUARDRAIL_SOURCE = "geophone.guardrail.source";
    /// Tokens that a request would be.
    COUNTED_TOKENS = "geophone.counted_tokens";
    /// A job that runs by itself.
    JOB_ARN = "geophone.job.arn";
    /// How it stands.
    JOB_STATUS = "geophone.job.status";
    /// Why it failed.
    JOB_FAILURE = "geophone.job.failure";
    /// Where its result goes.
    JOB_OUTPUT = "geophone.job.output";
    /// Which kind of thing the model id names.
    MODEL_KIND = "geophone.model.kind";
    /// Where a cross-region profile runs.
    MODEL_GEOGRAPHY = "geophone.model.geography";
    /// The model behind the id, where the id says it.
    MODEL_BASE = "geophone.model.base";
    /// Tier of service.
    SERVICE_TIER = "geophone.service_tier";
    /// The faster hardware served.
    LATENCY_OPTIMISED = "geophone.latency_optimised";
    /// Seconds that Bedrock says it took.
    SERVER_DURATION = "geophone.server.duration";
    /// The same for all attempts of one call.
    INVOCATION_ID = "geophone.sdk.invocation_id";
    /// How many attempts of the call were throttled.
    ATTEMPTS_THROTTLED = "geophone.attempts.throttled";
    /// Nothing told of it: it is concluded from the calls around it.
    INFERRED = "geophone.inferred";
    /// How many calls of a model a loop has.
    LOOP_CALLS = "geophone.loop.inference_calls";
    /// How many tools ran in it.
    LOOP_TOOLS = "geophone.loop.tool_calls";
    /// Seconds that passed between attempts.
    ATTEMPTS_BACKOFF = "geophone.attempts.backoff";
    /// Seconds that an attempt took.
    ATTEMPT_DURATION = "geophone.attempt.duration";
    /// Seconds between the attempt before and this one.
    ATTEMPT_DELAY = "geophone.attempt.delay";
    /// Some of the content was cut.
    CONTENT_CUT = "geophone.content.cut";
    /// Rules that took something out.
    REDACTED = "geophone.redacted";
}

names! { METRICS "Every metric made of calls."

    /// Tokens of a call, by the name until v1.41.
    METRIC_TOKEN_USAGE = "gen_ai.client.token.usage";
    /// Duration of a call; after v1.41 of calls that are neither inference nor embeddings.
    METRIC_OPERATION_DURATION = "gen_ai.client.operation.duration";
    /// Time to the first piece of a stream, by the name until v1.41.
    METRIC_OPERATION_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk";
    /// Time between its pieces, likewise.
    METRIC_OPERATION_CHUNK = "gen_ai.client.operation.time_per_output_chunk";
    /// Duration of inference, after v1.41.
    METRIC_INFERENCE_DURATION = "gen_ai.client.inference.duration";
    /// Time to the first piece of a stream, after v1.41.
    METRIC_INFERENCE_FIRST_CHUNK = "gen_ai.client.inference.time_to_first_chunk";
    /// Time between its pieces, likewise.
    METRIC_INFERENCE_CHUNK = "gen_ai.client.inference.time_per_output_chunk";
    /// Sum of input tokens, after v1.41.
    METRIC_INFERENCE_INPUT = "gen_ai.client.inference.usage.input_tokens";
    /// Sum of output tokens, likewise.
    METRIC_INFERENCE_OUTPUT = "gen_ai.client.inference.usage.output_tokens";
    /// Sum of input tokens read from a cache, likewise.
    METRIC_INFERENCE_CACHE_READ = "gen_ai.client.inference.usage.cache_read.input_tokens";
    /// Sum of input tokens written to a cache, likewise.
    METRIC_INFERENCE_CACHE_WRITE = "gen_ai.client.inference.usage.cache_write.input_tokens";
    /// Sum of output tokens spent on reasoning, likewise.
    METRIC_INFERENCE_REASONING = "gen_ai.client.inference.usage.reasoning.output_tokens";
    /// Input tokens of a call, after v1.41.
    METRIC_INFERENCE_CALL_INPUT = "gen_ai.client.inference.operation.input_tokens";
    /// Output tokens of a call, likewise.
    METRIC_INFERENCE_CALL_OUTPUT = "gen_ai.client.inference.operation.output_tokens";
    /// Duration of embeddings, after v1.41.
    METRIC_EMBEDDINGS_DURATION = "gen_ai.client.embeddings.duration";
    /// Input tokens of a call for embeddings, likewise.
    METRIC_EMBEDDINGS_CALL_INPUT = "gen_ai.client.embeddings.operation.input_tokens";
    /// Sum of costs.
    METRIC_COST = "llm.cost.usd";
    /// Calls without a cost.
    METRIC_UNPRICED = "geophone.cost.unpriced_calls";
}

names! { METRIC_ATTRIBUTES "Every attribute that only metrics have."

    /// Input or output.
    TOKEN_TYPE = "gen_ai.token.type";
    /// What the tokens stand for.
    TOKEN_MODALITY = "gen_ai.token.modality";
    /// Kind of token that the cost is of.
    COST_COMPONENT = "geophone.cost.component";
    /// `true` on the one point that holds all sets of attributes beyond the cap.
    OVERFLOW = "otel.metric.overflow";
    /// Why something was dropped, or what a connection is.
    REASON = "geophone.reason";
    /// How a process stands.
    VERDICT = "geophone.verdict";
    /// TLS library.
    LIBRARY = "geophone.library";
    /// Outlet of spans.
    OUTLET = "geophone.outlet";
    /// Table of geophone's own.
    TABLE = "geophone.table";
    /// Release of geophone.
    BUILD_VERSION = "geophone.version";
    /// Processor it was built for.
    BUILD_ARCHITECTURE = "geophone.architecture";
    /// What was built in beside the standard.
    BUILD_FEATURES = "geophone.features";
}

/// What every metric of geophone's own health begins with.
pub const OWN_PREFIX: &str = "geophone.";

/// Values of [`TOKEN_TYPE`], and with those of caches of [`COST_COMPONENT`].
pub mod token {
    /// Input tokens.
    pub const INPUT: &str = "input";
    /// Output tokens.
    pub const OUTPUT: &str = "output";
    /// Read from a cache.
    pub const CACHE_READ: &str = "cache_read";
    /// Written to a cache.
    pub const CACHE_WRITE: &str = "cache_write";
    /// Value of [`TOKEN_MODALITY`](super::TOKEN_MODALITY): Bedrock does not tell text from images.
    pub const UNKNOWN: &str = "unknown";
}

names! { EVENTS "Every event of a span."

    /// An event-stream told of a failure.
    EXCEPTION_EVENT = "exception";
    /// What was said in a call.
    DETAILS_EVENT = "gen_ai.client.inference.operation.details";
    /// One of several attempts of the call.
    ATTEMPT_EVENT = "geophone.attempt";
}

/// Value of [`PROVIDER_NAME`].
pub const PROVIDER: &str = "aws.bedrock";

/// Value of [`RPC_SYSTEM`].
pub const RPC_AWS: &str = "aws-api";

/// Values of [`OPERATION_NAME`].
pub mod operation {
    /// A conversation.
    pub const CHAT: &str = "chat";
    /// A text is carried on.
    pub const TEXT_COMPLETION: &str = "text_completion";
    /// An image.
    pub const GENERATE_CONTENT: &str = "generate_content";
    /// Vectors.
    pub const EMBEDDINGS: &str = "embeddings";
    /// An agent is asked.
    pub const INVOKE_AGENT: &str = "invoke_agent";
    /// A tool runs.
    pub const EXECUTE_TOOL: &str = "execute_tool";
    /// A knowledge base is searched.
    pub const RETRIEVAL: &str = "retrieval";
    /// Documents are put in order; the convention has no word for it.
    pub const RERANK: &str = "rerank";
}

/// Values of [`RESPONSE_FINISH_REASONS`].
pub mod finish {
    /// The answer is whole.
    pub const STOP: &str = "stop";
    /// A limit ended it.
    pub const LENGTH: &str = "length";
    /// The model asks for tools.
    pub const TOOL_CALL: &str = "tool_call";
    /// A filter ended it.
    pub const CONTENT_FILTER: &str = "content_filter";
    /// None came where one was due.
    pub const ERROR: &str = "error";
}

/// Values of [`OUTPUT_TYPE`].
pub mod output {
    /// Plain text.
    pub const TEXT: &str = "text";
    /// JSON.
    pub const JSON: &str = "json";
    /// An image.
    pub const IMAGE: &str = "image";
    /// Speech.
    pub const SPEECH: &str = "speech";
}

/// Values of [`ERROR_TYPE`] that no server gives.
pub mod error {
    /// The connection ended before a response came.
    pub const CONNECTION_CLOSED: &str = "connection_closed";
    /// The response ended without the event that ends an answer.
    pub const STREAM_TRUNCATED: &str = "stream_truncated";
    /// A hosted agent gave up and named no code.
    pub const AGENT_FAILURE: &str = "agent_failure";
    /// Code that an agent ran ended with an error.
    pub const EXECUTION_ERROR: &str = "execution_error";
    /// Code that an agent ran took too long.
    pub const EXECUTION_TIMEOUT: &str = "execution_timeout";
    /// A tool, or whoever ran it, says that it failed; the word is that of the conventions for MCP.
    pub const TOOL_ERROR: &str = "tool_error";
    /// Every value.
    pub const ALL: [&str; 6] = [
        TOOL_ERROR,
        CONNECTION_CLOSED,
        STREAM_TRUNCATED,
        AGENT_FAILURE,
        EXECUTION_ERROR,
        EXECUTION_TIMEOUT,
    ];
}

/// Values of [`TOOL_TYPE`].
pub mod tool {
    /// Run on the agent's side.
    pub const EXTENSION: &str = "extension";
    /// Run on the caller's side.
    pub const FUNCTION: &str = "function";
}

/// What the names of spans begin with that are nodes.
pub mod node {
    /// Of a flow.
    pub const FLOW: &str = "flow_node";
    /// Of a planned search.
    pub const SEARCH: &str = "search_stage";
}

/// Values of [`AGENT_PHASE`].
pub mod phase {
    /// The input is looked at before anything is done.
    pub const PRE_PROCESSING: &str = "pre_processing";
    /// The loop proper.
    pub const ORCHESTRATION: &str = "orchestration";
    /// A supervisor decides who is to answer.
    pub const ROUTING_CLASSIFIER: &str = "routing_classifier";
    /// The answer is reworded.
    pub const POST_PROCESSING: &str = "post_processing";
    /// A guardrail looks at input or answer.
    pub const GUARDRAIL: &str = "guardrail";
    /// Every value.
    pub const ALL: [&str; 5] = [
        PRE_PROCESSING,
        ORCHESTRATION,
        ROUTING_CLASSIFIER,
        POST_PROCESSING,
        GUARDRAIL,
    ];
}

/// Values of [`SESSION_SOURCE`].
pub mod session_source {
    /// A header of the response.
    pub const RESPONSE_HEADER: &str = "response_header";
    /// A header of the request that the service reads.
    pub const REQUEST_HEADER: &str = "request_header";
    /// The path.
    pub const PATH: &str = "path";
    /// A member of a body.
    pub const BODY: &str = "body";
    /// A request header that the user named.
    pub const NAMED_HEADER: &str = "named_header";
    /// The request's metadata.
    pub const REQUEST_METADATA: &str = "request_metadata";
    /// The `baggage` header.
    pub const BAGGAGE: &str = "baggage";
}

/// Values of [`INCOMPLETE`].
pub mod incomplete {
    /// The request was not seen, or its head was not understood.
    pub const REQUEST_UNSEEN: &str = "request_unseen";
    /// Some header fields could not be understood.
    pub const HEADERS_UNKNOWN: &str = "headers_unknown";
    /// The other direction of the connection could not be found.
    pub const UNPAIRED: &str = "unpaired";
    /// Bytes of the request were not seen.
    pub const REQUEST_HOLE: &str = "request_hole";
    /// Bytes of the response were not seen.
    pub const RESPONSE_HOLE: &str = "response_hole";
    /// A content coding could not be undone.
    pub const UNDECODABLE: &str = "undecodable";
    /// Frames of the event-stream were broken.
    pub const FRAMES_BROKEN: &str = "frames_broken";
    /// The request body was not what its operation asks for.
    pub const REQUEST_UNREADABLE: &str = "request_unreadable";
    /// The response body was not what its operation gives.
    pub const RESPONSE_UNREADABLE: &str = "response_unreadable";
    /// A body was larger than what is looked into.
    pub const BEYOND_CAP: &str = "beyond_cap";
    /// The stream ended without the event that ends an answer.
    pub const NO_STOP_EVENT: &str = "no_stop_event";
    /// Attempts before this one are not on this span.
    pub const ATTEMPTS_UNSEEN: &str = "attempts_unseen";
    /// Some of what a step consisted of may be missing.
    pub const PARTS_UNSEEN: &str = "parts_unseen";
    /// How a step ended was not told.
    pub const OUTCOME_UNSEEN: &str = "outcome_unseen";
    /// A loop was not seen to come to an answer.
    pub const LOOP_UNFINISHED: &str = "loop_unfinished";
    /// The connection was closed early.
    pub const CLOSED: &str = "closed";
    /// The bytes stopped being HTTP.
    pub const DESYNCHRONISED: &str = "desynchronised";
    /// It was given up after a long silence.
    pub const TIMED_OUT: &str = "timed_out";
    /// Tracing stopped first.
    pub const TRACING_STOPPED: &str = "tracing_stopped";
    /// It had to make room.
    pub const EVICTED: &str = "evicted";
    /// The connection left HTTP.
    pub const UPGRADED: &str = "upgraded";
    /// Every value.
    pub const ALL: [&str; 18] = [
        PARTS_UNSEEN,
        OUTCOME_UNSEEN,
        LOOP_UNFINISHED,
        REQUEST_HOLE,
        RESPONSE_HOLE,
        UNDECODABLE,
        FRAMES_BROKEN,
        REQUEST_UNREADABLE,
        RESPONSE_UNREADABLE,
        BEYOND_CAP,
        NO_STOP_EVENT,
        ATTEMPTS_UNSEEN,
        CLOSED,
        DESYNCHRONISED,
        TIMED_OUT,
        TRACING_STOPPED,
        EVICTED,
        UPGRADED,
    ];
}
