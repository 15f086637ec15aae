//! Knowledge bases: searches, answers from what was found, and what else `bedrock-agent-runtime` does with texts.

use crate::event::Monotonic;

use super::super::assembly::Assembly;
use super::super::body::Body;
use super::super::content::Message;
use super::super::family::Facts;
use super::super::json::{Json, Malformed};
use super::super::parameters::Parameters;
use super::super::session::{Session, SessionSource};
use super::clock::Moment;
use super::ledger::{Event, Outcome, Teller};
use super::step::{Fault, NodeKind, NodeWork, Work};
use super::trace::count;

/// Members of requests that hold facts.
const REQUEST: [&str; 9] = [
    "retrievalConfiguration",
    "guardrailConfiguration",
    "retrieveAndGenerateConfiguration",
    "agenticRetrieveConfiguration",
    "policyConfiguration",
    "rerankingConfiguration",
    "transformationConfiguration",
    "targetModelId",
    "sessionId",
];

/// Members of responses that hold facts.
const RESPONSE: [&str; 2] = ["guardrailAction", "sessionId"];

/// Reads a request body. The operations have no member in common that means two things.
pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&REQUEST, |name, value| match name {
        "retrievalConfiguration" => limit(value, facts),
        "guardrailConfiguration" => guardrail(value, facts),
        "policyConfiguration" => {
            if let Some(value) = value.member("bedrockGuardrailConfiguration") {
                guardrail(value, facts);
            }
        }
        "retrieveAndGenerateConfiguration" => {
            let _broken = value.members(|name, value| {
                if name == "knowledgeBaseConfiguration" || name == "externalSourcesConfiguration" {
                    answering(value, facts);
                }
            });
        }
        "agenticRetrieveConfiguration" => {
            let model = |kind: &str| {
                let path = [
                    "foundationModelConfiguration",
                    kind,
                    "modelConfiguration",
                    "modelArn",
                ];
                value.at(&path).and_then(Json::text)
            };
            facts.asked_model = model("bedrockFoundationModelConfiguration")
                .or_else(|| model("mantleFoundationModelConfiguration"));
        }
        "retrievers" => only_knowledge_base(value, facts),
        "rerankingConfiguration" => {
            let config = value.member("bedrockRerankingConfiguration");
            let model = config.and_then(|config| config.at(&["modelConfiguration", "modelArn"]));
            facts.asked_model = model.and_then(Json::text);
            let limit = config.and_then(|config| config.member("numberOfResults"));
            facts.agent.facts.retrieval.limit = limit.and_then(Json::count);
        }
        "transformationConfiguration" => {
            let path = [
                "textToSqlConfiguration",
                "knowledgeBaseConfiguration",
                "knowledgeBaseArn",
            ];
            facts.agent.knowledge_base = value
                .at(&path)
                .and_then(Json::text)
                .and_then(|arn| arn.rsplit('/').next().map(str::to_owned));
        }
        "targetModelId" => facts.asked_model = value.text(),
        "sessionId" => session(value, facts),
        "input" => asked(value.member("text"), facts),
        _ => {}
    })
}

/// How a model is to answer from what is found.
fn answering(value: Json<'_>, facts: &mut Facts) {
    let _broken = value.members(|name, value| match name {
        "modelArn" => facts.asked_model = value.text(),
        "knowledgeBaseId" => facts.agent.knowledge_base = value.text(),
        "retrievalConfiguration" => limit(value, facts),
        "generationConfiguration" => {
            let mut extra = Parameters::default();
            let _broken = value.members(|name, value| match name {
                "guardrailConfiguration" => guardrail(value, facts),
                "inferenceConfig" => {
                    if let Some(config) = value.member("textInferenceConfig") {
                        facts.parameters.take_all(config);
                    }
                }
                "additionalModelRequestFields" => extra.take_all(value),
                _ => {}
            });
            facts.parameters.fill(extra);
        }
        _ => {}
    });
}

/// `numberOfResults` of whichever kind of search it is.
fn limit(value: Json<'_>, facts: &mut Facts) {
    let _broken = value.members(|_, search| {
        if let Some(number) = search.member("numberOfResults").and_then(Json::count) {
            facts.agent.facts.retrieval.limit = Some(number);
        }
    });
}

