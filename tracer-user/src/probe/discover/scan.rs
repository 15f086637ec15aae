//! The look at everything, in slices: who uses which file, and which files nobody uses any more.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use super::super::files::FileIdentity;
use super::super::{maps, prescan};
use super::{Finder, Followed, Found, SCAN_INTERVAL, all_pids};

/// A look at everything is done in slices of this length, so that the ring buffer is read in between.
const SCAN_SLICE: Duration = Duration::from_millis(5);
/// After so many looks that found no user of a file its probes are taken away. Those between the usual ones do not count.
pub(super) const UNUSED_SCANS: u32 = 2;

/// A look at everything, under way.
#[derive(Debug)]
pub(super) struct Scan {
    pids: Vec<u32>,
    seen: HashSet<((u32, u32), u64)>,
    used: HashSet<FileIdentity>,
    /// Its time has come, and not only that of something that was refused.
    is_usual: bool,
    /// Some of it could not be looked at.
    pub(super) is_blind: bool,
}

impl Finder {
    /// The processes that are looked at.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        match &self.scope {
            Followed::All => all_pids(),
            Followed::Processes(pids) => Ok(pids.iter().copied().collect()),
        }
    }

    /// Begins a look at everything; a usual one or one for the sake of what was refused.
    pub(super) fn begin_scan(&mut self, is_usual: bool) {
        let pids = self.pids();
        self.scan = Some(Scan {
            pids: Vec::new(),
            seen: HashSet::new(),
            used: HashSet::new(),
            is_usual,
            is_blind: false,
        });
        let pids = self.unless_short(pids).unwrap_or_default();
        if let Some(scan) = &mut self.scan {
            scan.pids = pids;
        }
    }

    /// Does a slice of it.
    pub(super) fn go_on_scanning(&mut self, found: &mut Vec<Found>) {
        let begin = Instant::now();
        while let Some(scan) = &mut self.scan {
            let Some(pid) = scan.pids.pop() else {
                self.end_scan(found);
                return;
            };
            // Asked anew: a program may have changed its command line.
            self.bystanders.forget(pid);
            if self.bystanders.is_one(pid) {
                continue;
            }
            let mapped = maps::code_files(pid);
            for mapped in self.unless_short(mapped).unwrap_or_default() {
                let is_new = |scan: &mut Scan| scan.seen.insert((mapped.device, mapped.inode));
                if self.scan.as_mut().is_some_and(is_new) {
                    let looked = self.look_at_mapping(&mapped, found);
                    self.used(looked);
                }
            }
            if begin.elapsed() > SCAN_SLICE {
                return;
            }
        }
    }

    /// Somebody uses this file.
    fn used(&mut self, file: Option<FileIdentity>) {
        if let Some(scan) = &mut self.scan {
            scan.used.extend(file);
        }
    }

    fn end_scan(&mut self, found: &mut Vec<Found>) {
        let prepared = match self.scope {
            Followed::All => prescan::system(),
            Followed::Processes(_) => self.prepared.clone(),
        };
        for path in prepared {
            let looked = self.look_at_path(&path, found);
            self.used(looked);
        }
        let Some(scan) = self.scan.take() else {
            return;
        };
        if scan.is_usual {
            let interval = match self.watch {
                Ok(_) => SCAN_INTERVAL,
                Err(_) => Duration::from_secs(1),
            };
            self.next_scan = Instant::now() + interval;
        }
        // Who uses a file is not known then.
        if scan.is_blind {
            return;
        }
        if self.shortage.granted() > 0 {
            tracing::warn!("what processes run can be looked at again");
        }
        self.attachments.retain(|identity, attachment| {
            if scan.used.contains(identity) || self.expected.contains(identity) {
                attachment.unused_scans = 0;
                return true;
            }
            attachment.unused_scans += u32::from(scan.is_usual);
            let is_needed = attachment.unused_scans < UNUSED_SCANS;
            if !is_needed {
                found.push(Found::Detach(*identity));
            }
            is_needed
        });
    }
}
