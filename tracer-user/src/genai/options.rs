//! What the telemetry of a call is to look like.

use std::sync::Arc;

use super::capture::Capture;
use super::convention::Convention;
use super::cost::Prices;

/// What the telemetry of a call is to look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Whose names are used.
    pub convention: Convention,
    /// Where prompts and completions go.
    pub capture: Capture,
    /// What calls are priced by, if they are.
    pub prices: Option<Arc<Prices>>,
}
