//! `cargo xtask bench`: builds with optimisation what is measured, then measures it.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, root, run, target};
use crate::ebpf;
use crate::setup;

/// Builds everything and hands the rest of the command line to the benchmark.
pub(crate) fn run_it(arguments: &[String]) -> Result<()> {
    run(cargo().args([
        "build",
        "--release",
        "--package",
        "tracer-user",
        "--bin",
        "geophone",
    ]))?;
    run(cargo().args(["build", "--release", "--package", "tracer-bench"]))?;
    let environment = setup::python_environment()?;
    let programs = ebpf::benchmark_programs()?;
    let standin = target().join("bench-standin");
    run(Command::new("cc")
        .args([
            "-O1",
            "-fno-omit-frame-pointer",
            "-mno-omit-leaf-frame-pointer",
            "-rdynamic",
            "-Wall",
            "-o",
        ])
        .arg(&standin)
        .arg(root().join("bench/standin.c")))?;
    run(Command::new(target().join("release/geophone-bench"))
        .arg("--geophone")
        .arg(target().join("release/geophone"))
        .arg("--programs")
        .arg(programs)
        .arg("--standin")
        .arg(standin)
        .arg("--python")
        .arg(environment.python)
        .arg("--scratch")
        .arg(target())
        .args(arguments))
}
