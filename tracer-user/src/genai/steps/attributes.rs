//! The attributes of a step's span.

use crate::bedrock::Call;
use crate::bedrock::agent::step::{
    AgentWork, GuardrailWork, ModelWork, NodeWork, Phase, RetrievalWork, Step, StepGaps, ToolWork, Work,
};
use crate::bedrock::call::Usage;
use crate::genai::attributes::{List, parameters, usage};
use crate::genai::failure::mapped;
use crate::genai::options::Options;
use crate::genai::redaction::Hits;
use crate::genai::semconv::{self, incomplete, phase, tool};
use crate::genai::span::Attribute;

use super::{content, error_type, operation_name};

/// Every attribute that the step can fill. `usage`: the tokens of all models in it and beneath it, unless some may be missing.
pub(super) fn attributes(
    call: &Call,
    step: &Step,
    usage: Option<Usage>,
    options: &Options,
) -> (Vec<Attribute>, Hits) {
    let mut list = List::default();
    let operation = operation_name(&step.work);
    list.text(semconv::OPERATION_NAME, operation);
    list.text(semconv::PROVIDER_NAME, operation.map(|_| semconv::PROVIDER));
    match &step.work {
        Work::Model(work) => model(&mut list, work, options),
        Work::Tool(ToolWork { name, call_id }) => {
            list.string(semconv::TOOL_NAME, name.as_ref());
            list.string(semconv::TOOL_CALL_ID, call_id.as_ref());
            list.text(semconv::TOOL_TYPE, Some(tool::EXTENSION));
        }
        Work::Retrieval(RetrievalWork {
            knowledge_base,
            documents,
        }) => {
            list.string(semconv::DATA_SOURCE_ID, knowledge_base.as_ref());
            list.string(semconv::KNOWLEDGE_BASE_ID, knowledge_base.as_ref());
            list.count(semconv::RETRIEVAL_DOCUMENTS, *documents);
        }
        Work::Agent(AgentWork {
            name,
            id,
            alias,
            version,
        }) => {
            list.string(semconv::AGENT_ID, id.as_ref());
            list.string(semconv::AGENT_NAME, name.as_ref());
            list.string(semconv::AGENT_VERSION, version.as_ref());
            list.string(semconv::AGENT_ALIAS, alias.as_ref());
            usage::of(&mut list, usage.unwrap_or_default(), options);
        }
        Work::Guardrail(GuardrailWork {
            id,
            version,
            intervened,
        }) => {
            list.string(semconv::GUARDRAIL_ID, id.as_ref());
            list.string(semconv::GUARDRAIL_VERSION, version.as_ref());
            list.truth(semconv::GUARDRAIL_INTERVENED, *intervened);
        }
        Work::Node(NodeWork {
            kind: _,
            name,
            service,
            operation,
        }) => {
            list.string(semconv::NODE_NAME, name.as_ref());
            list.string(semconv::RPC_SERVICE, service.as_ref());
            list.string(semconv::RPC_METHOD, operation.as_ref());
        }
    }
    let session = call.session.as_ref();
    list.string(semconv::CONVERSATION_ID, session.map(|session| &session.id));
    list.string(semconv::SESSION_ID, session.map(|session| &session.id));
    list.text(semconv::AGENT_PHASE, step.phase.map(phase_name));
    list.string(semconv::AWS_REQUEST_ID, step.request_id.as_ref());
    list.string(semconv::ERROR_TYPE, step.fault.as_ref().map(error_type));
    let StepGaps {
        request_unseen,
        outcome_unseen,
    } = step.gaps;
    let parts_unseen = usage.is_none()
        && match &step.work {
            Work::Agent(_) | Work::Node(_) => true,
            // The model's answer that gave it an id.
            Work::Tool(work) => work.call_id.is_none(),
            Work::Model(_) | Work::Retrieval(_) | Work::Guardrail(_) => false,
        };
    let gaps = [
        (request_unseen, incomplete::REQUEST_UNSEEN),
        (outcome_unseen, incomplete::OUTCOME_UNSEEN),
        (parts_unseen, incomplete::PARTS_UNSEEN),
    ];
    let gaps = gaps.into_iter().filter(|(holds, _)| *holds);
    list.strings(semconv::INCOMPLETE, gaps.map(|(_, gap)| gap.to_owned()).collect());
    let finish_reasons = match &step.work {
        Work::Model(work) => mapped(&work.stop_reasons),
        _ => Vec::new(),
    };
    let hits = content::add(&mut list, step, &finish_reasons, options);
    (list.into_attributes(), hits)
}

fn model(list: &mut List, work: &ModelWork, options: &Options) {
    let ModelWork {
        model,
        parameters,
        usage,
        stop_reasons,
        response_id,
        response_model,
        tool_calls,
    } = work;
    list.string(semconv::REQUEST_MODEL, model.as_ref());
    parameters::of(list, parameters, None, options);
    list.string(semconv::RESPONSE_ID, response_id.as_ref());
    list.string(semconv::RESPONSE_MODEL, response_model.as_ref());
    list.strings(semconv::RESPONSE_FINISH_REASONS, mapped(stop_reasons));
    let wire = stop_reasons.iter().map(|reason| reason.wire.clone());
    list.strings(semconv::STOP_REASONS, wire.collect());
    let names = tool_calls
        .iter()
        .map(|call| call.name.clone().unwrap_or_default());
    list.strings(semconv::TOOL_CALL_NAMES, names.collect());
    let ids = tool_calls.iter().map(|call| call.id.clone().unwrap_or_default());
    list.strings(semconv::TOOL_CALL_IDS, ids.collect());
    usage::of(list, *usage, options);
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::PreProcessing => phase::PRE_PROCESSING,
        Phase::Orchestration => phase::ORCHESTRATION,
        Phase::RoutingClassifier => phase::ROUTING_CLASSIFIER,
        Phase::PostProcessing => phase::POST_PROCESSING,
        Phase::Guardrail => phase::GUARDRAIL,
    }
}
