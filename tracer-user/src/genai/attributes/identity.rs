//! What the call belongs to: conversation, agent, knowledge base, logical call, thread.

use crate::bedrock::Call;
use crate::genai::semconv;

use super::List;

pub(super) fn add(list: &mut List, call: &Call) {
    let resource = &call.route.resource;
    list.string(semconv::CONVERSATION_ID, call.session.as_ref());
    list.string(semconv::SESSION_ID, call.session.as_ref());
    list.string(semconv::AGENT_ID, resource.agent.as_ref());
    list.string(semconv::DATA_SOURCE_ID, resource.knowledge_base.as_ref());
    list.string(semconv::KNOWLEDGE_BASE_ID, resource.knowledge_base.as_ref());
    list.string(semconv::INVOCATION_ID, call.attempt.invocation_id.as_ref());
    // That of the request.
    list.count(
        semconv::THREAD_ID,
        (!call.gaps.request_unseen).then_some(call.thread.into()),
    );
}
