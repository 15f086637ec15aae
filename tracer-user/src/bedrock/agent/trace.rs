//! Reads the trace of an agent, event by event, into the ledger (`TracePart` and `Trace` of the service model).

use crate::event::Monotonic;

use super::super::body::{Body, Keep};
use super::super::failure;
use super::super::family::{Facts, Family};
use super::super::json::{Json, Malformed};
use super::super::parameters::Parameters;
use super::clock::{Moment, ServerTime};
use super::ledger::{Event, Ledger, Outcome, Teller};
use super::said::Saying;
use super::step::{AgentWork, Fault, GuardrailWork, ModelWork, Phase, RetrievalWork, ToolWork, Work};
use crate::http::BodyPart;

/// Longest chain of agents looked at.
const MAX_CHAIN: usize = 64;

/// What a trace says that is not a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Said {
    /// Version of the agent that the client called.
    pub(super) version: Option<String>,
    /// Why it gave up, and when.
    pub(super) failure: Option<(Fault, Monotonic)>,
    /// Whether a guardrail stepped in for it.
    pub(super) intervened: Option<bool>,
}

/// Reads one `TracePart`.
pub(super) fn part(
    payload: Json<'_>,
    arrival: Monotonic,
    ledger: &mut Ledger,
    said: &mut Said,
) -> Result<(), Malformed> {
    let mut teller = Teller::default();
    let mut server = None;
    let mut trace = None;
    let end = payload.members(|name, value| match name {
        "callerChain" => {
            let _broken = value.items(|caller| {
                if teller.chain.len() < MAX_CHAIN {
                    teller
                        .chain
                        .extend(caller.member("agentAliasArn").and_then(Json::text));
                }
            });
        }
        "collaboratorName" => teller.name = value.text(),
        "agentVersion" => teller.version = value.text(),
        "eventTime" => server = time(value),
        "trace" => trace = Some(value),
        _ => {}
    });
    let moment = Moment { server, arrival };
    ledger.observe(moment);
    if teller.chain.len() <= 1 {
        said.version = teller.version.clone().or(said.version.take());
    }
    let Some(trace) = trace else { return end };
    let mut reader = Reader {
        teller: &teller,
        moment,
        ledger,
        said,
    };
    let inner = trace.members(|name, value| reader.kind(name, value));
    end.and(inner)
}

/// One event on its way into the ledger.
struct Reader<'r> {
    teller: &'r Teller,
    moment: Moment,
    ledger: &'r mut Ledger,
    said: &'r mut Said,
}

impl<'r> Reader<'r> {
    fn kind(&mut self, name: &str, value: Json<'_>) {
        let phase = match name {
            "preProcessingTrace" => Phase::PreProcessing,
            "orchestrationTrace" => Phase::Orchestration,
            "routingClassifierTrace" => Phase::RoutingClassifier,
            "postProcessingTrace" => Phase::PostProcessing,
            "guardrailTrace" => return self.guardrail(value),
            "failureTrace" => return self.failure(value),
            _ => return,
        };
        let _broken = value.members(|name, value| match name {
            "modelInvocationInput" => self.model_input(phase, value),
            "modelInvocationOutput" => self.model_output(phase, value),
            "invocationInput" => self.invocation_input(phase, value),
            "observation" => self.observation(phase, value),
            _ => {}
        });
    }

