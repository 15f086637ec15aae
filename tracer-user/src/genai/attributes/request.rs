//! What was asked for: operation, provider, model, prompt.

use crate::bedrock::model::{ModelKind, ModelName};
use crate::genai::semconv;

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject { call, operation, .. } = subject;
    let model = call.route.resource.model.as_deref();
    list.text(semconv::OPERATION_NAME, operation);
    list.text(semconv::PROVIDER_NAME, operation.map(|_| semconv::PROVIDER));
    list.string(semconv::REQUEST_MODEL, model);
    if let Some(ModelName {
        kind,
        geography,
        base,
    }) = model.map(ModelName::parse)
    {
        list.text(semconv::MODEL_KIND, kind.map(ModelKind::name));
        list.string(semconv::MODEL_GEOGRAPHY, geography);
        list.string(semconv::MODEL_BASE, base);
    }
    list.truth(
        semconv::REQUEST_STREAM,
        (call.streaming && operation.is_some()).then_some(true),
    );
    if let Some((name, version)) = model.and_then(managed_prompt) {
        list.string(semconv::PROMPT_NAME, Some(name));
        list.string(semconv::PROMPT_VERSION, version);
    }
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
