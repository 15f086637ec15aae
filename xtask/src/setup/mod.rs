//! `cargo xtask setup`: what the end-to-end tests and the demonstration need beyond Rust.
//!
//! A Python environment in `target/venv` with the pinned packages of `tests/clients/requirements.txt`, programs of the
//! system, tools that render and check what is deployed (`deploy.rs`), and clients that are built or fetched into a cache
//! (`clients.rs`). Runs again in no time: a copy of the requirements beside the packages tells whether they are those.

mod clients;
mod deploy;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{root, run, target};

/// What is there once setup is done.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// Interpreter that finds the pinned packages.
    pub(crate) python: PathBuf,
}

/// A program, the Debian package that brings it, and what for.
const PROGRAMS: [(&str, &str, &str); 7] = [
    ("curl", "curl", "is a client of the end-to-end tests"),
    ("go", "golang-go", "builds a client of the end-to-end tests"),
    ("node", "nodejs", "is a client of the end-to-end tests"),
    ("npm", "npm", "fetches what JavaScript clients need"),
    ("strip", "binutils", "takes the symbols out of clients"),
    (
        "systemd-analyze",
        "systemd",
        "checks the unit, and the manager beside it runs it",
    ),
    ("tshark", "tshark", "checks that others can read capture files"),
];

/// Brings the environment up to date.
pub(crate) fn setup() -> Result<Environment> {
    install_programs()?;
    clients::clients()?;
    deploy::tools()?;
    python_environment()
}

/// The Python environment alone: all that the demonstration needs.
pub(crate) fn python_environment() -> Result<Environment> {
    let requirements = root().join("tests/clients/requirements.txt");
    let directory = target().join("venv");
    let python = directory.join("bin/python");
    let stamp = directory.join("requirements.txt");

    let wanted = std::fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let installed = std::fs::read_to_string(&stamp).unwrap_or_default();
    if installed != wanted || !python.exists() {
        python_packages(&directory, &requirements)?;
        std::fs::write(&stamp, &wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(Environment { python })
}

/// Makes a Python environment of these packages.
fn python_packages(directory: &Path, requirements: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(directory))
        .context("cannot make a Python environment (Debian: apt-get install python3-venv)")?;
    run(Command::new(directory.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(requirements))
    .context("cannot install the Python packages; can pip reach a package index?")
}

/// Installs missing programs where that is possible, else says which and how.
fn install_programs() -> Result<()> {
    let missing: Vec<_> = PROGRAMS
        .into_iter()
        .filter(|(program, _, _)| !on_path(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    let reasons: Vec<String> = missing
        .iter()
        .map(|(program, _, reason)| format!("{program} {reason}"))
        .collect();
    if !on_path("apt-get") {
        bail!("missing: {}. Install them and try again", reasons.join("; "));
    }
    let remedy = format!(
        "missing: {}; as root: apt-get update && apt-get install {}",
        reasons.join("; "),
        packages.join(" ")
    );
    run(apt_get().args(["update", "--quiet"])).context(remedy.clone())?;
    run(apt_get()
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(&packages))
    .context(remedy)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn on_path(program: &str) -> bool {
    path_of(program).is_some()
}

fn path_of(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}
