//! Errors as a user reads them: what happened, why, and what can be done.

use std::fmt;

/// Why a command ends with exit code 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    what: String,
    why: String,
    remedy: String,
    exit_code: u8,
}

impl Failure {
    /// `what` says which wish could not be fulfilled.
    pub(super) fn new(what: impl Into<String>, why: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.to_string(),
            remedy: remedy.into(),
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
        let Self {
            what,
            why,
            remedy,
            exit_code: _,
        } = self;
        writeln!(f, "error: {what}")?;
        writeln!(f, "  why: {why}")?;
        write!(f, "  try: {remedy}")
    }
}

const FAILED: u8 = 1;
