//! How long it takes to find TLS in a program: what passes before the probes of one that nobody has met yet are in place.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::Setup;
use crate::report::{Report, Target};

const SECTION: &str = "finding TLS in a program (best of five)";

/// "Well under a second", whatever the size.
const PROMISE_MS: f64 = 500.0;
/// Smaller ones say nothing about time.
const LARGE: u64 = 4 << 20;
/// Folders within folders that clients are kept in.
const DEPTH: usize = 8;

/// Adds a figure for each program: those that `GEOPHONE_BENCH_BINARIES` names (separated by `:`), else node, the system's
/// libssl, geophone itself, and the programs that `cargo xtask setup` and `cargo xtask fixtures` have brought.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    for path in programs(setup) {
        let runs = if setup.quick { 1 } else { 5 };
        let mut best: Option<(f64, String)> = None;
        for _ in 0..runs {
            let (milliseconds, found) = look_into(&setup.geophone, &path)?;
            if best.as_ref().is_none_or(|(least, _)| milliseconds < *least) {
                best = Some((milliseconds, found));
            }
        }
        let Some((milliseconds, found)) = best else {
            continue;
        };
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let megabytes = fs::metadata(&path)?.len() >> 20;
        let target = Target::AtMost(PROMISE_MS);
        report.add_against(
            SECTION,
            format!("{name}, {megabytes} MiB: {found}"),
            milliseconds,
            "ms",
            target,
        );
    }
    Ok(())
}

/// The time and the first finding.
fn look_into(geophone: &Path, program: &Path) -> Result<(f64, String)> {
    let output = Command::new(geophone).arg("doctor").arg(program).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines();
    let time = lines
        .next()
        .and_then(|line| line.rsplit_once(" looked into in ")?.1.strip_suffix(" ms"))
        .with_context(|| format!("`geophone doctor {}` says no time", program.display()))?;
    let found = lines.next().unwrap_or_default().trim().to_owned();
    Ok((time.parse()?, found))
}

fn programs(setup: &Setup) -> Vec<PathBuf> {
    if let Some(given) = env::var_os("GEOPHONE_BENCH_BINARIES") {
        return env::split_paths(&given).collect();
    }
    // By size: copies of one program, and links to it, count once.
    let mut found: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let search_path = env::var_os("PATH").unwrap_or_default();
    let node = env::split_paths(&search_path).map(|folder| folder.join("node"));
    let libraries = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    ];
    let libssl = libraries
        .iter()
        .map(|folder| Path::new(folder).join("libssl.so.3"));
    for path in [
        node.into_iter().find(|path| path.exists()),
        libssl.into_iter().find(|path| path.exists()),
    ]
    .into_iter()
    .flatten()
    .chain([setup.geophone.clone()])
    {
        if let Ok(metadata) = fs::metadata(&path) {
            found.insert(metadata.len(), path);
        }
    }
    for folder in ["clients", "fixtures"] {
        collect(&setup.scratch.join(folder), DEPTH, &mut found);
    }
    found.into_values().collect()
}

/// Large programs below a folder.
fn collect(folder: &Path, depth: usize, found: &mut BTreeMap<u64, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() && depth > 0 {
            collect(&path, depth - 1, found);
        } else if metadata.is_file()
            && metadata.len() >= LARGE
            && metadata.permissions().mode() & 0o111 != 0
            && is_elf(&path)
        {
            found.entry(metadata.len()).or_insert(path);
        }
    }
}

fn is_elf(path: &Path) -> bool {
    let mut mark = [0; 4];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut mark).is_ok() && mark == *b"\x7fELF")
}
