//! From a call to a span: every attribute that the call can fill, and what makes it an error.

use std::borrow::Cow;
use std::sync::Arc;

use crate::bedrock::call::{Call, Gaps};
use crate::bedrock::family::Task;
use crate::bedrock::operation::Purpose;
use crate::bedrock::parameters::{OutputType, Parameters};
use crate::bedrock::stop::{Finish, StopReason};
use crate::event::{Host, Monotonic, Process};
use crate::http::{Completion, Phase};

use super::semconv::{self, error, finish, incomplete, operation, output};
use super::span::{Attribute, Span, SpanEvent, SpanKind, SpanStatus, Value};
use super::{content, ids};

/// The span of a call.
pub fn span_of(call: &Call, host: &Host, process: Arc<Process>) -> Span {
    let ids::Place {
        trace_id,
        span_id,
        parent,
    } = ids::place(&host.boot_id, &call.connection, call.exchange, &call.trace);
    let operation = operation_name(call);
    let failure = failure(call);
    let start_unix_ns = wall(host, call.timings.request);
    Span {
        process,
        trace_id,
        span_id,
        parent,
        name: name(call, operation),
        kind: SpanKind::Client,
        start_unix_ns,
        end_unix_ns: wall(host, call.timings.end).max(start_unix_ns),
        attributes: attributes(call, operation, failure.as_ref()),
        events: events(call, host),
        status: failure.map_or(SpanStatus::Unset, |failure| SpanStatus::Error {
            description: failure.description,
        }),
    }
}

/// Wall clock of a monotonic time.
fn wall(host: &Host, time: Monotonic) -> u64 {
    time.0.saturating_add_signed(host.wall_offset_ns)
}

/// `{operation} {model}`; what a search names is its source. Work without a `gen_ai` operation goes by AWS's name.
fn name(call: &Call, operation: Option<&'static str>) -> String {
    let resource = &call.route.resource;
    let Some(operation) = operation else {
        return call.route.operation.name().to_owned();
    };
    let target = match call.route.operation.purpose() {
        Purpose::Retrieval => resource.knowledge_base.as_deref(),
        Purpose::Chat | Purpose::Model | Purpose::Agent | Purpose::Auxiliary | Purpose::Housekeeping => {
            resource.model.as_deref()
        }
    };
    target.map_or_else(|| operation.to_owned(), |target| format!("{operation} {target}"))
}

/// The `gen_ai` operation; `None` where the convention has none.
fn operation_name(call: &Call) -> Option<&'static str> {
    match call.route.operation.purpose() {
        Purpose::Chat => Some(operation::CHAT),
        Purpose::Agent => Some(operation::INVOKE_AGENT),
        Purpose::Retrieval => Some(operation::RETRIEVAL),
        Purpose::Auxiliary | Purpose::Housekeeping => None,
        // Which kind of model it was, the request would have told.
        Purpose::Model if call.gaps.request_unseen && call.task.is_none() => None,
        Purpose::Model => Some(match call.task {
            Some(Task::Chat) | None => operation::CHAT,
            Some(Task::Completion) => operation::TEXT_COMPLETION,
            Some(Task::Embedding) => operation::EMBEDDINGS,
            Some(Task::Ranking) => operation::RERANK,
            Some(Task::Image) => operation::GENERATE_CONTENT,
        }),
    }
}

/// What failed: `error.type` and the status description.
struct Failed {
    kind: String,
    description: String,
}

fn failure(call: &Call) -> Option<Failed> {
    if let Some(failure) = &call.failure {
        return Some(Failed {
            kind: failure.code.clone(),
            description: failure.message.clone().unwrap_or_default(),
        });
    }
    // Where only one direction is seen, a response may well have come.
    if call.status.is_none()
        && !call.gaps.unpaired
        && matches!(
            call.completion,
            Completion::Closed(Phase::Request | Phase::Waiting)
        )
    {
        return Some(Failed {
            kind: error::CONNECTION_CLOSED.into(),
            description: "the connection was closed before a response came".into(),
        });
    }
    (call.completion == Completion::Complete && stream_was_cut(call)).then(|| Failed {
        kind: error::STREAM_TRUNCATED.into(),
        description: "the response ended without the event that ends an answer".into(),
    })
}

