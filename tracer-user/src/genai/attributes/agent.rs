//! The hosted agent that was asked.

use crate::bedrock::agent::{AgentFacts, FlowFacts, McpFacts, RetrievalFacts, ToolFacts};
use crate::bedrock::operation::Purpose;
use crate::genai::semconv::{self, tool as tool_type};

use super::{List, Subject};

pub(super) fn add(list: &mut List, subject: Subject<'_>) {
    let Subject { call, options, .. } = subject;
    let resource = &call.route.resource;
    let AgentFacts {
        name,
        version,
        memory,
        handed_over,
        brought_back,
        files,
        user,
        flow: FlowFacts {
            execution,
            completion,
        },
        retrieval: RetrievalFacts { limit, documents },
        tool,
        mcp,
    } = &call.agent;
    list.string(semconv::AGENT_ID, resource.agent.as_ref());
    list.string(semconv::AGENT_NAME, name.as_ref());
    list.string(semconv::AGENT_VERSION, version.as_ref());
    list.string(semconv::AGENT_ALIAS, resource.alias.as_ref());
    list.string(semconv::AGENT_MEMORY, memory.as_ref());
    list.string(semconv::HANDED_OVER, handed_over.as_ref());
    list.string(semconv::BROUGHT_BACK, brought_back.as_ref());
    list.string(semconv::USER_ID, user.as_ref());
    list.string(semconv::FLOW_ID, resource.flow.as_ref());
    list.string(semconv::FLOW_EXECUTION, execution.as_ref());
    list.string(semconv::FLOW_COMPLETION, completion.as_ref());
    // The name that sampling has, until v1.41. An answer from what was found may have both.
    if options.convention.old_names() && call.route.operation.purpose() == Purpose::Retrieval {
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        list.double(semconv::REQUEST_TOP_K, limit.map(f64::from));
    }
    if options.convention.new_names() {
        list.count(semconv::RETRIEVAL_TOP_K, *limit);
    }
    list.count(semconv::RETRIEVAL_DOCUMENTS, *documents);
    if let Some(ToolFacts { name, failed: _ }) = tool {
        list.string(semconv::TOOL_NAME, name.as_ref());
        list.text(semconv::TOOL_TYPE, Some(tool_type::EXTENSION));
    }
    if let Some(McpFacts {
        method,
        id,
        session,
        version,
    }) = mcp
    {
        list.string(semconv::MCP_METHOD, method.as_ref());
        list.string(semconv::JSONRPC_ID, id.as_ref());
        list.string(semconv::MCP_SESSION, session.as_ref());
        list.string(semconv::MCP_VERSION, version.as_ref());
    }
    list.count(semconv::RESPONSE_FILES, Some(*files).filter(|files| *files > 0));
}
