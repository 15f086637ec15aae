//! The fake Bedrock in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command::target;

/// A running fake; it ends when it is dropped.
pub(crate) struct Fake {
    child: Child,
    facts: Facts,
}

/// What it says of itself when it is ready.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    /// Where it listens, as a URL.
    pub(crate) endpoint: String,
    /// File with the certificate of its authority.
    pub(crate) ca: String,
}

impl Fake {
    /// Starts the one that cargo built and waits until it listens.
    pub(crate) fn start() -> Result<Self> {
        let binary = target().join("debug/fake-bedrock");
        let mut child = Command::new(&binary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let output = child.stdout.take().context("the fake Bedrock has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let facts = serde_json::from_str(&line).context("the fake Bedrock did not say where it is")?;
        Ok(Self { child, facts })
    }

    /// Where it is.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// It serves until its input closes.
    pub(crate) fn stop(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // Only when something failed before it was stopped.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