/// The stream is known to have ended early: nothing of it was missed here.
fn stream_was_cut(call: &Call) -> bool {
    let Gaps {
        no_stop_event,
        response_hole,
        undecodable,
        frames_broken,
        response_unreadable,
        beyond_cap,
        unpaired: _,
        headers_unknown: _,
        request_unseen: _,
        request_hole: _,
        request_unreadable: _,
    } = call.gaps;
    let missed = response_hole || undecodable || frames_broken || response_unreadable || beyond_cap;
    let over = matches!(call.completion, Completion::Complete | Completion::Closed(_));
    no_stop_event && over && !missed
}

/// Why each choice ended. Where a reason was due and none came, the convention says `error`.
fn finish_reasons(call: &Call) -> Vec<String> {
    let mapped: Vec<String> = call.stop_reasons.iter().map(finish_reason).collect();
    if !mapped.is_empty() {
        return mapped;
    }
    let generates = matches!(call.route.operation.purpose(), Purpose::Chat | Purpose::Model)
        && !matches!(call.task, Some(Task::Embedding | Task::Ranking));
    if !generates {
        Vec::new()
    } else if call.guardrail.intervened == Some(true) {
        vec![finish::CONTENT_FILTER.into()]
    } else if call.failure.is_some() || stream_was_cut(call) {
        vec![finish::ERROR.into()]
    } else {
        Vec::new()
    }
}

fn finish_reason(reason: &StopReason) -> String {
    match reason.finish() {
        Finish::Stop => finish::STOP.into(),
        Finish::Length => finish::LENGTH.into(),
        Finish::ToolCall => finish::TOOL_CALL.into(),
        Finish::ContentFilter => finish::CONTENT_FILTER.into(),
        Finish::Error => finish::ERROR.into(),
        Finish::Other(word) => word.to_owned(),
    }
}

fn attributes(call: &Call, operation: Option<&'static str>, failed: Option<&Failed>) -> Vec<Attribute> {
    let mut list = List::default();
    let resource = &call.route.resource;
    let finish_reasons = finish_reasons(call);

    list.text(semconv::OPERATION_NAME, operation);
    list.text(semconv::PROVIDER_NAME, operation.map(|_| semconv::PROVIDER));
    list.string(semconv::REQUEST_MODEL, resource.model.as_ref());
    parameters(&mut list, call);
    list.truth(
        semconv::REQUEST_STREAM,
        (call.streaming && operation.is_some()).then_some(true),
    );
    if let Some((name, version)) = resource.model.as_deref().and_then(managed_prompt) {
        list.string(semconv::PROMPT_NAME, Some(name));
        list.string(semconv::PROMPT_VERSION, version);
    }

    list.string(semconv::RESPONSE_ID, call.response_id.as_ref());
    list.string(semconv::RESPONSE_MODEL, call.response_model.as_ref());
    list.strings(semconv::RESPONSE_FINISH_REASONS, finish_reasons.clone());
    if call.streaming {
        list.double(
            semconv::RESPONSE_TIME_TO_FIRST_CHUNK,
            call.timings
                .first_chunk
                .map(|time| seconds(time.0.saturating_sub(call.timings.request.0))),
        );
    }
    usage(&mut list, call);

    list.string(semconv::CONVERSATION_ID, call.session.as_ref());
    list.string(semconv::SESSION_ID, call.session.as_ref());
    list.string(semconv::AGENT_ID, resource.agent.as_ref());
    list.string(semconv::DATA_SOURCE_ID, resource.knowledge_base.as_ref());
    list.string(semconv::KNOWLEDGE_BASE_ID, resource.knowledge_base.as_ref());
    list.string(semconv::GUARDRAIL_ID, call.guardrail.id.as_ref());
    list.string(semconv::GUARDRAIL_VERSION, call.guardrail.version.as_ref());
    list.truth(semconv::GUARDRAIL_INTERVENED, call.guardrail.intervened);

    list.string(semconv::ERROR_TYPE, failed.map(|failed| &failed.kind));
    if let Some(server) = &call.route.server {
        list.string(semconv::SERVER_ADDRESS, Some(&server.address));
        list.count(semconv::SERVER_PORT, Some(server.port.into()));
    }
    list.string(semconv::CLOUD_REGION, call.route.region.as_ref());
    list.string(semconv::AWS_REQUEST_ID, call.request_id.as_ref());
    list.text(semconv::RPC_SYSTEM, Some(semconv::RPC_AWS));
    list.text(semconv::RPC_SERVICE, Some(call.route.service.name()));
    list.text(semconv::RPC_METHOD, Some(call.route.operation.name()));
    list.count(semconv::HTTP_STATUS, call.status.map(u64::from));
    list.count(
        semconv::HTTP_RESEND_COUNT,
        Some(call.attempt.resends).filter(|resends| *resends > 0),
    );
    // That of the request.
    list.count(
        semconv::THREAD_ID,
        (!call.gaps.request_unseen).then_some(call.thread.into()),
    );

    list.strings(
        semconv::STOP_REASONS,
        call.stop_reasons
            .iter()
            .map(|reason| reason.wire.clone())
            .collect(),
    );
    list.strings(
        semconv::TOOL_CALL_NAMES,
        call.tool_calls
            .iter()
            .map(|tool| tool.name.clone().unwrap_or_default())
            .collect(),
    );
    list.strings(
        semconv::TOOL_CALL_IDS,
        call.tool_calls
            .iter()
            .map(|tool| tool.id.clone().unwrap_or_default())
            .collect(),
    );
    list.double(
        semconv::SERVER_DURATION,
        call.server_latency_ms
            .map(|milliseconds| seconds(milliseconds.saturating_mul(1_000_000))),
    );
    list.string(semconv::INVOCATION_ID, call.attempt.invocation_id.as_ref());
    list.strings(semconv::INCOMPLETE, incomplete_reasons(call));

    if let Some(said) = &call.content {
        let rendered = content::render(said, &finish_reasons);
        list.string(semconv::INPUT_MESSAGES, rendered.input);
        list.string(semconv::OUTPUT_MESSAGES, rendered.output);
        list.string(semconv::SYSTEM_INSTRUCTIONS, rendered.system);
        list.string(semconv::TOOL_DEFINITIONS, rendered.tools);
        list.truth(semconv::CONTENT_CUT, said.cut().then_some(true));
    }
    list.0
}

