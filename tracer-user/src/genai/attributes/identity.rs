//! What the call belongs to: conversation, agent, knowledge base, logical call, thread.

use crate::bedrock::Call;
use crate::bedrock::session::{Session, SessionSource};
use crate::genai::semconv::{self, session_source};

use super::List;

pub(super) fn add(list: &mut List, call: &Call) {
    let resource = &call.route.resource;
    add_session(list, call.session.as_ref());
    let source = resource.knowledge_base.as_ref().or(resource.memory.as_ref());
    list.string(semconv::DATA_SOURCE_ID, source);
    list.string(semconv::KNOWLEDGE_BASE_ID, resource.knowledge_base.as_ref());
    list.string(semconv::INVOCATION_ID, call.attempt.invocation_id.as_ref());
    // That of the request.
    list.count(
        semconv::THREAD_ID,
        (!call.gaps.request_unseen).then_some(call.thread.into()),
    );
}

fn source(source: SessionSource) -> &'static str {
    match source {
        SessionSource::Response => session_source::RESPONSE_HEADER,
        SessionSource::Request => session_source::REQUEST_HEADER,
        SessionSource::Path => session_source::PATH,
        SessionSource::Body => session_source::BODY,
        SessionSource::NamedHeader => session_source::NAMED_HEADER,
        SessionSource::Metadata => session_source::REQUEST_METADATA,
        SessionSource::Baggage => session_source::BAGGAGE,
    }
}

/// The conversation, by every name it goes by.
pub(in crate::genai) fn add_session(list: &mut List, session: Option<&Session>) {
    list.string(semconv::CONVERSATION_ID, session.map(|session| &session.id));
    list.string(semconv::SESSION_ID, session.map(|session| &session.id));
    list.text(
        semconv::SESSION_SOURCE,
        session.map(|session| source(session.source)),
    );
}
