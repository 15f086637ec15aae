//! What operations beside the conversation tell: tokens counted in advance, jobs, tier and speed of the service.

use crate::bedrock::Call;
use crate::bedrock::billing::ServiceTier;
use crate::bedrock::family::beside::Job;
use crate::genai::semconv;

use super::List;

pub(super) fn add(list: &mut List, call: &Call) {
    let Job {
        arn,
        status,
        failure,
        output,
    } = &call.job;
    list.count(semconv::COUNTED_TOKENS, call.counted_tokens);
    list.string(semconv::JOB_ARN, arn.as_ref());
    list.string(semconv::JOB_STATUS, status.as_ref());
    list.string(semconv::JOB_FAILURE, failure.as_ref());
    list.string(semconv::JOB_OUTPUT, output.as_ref());
    list.text(semconv::SERVICE_TIER, call.billing.tier.map(ServiceTier::name));
    list.truth(
        semconv::LATENCY_OPTIMISED,
        Some(call.billing.latency_optimised).filter(|optimised| *optimised),
    );
}
