//! `cargo xtask test`: sets up what the tests need, then runs every one of them.

use anyhow::Result;

use crate::command::{cargo, run, say};
use crate::setup::setup;

/// What is off by default and tested all the same.
const FEATURES: &str = "tracer-user/k8s";

/// Everything that `cargo test` knows, with the binaries that the end-to-end tests start built before.
pub(crate) fn run_all() -> Result<()> {
    if std::env::var_os("GEOPHONE_RECORDED").is_none() {
        say(
            "note: GEOPHONE_RECORDED is not set: the conformance test over recorded exchanges will say so and do nothing",
        );
    }
    setup()?;
    run(cargo().args(["build", "--workspace", "--bins", "--features", FEATURES]))?;
    run(cargo().args(["test", "--workspace", "--no-fail-fast", "--features", FEATURES]))
}