fn parameters(list: &mut List, call: &Call) {
    let Parameters {
        max_tokens,
        temperature,
        top_p,
        top_k,
        stop_sequences,
        seed,
        choice_count,
        frequency_penalty,
        presence_penalty,
        reasoning_level,
        output,
    } = &call.parameters;
    list.count(semconv::REQUEST_MAX_TOKENS, *max_tokens);
    list.double(semconv::REQUEST_TEMPERATURE, *temperature);
    list.double(semconv::REQUEST_TOP_P, *top_p);
    list.whole_or_double(semconv::REQUEST_TOP_K, *top_k);
    list.strings(semconv::REQUEST_STOP_SEQUENCES, stop_sequences.clone());
    list.push(semconv::REQUEST_SEED, seed.map(Value::Int));
    list.count(
        semconv::REQUEST_CHOICE_COUNT,
        choice_count.filter(|count| *count != 1),
    );
    list.double(semconv::REQUEST_FREQUENCY_PENALTY, *frequency_penalty);
    list.double(semconv::REQUEST_PRESENCE_PENALTY, *presence_penalty);
    list.string(semconv::REQUEST_REASONING_LEVEL, reasoning_level.as_ref());
    let output = match (output, call.task) {
        (Some(OutputType::Text), _) => Some(output::TEXT),
        (Some(OutputType::Json), _) => Some(output::JSON),
        (Some(OutputType::Image), _) | (None, Some(Task::Image)) => Some(output::IMAGE),
        (None, _) => None,
    };
    list.text(semconv::OUTPUT_TYPE, output);
}

fn usage(list: &mut List, call: &Call) {
    let usage = call.usage;
    let input = usage.input_with_cache();
    list.count(semconv::USAGE_INPUT_TOKENS, input);
    list.count(semconv::USAGE_OUTPUT_TOKENS, usage.output);
    list.count(
        semconv::USAGE_TOTAL,
        input
            .zip(usage.output)
            .map(|(input, output)| input.saturating_add(output)),
    );
    list.count(semconv::USAGE_CACHE_READ, usage.cache_read);
    list.count(semconv::USAGE_CACHE_CREATION, usage.cache_write);
    list.count(semconv::USAGE_REASONING, usage.reasoning);
}

