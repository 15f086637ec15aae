//! What the telemetry of a call is to look like.

use std::sync::Arc;

use super::capture::Capture;
use super::content::ContentLimit;
use super::convention::Convention;
use super::cost::Prices;
use super::redaction::Redaction;

/// What the telemetry of a call is to look like.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whose names are used.
    pub convention: Convention,
    /// Where prompts and completions go.
    pub capture: Capture,
    /// What calls are priced by, if they are.
    pub prices: Option<Arc<Prices>>,
    /// How long a content attribute may be.
    pub content_limit: ContentLimit,
    /// What is taken out of content and messages.
    pub redaction: Arc<Redaction>,
}
