//! The fake Bedrock in a process of its own: the tracer follows the children of this one, and must not see the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::fake::Served;
use crate::program::Program;

/// A fake that runs, and what it has told of being served.
#[derive(Debug)]
pub(super) struct Service {
    program: Program,
    facts: Facts,
}

/// What it says of itself when it is ready.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    pub(super) endpoint: String,
    /// File with the certificate of who signed its own.
    #[serde(rename = "ca")]
    pub(super) authority: PathBuf,
}

impl Service {
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let program = Program::start("fake-bedrock", Command::new(binary).args(["--http2", "--served"]))?;
        let line = program.line()?.context("the fake ended at once")?;
        let facts = serde_json::from_str(&line).context("the fake did not say where it is")?;
        Ok(Self { program, facts })
    }

    /// Where it is.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Waits until so many more responses have ended, or none does any more; what was served since the last time.
    pub(super) fn served(&self, count: usize) -> Result<Vec<Served>> {
        let mut served = Vec::new();
        if count > 0 {
            self.program.hear(|line| {
                served.push(serde_json::from_str(&line)?);
                Ok(served.len() == count)
            })?;
        }
        for line in self.program.waiting_lines() {
            served.push(serde_json::from_str(&line)?);
        }
        Ok(served)
    }
}