fn guardrail(value: Json<'_>, facts: &mut Facts) {
    facts.guardrail.id = value.member("guardrailId").and_then(Json::text);
    facts.guardrail.version = value.member("guardrailVersion").and_then(Json::text);
}

/// The knowledge base of a search that goes to one alone.
fn only_knowledge_base(retrievers: Json<'_>, facts: &mut Facts) {
    let mut found = Vec::new();
    let _broken = retrievers.items(|retriever| {
        let id = retriever.at(&["configuration", "knowledgeBase", "knowledgeBaseId"]);
        if found.len() < 2 {
            found.extend(id.and_then(Json::text));
        }
    });
    if let [id] = found.as_slice() {
        facts.agent.knowledge_base = Some(id.clone());
    }
}

fn session(value: Json<'_>, facts: &mut Facts) {
    let session = value.text().and_then(|id| Session::new(id, SessionSource::Body));
    Session::prefer(&mut facts.session, session);
}

fn asked(text: Option<Json<'_>>, facts: &mut Facts) {
    if let Some(content) = &mut facts.content
        && text.is_some()
        && content.asked.envelope()
    {
        let text = content.asked.text(text);
        content.input.push(Message::text("user", text));
    }
}

/// Reads a response body.
pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "retrievalResults" | "results" => found(count(value), facts),
        "citations" => {
            let _broken = value.items(|citation| cited(citation, facts));
        }
        "guardrailAction" => acted(value, facts),
        "sessionId" => session(value, facts),
        "output" => {
            if let Some(content) = &mut facts.content
                && content.answered.envelope()
            {
                let text = content.answered.text(value.member("text"));
                content.output.push(Message::text("assistant", text));
            }
        }
        _ => {}
    })
}

fn cited(citation: Json<'_>, facts: &mut Facts) {
    if let Some(references) = citation.member("retrievedReferences") {
        found(count(references), facts);
    }
}

fn found(number: u64, facts: &mut Facts) {
    let documents = &mut facts.agent.facts.retrieval.documents;
    *documents = Some(documents.unwrap_or(0).saturating_add(number));
}

fn acted(action: Json<'_>, facts: &mut Facts) {
    if let Some(action) = action.text() {
        facts.guardrail.intervened = Some(action == "INTERVENED");
    }
}

/// Reads one event.
pub(super) fn event(
    kind: &str,
    payload: Json<'_>,
    arrival: Monotonic,
    facts: &mut Facts,
    assembly: &mut Assembly,
) -> Result<(), Malformed> {
    match kind {
        "output" | "responseEvent" => {
            facts.spoke = true;
            let text = payload.member("text").and_then(Json::string);
            assembly.text(0, &text.unwrap_or_default());
        }
        "optimizedPromptEvent" => facts.spoke = true,
        "citation" => cited(payload, facts),
        "guardrail" => {
            if let Some(action) = payload.member("action") {
                acted(action, facts);
            }
        }
        "result" => {
            facts.ended = true;
            if let Some(results) = payload.member("results") {
                found(count(results), facts);
            }
        }
        "traceEvent" => stage(payload, arrival, facts),
        _ => {}
    }
    payload.members(|_, _| ())
}

/// A stage of a planned search, told when it begins and when it is over. The unit of its `timestamp` is not documented: what
/// counts is when it came.
fn stage(payload: Json<'_>, arrival: Monotonic, facts: &mut Facts) {
    let id = payload.member("id").and_then(Json::text).unwrap_or_default();
    let attribute = |name: &str| payload.at(&["attributes", name]).and_then(Json::text);
    let teller = Teller::default();
    let moment = Moment {
        server: None,
        arrival,
    };
    let event = Event {
        teller: &teller,
        trace_id: &id,
        phase: None,
        moment,
    };
    let ledger = &mut facts.agent.ledger;
    let work = Work::Node(NodeWork::named(NodeKind::Search, attribute("step")));
    ledger.observe(moment);
    match attribute("status").as_deref() {
        Some("IN_PROGRESS") => ledger.begin(&event, work),
        Some(status) => {
            let fault = (status == "FAILED").then_some(Fault::Failed {
                code: None,
                message: None,
            });
            let outcome = Outcome {
                fault,
                ..Outcome::default()
            };
            ledger.end(&event, work, outcome, |_| ());
        }
        None => {}
    }
}
