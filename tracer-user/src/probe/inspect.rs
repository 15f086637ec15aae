//! Looks into one file, for people who want to know whether a program could be traced before it runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files;
use super::resolve::{self, Resolved, Unresolved};

/// What one file gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Where probes would go, or why there would be none.
    pub outcome: Result<Resolved, Unresolved>,
    /// How long it took to tell.
    pub took: Duration,
}

/// Looks into a file of this mount namespace.
pub fn inspect(path: &Path) -> io::Result<Inspection> {
    let path = path.canonicalize()?;
    let (file, folder) = files::open_with_folder(&path)?;
    let begin = Instant::now();
    let outcome = resolve::resolve(&file, &|name| files::open_sibling(&folder, name));
    let took = begin.elapsed();
    let outcome = outcome.map_err(|reason| match reason {
        Unresolved::NoTls => resolve::explain(&file),
        other => other,
    });
    Ok(Inspection { path, outcome, took })
}

impl fmt::Display for Inspection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f64() * 1000.0;
        writeln!(formatter, "{}: looked into in {took:.1} ms", self.path.display())?;
        let listing = match &self.outcome {
            Ok(resolved) => resolved.listing(),
            // Python is such a program: its ssl module brings libssl.
            Err(Unresolved::NoTls) => {
                "no TLS library in it; one that it loads is found as soon as it is mapped\n".to_owned()
            }
            Err(reason) => format!("not traced: {reason}\n"),
        };
        for line in listing.lines() {
            writeln!(formatter, "  {line}")?;
        }
        Ok(())
    }
}
