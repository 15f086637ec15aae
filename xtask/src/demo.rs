//! `cargo xtask demo`: an unmodified boto3 program against a fake Bedrock, traced by the kernel probes.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, root, run, say, target};
use crate::fake::Fake;
use crate::setup;

/// Sets up, starts the fake Bedrock and runs the program under `geophone exec`.
pub(crate) fn run_it() -> Result<()> {
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let environment = setup::python_environment()?;

    let mut fake = Fake::start()?;
    say(&format!(
        "\nfake Bedrock at {}; tracing tests/clients/demo.py, an ordinary boto3 program\n",
        fake.facts().endpoint
    ));
    let status = Command::new(target().join("debug/geophone"))
        .args(["exec", "--format", "pretty", "--"])
        .arg(&environment.python)
        .arg(root().join("tests/clients/demo.py"))
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &fake.facts().endpoint)
        .env("AWS_CA_BUNDLE", &fake.facts().ca)
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
