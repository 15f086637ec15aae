//! `cargo xtask soak`: builds geophone as it is released, and lets processes come and go under it.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, run, target};
use crate::setup;

const SECONDS: u32 = 600;
const QUICK_SECONDS: u32 = 180;

/// Sets up what the clients need and runs the soak.
pub(crate) fn run_it(quick: bool, seconds: Option<u32>) -> Result<()> {
    setup::setup()?;
    run(cargo().args([
        "build",
        "--release",
        "--package",
        "tracer-user",
        "--bin",
        "geophone",
    ]))?;
    run(cargo().args(["build", "--package", "tracer-tests", "--bins"]))?;
    let seconds = seconds.unwrap_or(if quick { QUICK_SECONDS } else { SECONDS });
    run(Command::new(target().join("debug/soak"))
        .arg("--geophone")
        .arg(target().join("release/geophone"))
        .arg("--fake")
        .arg(target().join("debug/fake-bedrock"))
        .args(["--seconds", &seconds.to_string()]))
}
