//! What the telemetry of a call is to look like.

use super::capture::Capture;
use super::convention::Convention;

/// What the telemetry of a call is to look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Whose names are used.
    pub convention: Convention,
    /// Where prompts and completions go.
    pub capture: Capture,
}
