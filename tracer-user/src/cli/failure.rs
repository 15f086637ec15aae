//! Errors as a user reads them: what happened, why, and what can be done.

use std::fmt;

/// Why a command ends with exit code 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    what: String,
    /// Why, and what can be done; empty when `what` says that itself.
    reason: Option<Reason>,
    exit_code: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reason {
    why: String,
    remedy: String,
}

impl Failure {
    /// `what` says which wish could not be fulfilled.
    pub(super) fn new(what: impl Into<String>, why: impl fmt::Display, remedy: impl Into<String>) -> Self {
        let reason = Reason {
            why: why.to_string(),
            remedy: remedy.into(),
        };
        Self {
            what: what.into(),
            reason: Some(reason),
            exit_code: FAILED,
        }
    }

    /// An error of a stage that says what, why and the remedy in one sentence.
    pub(super) fn told_by(error: impl fmt::Display) -> Self {
        Self {
            what: error.to_string(),
            reason: None,
            exit_code: FAILED,
        }
    }

    /// The same with another exit code.
    pub(super) fn with_exit_code(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }

    /// Exit code of the program.
    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.reason {
            Some(Reason { why, remedy }) => write!(f, "\n  why: {why}\n  try: {remedy}"),
            None => Ok(()),
        }
    }
}

/// Exit code of what could not be done, or not to its end.
pub(super) const FAILED: u8 = 1;
