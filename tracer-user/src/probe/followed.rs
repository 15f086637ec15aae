//! Which processes count.

use std::collections::HashSet;
use std::fs;
use std::io;

use super::process::Stat;

/// Those that tracing was started for.
#[derive(Debug)]
pub(super) enum Followed {
    /// Every process of the host.
    All,
    /// These, and whoever descends from them.
    Processes(HashSet<u32>),
}

impl Followed {
    pub(super) fn includes(&self, pid: u32) -> bool {
        match self {
            Followed::All => true,
            Followed::Processes(pids) => pids.contains(&pid),
        }
    }

    /// Forks may have been missed: whoever descends from a followed process is followed.
    pub(super) fn adopt_children(&mut self) {
        let Followed::Processes(pids) = self else {
            return;
        };
        let parents: Vec<(u32, u32)> = all_pids()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|pid| Some((pid, Stat::read(pid)?.parent_pid)))
            .collect();
        loop {
            let before = pids.len();
            let children = parents
                .iter()
                .filter(|(_, parent)| pids.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>();
            pids.extend(children);
            if pids.len() == before {
                break;
            }
        }
    }
}

/// Every process that can be seen but this one, in no order.
pub(super) fn all_pids() -> io::Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .collect())
}
