//! Where things are: the workspace, the binaries that cargo built, the Python environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// A file of `tests/clients`.
pub fn client_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Interpreter of the Python environment that `cargo xtask setup` makes.
pub fn python() -> Result<PathBuf> {
    set_up("venv/bin/python")
}

/// A file of the clients that `cargo xtask setup` builds or fetches: `node`, `go` or `rust`.
pub fn built_client(set: &str, file: &str) -> Result<PathBuf> {
    set_up(&format!("clients/{set}/{file}"))
}

/// A program of `target/deploy-tools`: `helm`, `kubectl`, `kubernetes-validate`, the `python` that they came with, or `promtool`.
pub fn deploy_tool(name: &str) -> Result<PathBuf> {
    set_up(&format!("deploy-tools/bin/{name}"))
}

/// Something below the target directory that is set up before the tests.
pub(crate) fn set_up(file: &str) -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let file = target.join(file);
    if !file.exists() {
        bail!(
            "there is no {}: run `cargo xtask setup` (or `cargo xtask test`) first",
            file.display()
        );
    }
    Ok(file)
}

/// The `geophone` binary of the same build as the running test.
pub fn geophone() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // target/debug/deps/TEST → target/debug/geophone
    let binary = test
        .ancestors()
        .nth(2)
        .map(|directory| directory.join("geophone"))
        .filter(|binary| binary.exists());
    match binary {
        Some(binary) => Ok(binary),
        None => bail!(
            "no geophone binary beside {}: run `cargo build -p tracer-user` (or `cargo xtask test`) first",
            test.display()
        ),
    }
}

/// `geophone` as the container image has it: linked statically. `cargo xtask test` builds it before the tests, a plain
/// `cargo test` takes the last one.
pub fn static_geophone() -> Result<PathBuf> {
    set_up("static/geophone")
}

const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Whether live probes can be attached; says loudly which test is skipped when they cannot.
pub fn can_trace() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let can = capabilities & CAP_SYS_ADMIN != 0;
    if !can {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a live test");
        // Not eprintln: the test harness would swallow it, since the test passes.
        let mut stderr = std::io::stderr().lock();
        writeln!(
            stderr,
            "\n*** NOT RUN: {test}: live probes need root (CAP_SYS_ADMIN) ***\n"
        )
        .ok();
    }
    can
}
