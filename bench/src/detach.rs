//! How long it takes to put hundreds of probes in place, and to take them away again: what ending costs on a large host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tracer_user::probe::resolve::AttachPoint;
use tracer_user::probe::{Links, Options, Scope, Tracer, inspect};

use crate::Setup;
use crate::report::{Report, Target};

const SECTION: &str = "probes in many files";

/// Files, each with all probes of OpenSSL: as many images of containers as a large node has.
const FILES: usize = 60;
/// The same where each probe is taken away by itself.
const FILES_SINGLE: usize = 15;

/// Beside 12 seconds for what is under way nobody notices it.
const PROMISE_MS: f64 = 1_000.0;

/// Adds the times for both kinds of links, for probes of many files at once.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&setup.scratch)?;
    let library = library()?;
    let found = inspect::inspect(&library)?
        .outcome
        .map_err(|reason| anyhow::anyhow!("{}: {reason}", library.display()))?;
    let points: Vec<AttachPoint> = found
        .libraries
        .iter()
        .flat_map(|library| library.points.clone())
        .collect();
    for (links, name, files, target) in [
        (
            Links::Joined,
            "one link for each program and file",
            FILES,
            Some(Target::AtMost(PROMISE_MS)),
        ),
        (Links::Single, "a link for each probe", FILES_SINGLE, None),
    ] {
        let paths = copies(&library, folder.path(), files)?;
        let mut tracer = Tracer::start(Options {
            links,
            ..Options::new(Scope::Processes(vec![std::process::id()]))
        })?;
        let before = Instant::now();
        let mut probes = 0;
        for path in &paths {
            probes += tracer.attach(path, &points)?;
        }
        let attached = before.elapsed();
        let before = Instant::now();
        tracer.stop();
        let detached = before.elapsed();
        let what = format!("{probes} probes in {files} files, {name}");
        report.add(
            SECTION,
            format!("{what}: in place"),
            attached.as_secs_f64() * 1e3,
            "ms",
        );
        let (name, milliseconds) = (format!("{what}: gone"), detached.as_secs_f64() * 1e3);
        match target {
            Some(target) => report.add_against(SECTION, name, milliseconds, "ms", target),
            None => report.add(SECTION, name, milliseconds, "ms"),
        }
    }
    Ok(())
}

/// The OpenSSL of this host.
fn library() -> Result<PathBuf> {
    for folder in ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"] {
        let path = Path::new(folder).join("libssl.so.3");
        if path.exists() {
            return Ok(path);
        }
    }
    bail!("this host has no libssl.so.3")
}

/// Copies have inodes of their own, and so probes of their own.
fn copies(library: &Path, folder: &Path, count: usize) -> Result<Vec<PathBuf>> {
    (0..count)
        .map(|number| {
            let path = folder.join(format!("libssl-{number}.so.3"));
            fs::copy(library, &path).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path)
        })
        .collect()
}
