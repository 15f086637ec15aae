//! The guardrail that was asked for and what it did.

use crate::bedrock::Call;
use crate::bedrock::guardrail::Guardrail;
use crate::genai::semconv;

use super::List;
use super::response::seconds;

pub(super) fn add(list: &mut List, call: &Call) {
    let Guardrail {
        id,
        version,
        intervened,
        reason,
        findings,
        units,
        latency_ms,
        source,
    } = &call.guardrail;
    list.string(semconv::GUARDRAIL_ID, id.as_ref());
    list.string(semconv::GUARDRAIL_VERSION, version.as_ref());
    list.truth(semconv::GUARDRAIL_INTERVENED, *intervened);
    list.string(semconv::GUARDRAIL_REASON, reason.as_ref());
    list.strings(semconv::GUARDRAIL_FINDINGS, findings.clone());
    let units = units.iter().map(|(policy, units)| format!("{policy}={units}"));
    list.strings(semconv::GUARDRAIL_UNITS, units.collect());
    let duration = latency_ms.map(|milliseconds| seconds(milliseconds.saturating_mul(1_000_000)));
    list.double(semconv::GUARDRAIL_DURATION, duration);
    list.string(semconv::GUARDRAIL_SOURCE, source.as_ref());
}
