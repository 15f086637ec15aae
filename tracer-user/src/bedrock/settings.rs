//! What the reading of calls may be told.

use std::sync::Arc;

use super::session::SessionHeader;

/// What is looked for in calls beside the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Keep what is said.
    pub content: bool,
    /// Request headers that hold a session, the most telling first.
    pub session_headers: Arc<[SessionHeader]>,
    /// Tell which results of tools a request carries.
    pub tool_results: bool,
}

impl Default for Settings {
    /// Facts alone.
    fn default() -> Self {
        Self {
            content: false,
            session_headers: [].into(),
            tool_results: false,
        }
    }
}
