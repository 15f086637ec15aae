//! The Model Context Protocol as `AgentCore`'s gateways and runtimes speak it: JSON-RPC over HTTP (MCP specification, "Streamable
//! HTTP").

use crate::http::Fields;

use super::super::failure::{self, Failure};
use super::super::headers;
use super::super::json::Json;
use super::{Agent, AgentFacts, McpFacts, ToolFacts};

/// Reads the head of a request or a response.
pub(super) fn head(fields: &Fields<'_>, facts: &mut AgentFacts) {
    let told = |name: &str| headers::value(fields, name);
    let named = [
        told("mcp-session-id"),
        told("mcp-protocol-version"),
        told("mcp-method"),
    ];
    if named.iter().all(Option::is_none) {
        return;
    }
    let [session, version, method] = named;
    let mcp = facts.mcp.get_or_insert_default();
    mcp.session = session.or(mcp.session.take());
    mcp.version = version.or(mcp.version.take());
    mcp.method = method.or(mcp.method.take());
}

/// Reads a request: the call of a tool names it.
pub(super) fn request(message: &mut Request, name: &str, value: Json<'_>) {
    match name {
        "jsonrpc" => message.is_rpc = true,
        "method" => message.method = value.text(),
        "id" => message.id = Some(value.source().trim_matches('"').to_owned()).filter(|id| id.len() <= 128),
        "params" => message.tool = value.member("name").and_then(Json::text),
        _ => {}
    }
}

/// A JSON-RPC request so far.
#[derive(Debug, Default)]
pub(super) struct Request {
    is_rpc: bool,
    method: Option<String>,
    id: Option<String>,
    tool: Option<String>,
}

impl Request {
    /// Puts what was read into the facts, if it was JSON-RPC.
    pub(super) fn finish(self, facts: &mut AgentFacts) {
        let Self {
            is_rpc,
            method,
            id,
            tool,
        } = self;
        if !is_rpc {
            return;
        }
        if method.as_deref() == Some("tools/call") {
            facts.tool = Some(ToolFacts {
                name: tool,
                failed: false,
            });
        }
        let mcp: &mut McpFacts = facts.mcp.get_or_insert_default();
        mcp.method = method.or(mcp.method.take());
        mcp.id = id;
    }
}

/// Reads a member of a response. Some servers tell an `error` that is null beside a result.
pub(super) fn response(agent: &mut Agent, name: &str, value: Json<'_>) {
    match name {
        "result" => {
            let failed = value.member("isError").and_then(Json::truth) == Some(true);
            if let Some(tool) = &mut agent.facts.tool {
                tool.failed |= failed;
            }
        }
        "error" if agent.facts.mcp.is_some() && value.is_object() => {
            let message = value.member("message").and_then(Json::string);
            agent.failure = Some(Failure {
                code: value
                    .member("code")
                    .and_then(Json::integer)
                    .map_or_else(|| "JsonRpcError".into(), |code| code.to_string()),
                message: message.and_then(|text| failure::message(&text)),
                in_stream: None,
            });
        }
        _ => {}
    }
}