/// Id and version of `arn:aws:bedrock:REGION:ACCOUNT:prompt/ID:VERSION`.
fn managed_prompt(model: &str) -> Option<(&str, Option<&str>)> {
    if !model.starts_with("arn:") {
        return None;
    }
    let (_, prompt) = model.split_once(":prompt/")?;
    Some(match prompt.split_once(':') {
        Some((id, version)) => (id, Some(version)),
        None => (prompt, None),
    })
}

fn incomplete_reasons(call: &Call) -> Vec<String> {
    let Gaps {
        request_unseen,
        unpaired,
        headers_unknown,
        request_hole,
        response_hole,
        undecodable,
        frames_broken,
        request_unreadable,
        response_unreadable,
        beyond_cap,
        no_stop_event,
    } = call.gaps;
    let completion = match call.completion {
        Completion::Complete => None,
        Completion::Closed(_) => Some(incomplete::CLOSED),
        Completion::Desynchronised(_) => Some(incomplete::DESYNCHRONISED),
        Completion::TimedOut(_) => Some(incomplete::TIMED_OUT),
        Completion::TracingStopped(_) => Some(incomplete::TRACING_STOPPED),
        Completion::Evicted(_) => Some(incomplete::EVICTED),
        Completion::Upgraded => Some(incomplete::UPGRADED),
    };
    [
        (request_unseen, incomplete::REQUEST_UNSEEN),
        (headers_unknown, incomplete::HEADERS_UNKNOWN),
        (unpaired, incomplete::UNPAIRED),
        (request_hole, incomplete::REQUEST_HOLE),
        (response_hole, incomplete::RESPONSE_HOLE),
        (undecodable, incomplete::UNDECODABLE),
        (frames_broken, incomplete::FRAMES_BROKEN),
        (request_unreadable, incomplete::REQUEST_UNREADABLE),
        (response_unreadable, incomplete::RESPONSE_UNREADABLE),
        (beyond_cap, incomplete::BEYOND_CAP),
        (no_stop_event, incomplete::NO_STOP_EVENT),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .map(|(_, reason)| reason)
    .chain(completion)
    .map(str::to_owned)
    .collect()
}

/// A failure inside a stream happened at a time of its own.
fn events(call: &Call, host: &Host) -> Vec<SpanEvent> {
    call.failure
        .iter()
        .filter_map(|failure| {
            let time = failure.in_stream?;
            let mut list = List::default();
            list.string(semconv::EXCEPTION_TYPE, Some(&failure.code));
            list.string(semconv::EXCEPTION_MESSAGE, failure.message.as_ref());
            Some(SpanEvent {
                name: semconv::EXCEPTION_EVENT,
                time_unix_ns: wall(host, time),
                attributes: list.0,
            })
        })
        .collect()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a duration of seconds needs no more than 53 bits"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Attributes; what is unknown is left out.
#[derive(Default)]
struct List(Vec<Attribute>);

impl List {
    fn push(&mut self, key: &'static str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.push(Attribute { key, value });
        }
    }

    fn text(&mut self, key: &'static str, value: Option<&'static str>) {
        self.push(key, value.map(|text| Value::String(Cow::Borrowed(text))));
    }

    fn string(&mut self, key: &'static str, value: Option<impl Into<String>>) {
        self.push(key, value.map(|text| Value::String(Cow::Owned(text.into()))));
    }

    fn strings(&mut self, key: &'static str, values: Vec<String>) {
        self.push(key, (!values.is_empty()).then_some(Value::Strings(values)));
    }

    fn count(&mut self, key: &'static str, value: Option<u64>) {
        self.push(
            key,
            value.map(|count| Value::Int(i64::try_from(count).unwrap_or(i64::MAX))),
        );
    }

    fn double(&mut self, key: &'static str, value: Option<f64>) {
        self.push(key, value.map(Value::Double));
    }

    fn truth(&mut self, key: &'static str, value: Option<bool>) {
        self.push(key, value.map(Value::Bool));
    }

    /// A number that is whole as a rule.
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    fn whole_or_double(&mut self, key: &'static str, value: Option<f64>) {
        self.push(
            key,
            value.map(|number| {
                if number.fract() == 0.0 && number.abs() < 1e15 {
                    Value::Int(number as i64)
                } else {
                    Value::Double(number)
                }
            }),
        );
    }
}