    fn event<'e>(&self, trace_id: &'e str, phase: Phase) -> Event<'e>
    where
        'r: 'e,
    {
        Event {
            teller: self.teller,
            trace_id,
            phase: Some(phase),
            moment: self.moment,
        }
    }

    fn model_input(&mut self, phase: Phase, input: Json<'_>) {
        let mut work = ModelWork::default();
        let trace_id = trace_id(input);
        let _broken = input.members(|name, value| match name {
            "foundationModel" => work.model = value.text(),
            "inferenceConfiguration" => parameters(value, &mut work.parameters),
            _ => {}
        });
        let event = self.event(&trace_id, phase);
        let work = Work::Model(Box::new(work));
        self.ledger.begin(&event, work);
        if let Some(text) = input.member("text").and_then(Json::string) {
            self.ledger.say_asked(|budget| Saying::prompt(&text, budget));
        }
    }

    fn model_output(&mut self, phase: Phase, output: Json<'_>) {
        let trace_id = trace_id(output);
        let metadata = output.member("metadata");
        let usage = metadata.and_then(|metadata| metadata.member("usage"));
        let raw = output.at(&["rawResponse", "content"]).and_then(Json::string);
        let event = self.event(&trace_id, phase);
        let outcome = self.outcome(metadata);
        let unasked = Work::Model(Box::default());
        if let Some(raw) = &raw {
            self.ledger.say_answered(&event, &unasked, None, |work, budget| {
                let model = match work {
                    Work::Model(work) => work.model.as_deref(),
                    _ => None,
                };
                Saying::answer(raw, model, budget)
            });
        }
        self.ledger.end(&event, unasked, outcome, |work| {
            let Work::Model(work) = work else { return };
            if let Some(usage) = usage {
                work.usage.input = usage.member("inputTokens").and_then(Json::count);
                work.usage.output = usage.member("outputTokens").and_then(Json::count);
            }
            if let Some(raw) = raw {
                native_answer(&raw, work);
            }
        });
    }

    fn invocation_input(&mut self, phase: Phase, input: Json<'_>) {
        let trace_id = trace_id(input);
        let event = self.event(&trace_id, phase);
        let _broken = input.members(|name, value| match name {
            "actionGroupInvocationInput" => {
                // The caller is to run it: nothing is done here.
                let handed_over = value
                    .member("executionType")
                    .and_then(Json::text)
                    .is_some_and(|kind| kind == "RETURN_CONTROL");
                if handed_over {
                    return;
                }
                let name = tool_name(value, "actionGroupName", "verb");
                let call_id = name
                    .as_deref()
                    .and_then(|name| self.ledger.claim_tool_call(&event, name));
                let work = Work::Tool(ToolWork { name, call_id });
                self.ledger.begin(&event, work);
                self.ledger
                    .say_asked(|budget| Saying::arguments(value, &["requestBody"], budget));
            }
            "codeInterpreterInvocationInput" => {
                let work = Work::Tool(code_interpreter());
                self.ledger.begin(&event, work);
                self.ledger
                    .say_asked(|budget| Saying::arguments(value, &["code", "files"], budget));
            }
            "knowledgeBaseLookupInput" => {
                let work = Work::Retrieval(RetrievalWork {
                    knowledge_base: value.member("knowledgeBaseId").and_then(Json::text),
                    documents: None,
                });
                self.ledger.begin(&event, work);
                self.ledger
                    .say_asked(|budget| Saying::text("user", value.member("text"), budget));
            }
            "agentCollaboratorInvocationInput" => {
                let work = Work::Agent(collaborator(value));
                self.ledger.begin(&event, work);
                self.ledger
                    .say_asked(|budget| Saying::text("user", value.at(&["input", "text"]), budget));
            }
            _ => {}
        });
    }

    fn observation(&mut self, phase: Phase, observation: Json<'_>) {
        let trace_id = trace_id(observation);
        let event = self.event(&trace_id, phase);
        let _broken = observation.members(|name, value| {
            let mut outcome = self.outcome(value.member("metadata"));
            match name {
                "actionGroupInvocationOutput" => {
                    let unasked = Work::Tool(ToolWork::default());
                    self.ledger.say_answered(&event, &unasked, None, |_, budget| {
                        Saying::result(value, &["text"], budget)
                    });
                    self.ledger.end(&event, unasked, outcome, |_| ());
                }
                "codeInterpreterInvocationOutput" => {
                    let timed_out = value.member("executionTimeout").and_then(Json::truth) == Some(true);
                    let said = value.member("executionError").and_then(Json::string);
                    let failed = said.is_some_and(|error| !error.is_empty());
                    outcome.fault = match (timed_out, failed) {
                        (true, _) => Some(Fault::ExecutionTimeout),
                        (false, true) => Some(Fault::ExecutionError),
                        (false, false) => None,
                    };
                    let unasked = Work::Tool(code_interpreter());
                    self.ledger.say_answered(&event, &unasked, None, |_, budget| {
                        Saying::result(value, &["executionOutput", "executionError"], budget)
                    });
                    self.ledger.end(&event, unasked, outcome, |_| ());
                }
                "knowledgeBaseLookupOutput" => {
                    let documents = value.member("retrievedReferences").map(count);
                    let unasked = Work::Retrieval(RetrievalWork::default());
                    if let Some(references) = value.member("retrievedReferences") {
                        self.ledger.say_answered(&event, &unasked, None, |_, budget| {
                            Saying::passages(references, budget)
                        });
                    }
                    self.ledger.end(&event, unasked, outcome, |work| {
                        if let Work::Retrieval(retrieval) = work {
                            retrieval.documents = documents;
                        }
                    });
                }
                "agentCollaboratorInvocationOutput" => {
                    let unasked = Work::Agent(collaborator(value));
                    let request_id = outcome.request_id.clone();
                    self.ledger
                        .say_answered(&event, &unasked, request_id.as_deref(), |_, budget| {
                            Saying::text("assistant", value.at(&["output", "text"]), budget)
                        });
                    self.ledger.end(&event, unasked, outcome, |_| ());
                }
                _ => {}
            }
        });
    }

    fn guardrail(&mut self, value: Json<'_>) {
        let trace_id = trace_id(value);
        let mut work = GuardrailWork::default();
        let _broken = value.members(|name, value| match name {
            "action" => work.intervened = value.text().map(|action| action == "INTERVENED"),
            "inputAssessments" | "outputAssessments" => {
                let _broken = value.items(|assessment| {
                    if let Some(applied) = assessment.member("appliedGuardrailDetails") {
                        work.id = applied.member("guardrailId").and_then(Json::text);
                        work.version = applied.member("guardrailVersion").and_then(Json::text);
                    }
                });
            }
            _ => {}
        });
        if self.teller.chain.len() <= 1 && work.intervened.is_some() {
            self.said.intervened = Some(work.intervened == Some(true) || self.said.intervened == Some(true));
        }
        let event = self.event(&trace_id, Phase::Guardrail);
        let outcome = self.outcome(value.member("metadata"));
        self.ledger.whole(&event, Work::Guardrail(work), outcome);
    }

    fn failure(&mut self, value: Json<'_>) {
        let trace_id = trace_id(value);
        let reason = value.member("failureReason").and_then(Json::string);
        let fault = Fault::Failed {
            code: value
                .member("failureCode")
                .and_then(Json::integer)
                .map(|code| code.to_string()),
            message: reason.and_then(|reason| failure::message(&reason)),
        };
        let event = self.event(&trace_id, Phase::Orchestration);
        if self.ledger.fail(&event, &fault) {
            self.said.failure.get_or_insert((fault, self.moment.arrival));
        }
    }

    /// `Metadata`.
    fn outcome(&self, metadata: Option<Json<'_>>) -> Outcome {
        let mut outcome = Outcome::default();
        let moment = |value| {
            time(value).map(|server| Moment {
                server: Some(server),
                arrival: self.moment.arrival,
            })
        };
        if let Some(metadata) = metadata {
            let _broken = metadata.members(|name, value| match name {
                "startTime" => outcome.start = moment(value),
                "endTime" => outcome.end = moment(value),
                "clientRequestId" => outcome.request_id = value.text(),
                _ => {}
            });
        }
        outcome
    }
}

