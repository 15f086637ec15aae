//! `cargo xtask image`: the container image, built and run for real.
//!
//! Not part of the tests: it needs docker or podman and a registry, or ten minutes more. What the image must be able to do
//! without either is in `tests/tests/empty_root.rs`.

mod bootstrap;
mod engine;
mod trial;

use anyhow::Result;

use crate::command::{cargo, root, run, say, target};
use crate::setup;
use engine::Engine;

/// What the image is called here.
const IMAGE: &str = concat!("geophone:", env!("CARGO_PKG_VERSION"));
/// An application in a container of its own.
const CLIENT: &str = "geophone-client:trial";

/// Builds both images, unless they are, says how large ours is, and tries it.
pub(crate) fn run_it(from_packages: bool, built: bool) -> Result<()> {
    let engine = Engine::find()?;
    if !built {
        build(&engine, from_packages)?;
    }
    run(cargo().args(["build", "--package", "tracer-tests", "--bin", "fake-bedrock"]))?;
    let python = setup::python_environment()?.python;

    let size = engine.size(IMAGE, &target().join("image.tar"))?;
    let trial = trial::run_it(&engine, &python)?;
    say(&format!(
        "\n{IMAGE}\n  size            {} MB, {} MB to pull\n{trial}",
        size.bytes / 1_000_000,
        size.compressed / 1_000_000,
    ));
    Ok(())
}

fn build(engine: &Engine, from_packages: bool) -> Result<()> {
    let (ours, theirs) = (
        root().join("deploy/docker/Dockerfile"),
        root().join("tests/image/Dockerfile"),
    );
    if from_packages {
        for file in [&ours, &theirs] {
            bootstrap::bases(engine, file)?;
        }
    }
    engine.build(&ours, &root(), IMAGE)?;
    engine.build(&theirs, &root().join("tests/clients"), CLIENT)?;
    Ok(())
}
