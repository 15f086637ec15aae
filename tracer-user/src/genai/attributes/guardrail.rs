//! The guardrail that was asked for and what it did.

use crate::bedrock::Call;
use crate::bedrock::call::Guardrail;
use crate::genai::semconv;

use super::List;

pub(super) fn add(list: &mut List, call: &Call) {
    let Guardrail {
        id,
        version,
        intervened,
    } = &call.guardrail;
    list.string(semconv::GUARDRAIL_ID, id.as_ref());
    list.string(semconv::GUARDRAIL_VERSION, version.as_ref());
    list.truth(semconv::GUARDRAIL_INTERVENED, *intervened);
}