fn time(value: Json<'_>) -> Option<ServerTime> {
    value.string().as_deref().and_then(ServerTime::parse)
}

fn trace_id(value: Json<'_>) -> String {
    value.member("traceId").and_then(Json::text).unwrap_or_default()
}

pub(super) fn count(list: Json<'_>) -> u64 {
    let mut number = 0_u64;
    let _broken = list.items(|_| number += 1);
    number
}

/// `InferenceConfiguration`.
fn parameters(value: Json<'_>, parameters: &mut Parameters) {
    let _broken = value.members(|name, value| match name {
        "maximumLength" => parameters.max_tokens = value.count(),
        _ => parameters.take(name, value),
    });
}

/// The model's own answer, where the trace has it as JSON; older prompts have bare text there.
fn native_answer(raw: &str, work: &mut ModelWork) {
    if !Json::new(raw).is_object() {
        return;
    }
    let family = work
        .model
        .as_deref()
        .and_then(Family::of_model)
        .or_else(|| Family::of_body(Json::new(raw)))
        .unwrap_or(Family::Other);
    let mut body = Body::new(Keep::Content);
    body.push(&BodyPart::Bytes(raw.as_bytes()), usize::MAX);
    let mut facts = Facts::default();
    let _foreign = family.response(&body, &mut facts);
    work.usage = work.usage.or(facts.usage);
    work.stop_reasons = facts.stop_reasons;
    work.response_id = facts.response_id;
    work.response_model = facts.response_model;
    work.tool_calls = facts.tool_calls;
}

/// A function goes by the name that the model knows (`GROUP__FUNCTION`, recorded), an API by group, verb and path.
pub(super) fn tool_name(value: Json<'_>, group: &str, verb: &str) -> Option<String> {
    let text = |name: &str| value.member(name).and_then(Json::text);
    let group = text(group);
    let name = match (text("function"), text("apiPath")) {
        (Some(function), _) => match &group {
            Some(group) => format!("{group}__{function}"),
            None => function,
        },
        (None, Some(path)) => [
            group,
            text(verb).map(|verb| verb.to_ascii_uppercase()),
            Some(path),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" "),
        (None, None) => group?,
    };
    Some(name)
}

fn code_interpreter() -> ToolWork {
    ToolWork {
        name: Some("code_interpreter".into()),
        call_id: None,
    }
}

fn collaborator(value: Json<'_>) -> AgentWork {
    let alias = value.member("agentCollaboratorAliasArn").and_then(Json::text);
    AgentWork {
        name: value.member("agentCollaboratorName").and_then(Json::text),
        ..alias.as_deref().map(AgentWork::of_alias).unwrap_or_default()
    }
}
