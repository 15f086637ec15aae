//! `cargo xtask fuzz`: every fuzz target for a while, from its seeds. Needs a nightly toolchain; nothing else here does.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{cargo, root, run, target};

const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Runs each target for so many seconds.
pub(crate) fn run_it(seconds: u32) -> Result<()> {
    let tools = target().join("tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        run(cargo()
            .args([
                "install",
                "cargo-fuzz",
                "--locked",
                "--version",
                CARGO_FUZZ_VERSION,
                "--root",
            ])
            .arg(&tools))?;
    }
    let mut targets = std::fs::read_dir(root().join("fuzz/fuzz_targets"))?
        .map(|entry| {
            Ok(entry?
                .path()
                .file_stem()
                .context("a target has no name")?
                .to_owned())
        })
        .collect::<Result<Vec<_>>>()?;
    targets.sort();
    for name in targets {
        let corpus = root().join("fuzz/corpus").join(&name);
        std::fs::create_dir_all(&corpus)?;
        let mut command = Command::new(tools.join("bin/cargo-fuzz"));
        command
            .current_dir(root())
            // The toolchain that runs this task is stable.
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .env_remove("CARGO")
            // No sanitizer: there is no unsafe code to watch, and rust-src is not needed without one.
            .args(["run", "--sanitizer", "none"])
            .arg(&name)
            .arg(&corpus);
        let seeds = root().join("fuzz/seeds").join(&name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        run(command.args([
            "--",
            &format!("-max_total_time={seconds}"),
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-dict=fuzz/http.dict",
        ]))?;
    }
    Ok(())
}
