//! `cargo xtask soak`: lets processes come and go under a geophone: for ten minutes under one as it is released, for three
//! (`--quick`) under the one that the tests run with, so that nothing more has to be built.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, run, say, target};
use crate::setup;
use crate::test::FEATURES;

const SECONDS: u32 = 600;
const QUICK_SECONDS: u32 = 180;

/// Sets up what the clients need and runs the soak.
pub(crate) fn run_it(quick: bool, seconds: Option<u32>) -> Result<()> {
    setup::setup()?;
    run(cargo().args(["build", "--workspace", "--bins", "--features", FEATURES]))?;
    let geophone = if quick {
        say("note: this geophone is not optimised; what it costs is told by the soak without --quick");
        target().join("debug/geophone")
    } else {
        run(cargo()
            .args(["build", "--release", "--package", "tracer-user"])
            .args(["--bin", "geophone"]))?;
        target().join("release/geophone")
    };
    let seconds = seconds.unwrap_or(if quick { QUICK_SECONDS } else { SECONDS });
    run(Command::new(target().join("debug/soak"))
        .arg("--geophone")
        .arg(geophone)
        .arg("--fake")
        .arg(target().join("debug/fake-bedrock"))
        .args(["--seconds", &seconds.to_string()]))
}
