//! A request by uv, the Python package manager: a program as it is shipped, stripped, with rustls inside.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::calls::encode;
use crate::environment::{python, set_up};
use crate::fake::{FakeBedrock, Operation};
use crate::program::Program;

/// Makes a package of nothing.
const WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("granite-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: granite\nVersion: 1.0\n")
    wheel.writestr("granite-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("granite-1.0.dist-info/RECORD", "")
"#;

/// A command line that posts a package to the address where a model is invoked.
pub fn publish(fake: &FakeBedrock, model: &str, directory: &Path) -> Result<Command> {
    let wheel = directory.join("granite-1.0-py3-none-any.whl");
    let mut make = Command::new(python()?);
    make.args(["-c", WHEEL]).arg(&wheel);
    Program::start("python", &mut make)?.succeed()?;
    let segment = Operation::InvokeModel.path_segment();
    let address = format!("{}/model/{}/{segment}", fake.endpoint(), encode(model));
    let mut command = Command::new(set_up("venv/bin/uv")?);
    command
        .args([
            "publish",
            "--no-cache",
            "--no-config",
            "--token",
            "nobody",
            "--publish-url",
            &address,
        ])
        .arg(wheel)
        .env("SSL_CERT_FILE", fake.authority());
    Ok(command)
}
