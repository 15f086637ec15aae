//! Calls of which the request was not seen: what their answers tell about what was asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::event::{ConnectionKey, Monotonic};
use crate::http::{ExchangeNumber, Fields, RequestHead, ResponseHead, Version};

use super::super::body::Keep;
use super::super::family::Facts;
use super::super::json::{self, Json};
use super::super::operation::{Operation, Service};
use super::super::reading::Reading;
use super::super::route::{Resource, Route};
use super::super::settings::Settings;
use super::Exchange;
use super::answer::{Answer, EVENT_STREAM};

/// What is known where the request is not.
const UNKNOWN_ROUTE: Route = Route {
    operation: Operation::UnknownRuntimeOperation,
    service: Service::Runtime,
    region: None,
    server: None,
    resource: Resource {
        model: None,
        agent: None,
        alias: None,
        session: None,
        knowledge_base: None,
        guardrail: None,
        guardrail_version: None,
        flow: None,
        memory: None,
    },
};

impl Exchange {
    /// A call of which only the response is there, if that may be Bedrock's.
    pub(in super::super) fn of_response(
        connection: ConnectionKey,
        exchange: ExchangeNumber,
        head: &ResponseHead<'_>,
        time: Monotonic,
        settings: &Settings,
    ) -> Option<Self> {
        let fields = &head.fields;
        // Agents have both spellings.
        let says_so = fields.iter().any(|(name, _)| {
            let name = name.to_ascii_lowercase();
            ["x-amzn-bedrock-", "x-amz-bedrock-"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        let may_be = match fields.get("content-type") {
            Some(kind) => kind.to_ascii_lowercase().starts_with(EVENT_STREAM),
            // The body will tell.
            None => fields.is_partial(),
        };
        if !says_so && !may_be {
            return None;
        }
        let mut route = UNKNOWN_ROUTE;
        let told_by = [
            ("x-amz-bedrock-agent-session-id", Operation::InvokeAgent),
            ("x-amz-bedrock-flow-execution-id", Operation::InvokeFlow),
            (
                "x-amzn-bedrock-knowledge-base-session-id",
                Operation::RetrieveAndGenerateStream,
            ),
        ];
        if let Some((_, operation)) = told_by.iter().find(|(name, _)| fields.get(name).is_some()) {
            route.operation = *operation;
            route.service = operation.service();
        }
        let mut this = Self::unseen(connection, exchange, route, head.version, time, settings);
        this.is_certain = says_so;
        Some(this)
    }

    /// A call of which neither the request nor the head of the response is there: if its events are Bedrock's, it is one.
    pub(in super::super) fn of_body(
        connection: ConnectionKey,
        exchange: ExchangeNumber,
        time: Monotonic,
        settings: &Settings,
    ) -> Self {
        let mut this = Self::unseen(
            connection,
            exchange,
            UNKNOWN_ROUTE,
            Version::Http2,
            time,
            settings,
        );
        this.call.gaps.headers_unknown = true;
        this.call.streaming = true;
        this.answer = Answer::Frames(Box::default());
        this
    }

    fn unseen(
        connection: ConnectionKey,
        exchange: ExchangeNumber,
        route: Route,
        version: Version,
        time: Monotonic,
        settings: &Settings,
    ) -> Self {
        let head = RequestHead {
            method: "",
            target: "",
            version,
            fields: Fields::default(),
        };
        let mut this = Self::new(connection, exchange, route, &head, time, 0, settings);
        this.call.gaps.request_unseen = true;
        this.is_certain = false;
        this.first_chunk_missed = true;
        this
    }

    /// The body of an answer of which nothing else is known. What Converse answers has members that together nothing else has.
    pub(super) fn recognise_document(&mut self, body: Json<'_>) {
        let is_converse = ["output", "stopReason", "usage", "metrics"]
            .iter()
            .all(|name| body.member(name).is_some_and(|member| !member.is_null()));
        if is_converse {
            self.take_for(Operation::Converse);
        }
    }

    /// The first event of a stream without a request tells what was asked.
    pub(super) fn recognise_event(&mut self, event_type: &str, payload: &[u8]) {
        let operation = match event_type {
            "trace" | "returnControl" => Operation::InvokeAgent,
            "flowTraceEvent" | "flowOutputEvent" | "flowCompletionEvent" => Operation::InvokeFlow,
            // An agent's holds plain text, a model's JSON.
            "chunk" if !holds_json(payload) => Operation::InvokeAgent,
            "chunk" => Operation::InvokeModelWithResponseStream,
            "messageStart" | "contentBlockStart" | "contentBlockDelta" | "contentBlockStop"
            | "messageStop" | "metadata" => Operation::ConverseStream,
            _ => return,
        };
        self.take_for(operation);
    }

    fn take_for(&mut self, operation: Operation) {
        self.is_certain = true;
        self.call.route.operation = operation;
        self.call.route.service = operation.service();
        let Facts {
            server_latency_ms,
            response_model,
            ..
        } = std::mem::take(&mut self.reading.facts);
        self.reading = Reading::new(operation, None, self.keep == Keep::Content);
        self.reading.facts.server_latency_ms = server_latency_ms;
        self.reading.facts.response_model = response_model;
    }
}

/// Whether the bytes of a chunk are an object of JSON.
fn holds_json(payload: &[u8]) -> bool {
    let text = json::text(payload);
    let bytes = Json::new(&text).member("bytes").and_then(Json::string);
    bytes
        .and_then(|text| STANDARD.decode(text.as_bytes()).ok())
        .is_some_and(|bytes| Json::new(&json::text(&bytes)).is_object())
}
