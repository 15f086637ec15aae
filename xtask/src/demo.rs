//! `cargo xtask demo`: an unmodified boto3 program against a fake Bedrock, traced by the kernel probes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::command::{cargo, root, run, say, target};
use crate::setup;

/// Sets up, starts the fake Bedrock and runs the program under `geophone exec`.
pub(crate) fn run_it() -> Result<()> {
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let environment = setup::python_environment()?;

    let mut fake = Fake::start(&target().join("debug/fake-bedrock"))?;
    say(&format!(
        "\nfake Bedrock at {}; tracing tests/clients/demo.py, an ordinary boto3 program\n",
        fake.facts.endpoint
    ));
    let status = Command::new(target().join("debug/geophone"))
        .args(["exec", "--format", "pretty", "--"])
        .arg(&environment.python)
        .arg(root().join("tests/clients/demo.py"))
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &fake.facts.endpoint)
        .env("AWS_CA_BUNDLE", &fake.facts.ca)
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("OTEL_SERVICE_NAME", "weather-agent")
        .status()
        .context("cannot start geophone")?;
    fake.stop()?;
    if !status.success() {
        bail!(
            "geophone exec ended with {status}; `target/debug/geophone doctor` says what this machine lacks"
        );
    }
    Ok(())
}

/// The fake Bedrock in a process of its own.
struct Fake {
    child: Child,
    facts: Facts,
}

/// What it says of itself when it is ready.
#[derive(Debug, Deserialize)]
struct Facts {
    endpoint: String,
    ca: String,
}

impl Fake {
    fn start(binary: &Path) -> Result<Self> {
        let mut child = Command::new(binary)
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

    /// It serves until its input closes.
    fn stop(&mut self) -> Result<()> {
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
