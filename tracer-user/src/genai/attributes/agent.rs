//! The hosted agent that was asked.

use crate::bedrock::Call;
use crate::bedrock::agent::AgentFacts;
use crate::genai::semconv;

use super::List;

pub(super) fn add(list: &mut List, call: &Call) {
    let resource = &call.route.resource;
    let AgentFacts {
        name,
        version,
        memory,
        handed_over,
        brought_back,
        files,
    } = &call.agent;
    list.string(semconv::AGENT_ID, resource.agent.as_ref());
    list.string(semconv::AGENT_NAME, name.as_ref());
    list.string(semconv::AGENT_VERSION, version.as_ref());
    list.string(semconv::AGENT_ALIAS, resource.alias.as_ref());
    list.string(semconv::AGENT_MEMORY, memory.as_ref());
    list.string(semconv::HANDED_OVER, handed_over.as_ref());
    list.string(semconv::BROUGHT_BACK, brought_back.as_ref());
    list.count(semconv::RESPONSE_FILES, Some(*files).filter(|files| *files > 0));
}
