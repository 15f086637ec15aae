//! `cargo xtask test`: sets up what the tests need, then runs every one of them.

use anyhow::Result;

use crate::command::{cargo, run, say, target};
use crate::setup::setup;

/// What is off by default and tested all the same.
pub(crate) const FEATURES: &str = "tracer-user/k8s";

/// Everything that `cargo test` knows, with the binaries that the end-to-end tests start built before.
pub(crate) fn run_all() -> Result<()> {
    if std::env::var_os("GEOPHONE_RECORDED").is_none() {
        say(
            "note: GEOPHONE_RECORDED is not set: the conformance test over recorded exchanges will say so and do nothing",
        );
    }
    setup()?;
    static_geophone()?;
    run(cargo().args(["build", "--workspace", "--bins", "--features", FEATURES]))?;
    run(cargo().args(["test", "--workspace", "--no-fail-fast", "--features", FEATURES]))
}

/// geophone as the container image has it, for the test of what that image must be able to do. Only the program itself is
/// compiled for it: whether libc is linked statically is decided when a program is linked.
fn static_geophone() -> Result<()> {
    run(cargo()
        .args(["rustc", "--package", "tracer-user", "--bin", "geophone"])
        .args(["--features", "k8s", "--", "-C", "target-feature=+crt-static"]))?;
    let directory = target().join("static");
    std::fs::create_dir_all(&directory)?;
    // `cargo build` puts the ordinary one in its place.
    std::fs::copy(target().join("debug/geophone"), directory.join("geophone"))?;
    Ok(())
}
