//! What kind of work a call is, in the convention's words.

use crate::bedrock::Call;
use crate::bedrock::family::Task;
use crate::bedrock::operation::{Operation, Purpose};

use super::semconv::operation;

/// `{operation} {model}`; what a search names is its source. Work without a `gen_ai` operation goes by AWS's name.
pub(super) fn span_name(call: &Call, operation: Option<&'static str>) -> String {
    let resource = &call.route.resource;
    let Some(operation) = operation else {
        let method = call.agent.mcp.as_ref().and_then(|mcp| mcp.method.as_deref());
        return method.unwrap_or(call.route.operation.name()).to_owned();
    };
    if let Some(tool) = &call.agent.tool {
        let name = tool.name.as_ref();
        return name.map_or_else(|| operation.to_owned(), |name| format!("{operation} {name}"));
    }
    let target = match call.route.operation.purpose() {
        Purpose::Retrieval => resource.knowledge_base.as_deref().or(resource.memory.as_deref()),
        Purpose::Agent => call.agent.name.as_deref(),
        Purpose::Tool => None,
        Purpose::Chat | Purpose::Model | Purpose::Ranking | Purpose::Auxiliary | Purpose::Housekeeping => {
            resource.model.as_deref()
        }
    };
    target.map_or_else(|| operation.to_owned(), |target| format!("{operation} {target}"))
}

/// The `gen_ai` operation; `None` where the convention has none.
pub(super) fn operation_name(call: &Call) -> Option<&'static str> {
    // Where a tool is called, that is what is done, whoever is asked to do it.
    if call.agent.tool.is_some() {
        return Some(operation::EXECUTE_TOOL);
    }
    match call.route.operation.purpose() {
        // Another message of the protocol.
        Purpose::Agent | Purpose::Tool if call.agent.mcp.as_ref().is_some_and(|mcp| mcp.method.is_some()) => {
            None
        }
        // Of a gateway only a message that calls a tool is one; not every message could be read, or has a method.
        Purpose::Tool if call.route.operation == Operation::InvokeGateway => None,
        Purpose::Tool => Some(operation::EXECUTE_TOOL),
        Purpose::Ranking => Some(operation::RERANK),
        Purpose::Chat => Some(operation::CHAT),
        Purpose::Agent => Some(operation::INVOKE_AGENT),
        Purpose::Retrieval => Some(operation::RETRIEVAL),
        Purpose::Auxiliary | Purpose::Housekeeping => None,
        // Which kind of model it was, the request would have told.
        Purpose::Model if call.gaps.request_unseen && call.task.is_none() => None,
        Purpose::Model => Some(match call.task {
            Some(Task::Chat) | None => operation::CHAT,
            Some(Task::Completion) => operation::TEXT_COMPLETION,
            Some(Task::Embedding) => operation::EMBEDDINGS,
            Some(Task::Ranking) => operation::RERANK,
            Some(Task::Image | Task::Video) => operation::GENERATE_CONTENT,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{operation_name, span_name};
    use crate::bedrock::tests::Play;

    #[test]
    fn only_what_calls_a_tool_of_a_gateway_runs_one() {
        for (message, name) in [
            (
                r#"{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "ferries"}}"#,
                "execute_tool ferries",
            ),
            (
                r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}"#,
                "tools/list",
            ),
            // The client's own answer, and what cannot be read.
            (r#"{"jsonrpc": "2.0", "id": 7, "result": {}}"#, "InvokeGateway"),
            ("[", "InvokeGateway"),
        ] {
            let call = Play::on("gw-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com", "/mcp")
                .request(message)
                .response(202, &[])
                .call();
            assert_eq!(span_name(&call, operation_name(&call)), name, "{message}");
        }
    }
}
