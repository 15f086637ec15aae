//! Control groups as container runtimes make them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A control group in a folder of its own; gone in the end.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
    folders: usize,
}

impl ControlGroup {
    /// Makes a control group of this path, below a folder that nobody else has.
    pub fn new(path: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let root = mounts
            .lines()
            .find_map(|line| match line.split(' ').collect::<Vec<_>>().as_slice() {
                [_, root, "cgroup2", ..] => Some(*root),
                _ => None,
            })
            .context("no cgroup v2 is mounted")?;
        let own = format!("geophone-test-{}", std::process::id());
        let group = Self {
            path: Path::new(root).join(own).join(path),
            folders: 1 + Path::new(path).components().count(),
        };
        fs::create_dir_all(&group.path).context("cannot make a control group")?;
        Ok(group)
    }

    /// The file that processes write their pid to.
    pub fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Puts a process into it.
    pub fn take(&self, pid: u32) -> Result<()> {
        Ok(fs::write(self.processes(), pid.to_string())?)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for folder in self.path.ancestors().take(self.folders) {
            fs::remove_dir(folder).ok();
        }
    }
}
