//! Puts probes at the attach points of a file and takes them away again.

use std::path::Path;

use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope};
use aya::programs::{ProgramError, UProbe};
use tracer_common::cookie::CallShape;

use super::Error;
use super::loader::{Kernel, chain, program};
use super::resolve::{AttachPoint, CountReturn, Role};

/// The probes in one file. Uprobes belong to the inode: they are in every process that maps the file, now and later, under
/// whatever path; which of those processes are looked at, the programs decide.
#[derive(Debug, Default)]
#[must_use = "dropping it leaves the probes in place until the programs go"]
pub(super) struct Attachment {
    links: Vec<(&'static str, UProbeLinkId)>,
}

impl Attachment {
    /// How many probes there are.
    pub(super) fn probes(&self) -> usize {
        self.links.len()
    }
}

impl Kernel {
    /// Attaches to all points of a file, or to none: half a pair would show half a conversation.
    pub(super) fn attach(&mut self, file: &Path, points: &[AttachPoint]) -> Result<Attachment, Error> {
        let mut attachment = Attachment::default();
        let mut in_order: Vec<&AttachPoint> = points.iter().collect();
        in_order.sort_by_key(|point| order(point.role));
        for point in in_order {
            for (name, cookie) in programs(point.role) {
                match self.attach_one(name, cookie, file, point.offset) {
                    Ok(link) => attachment.links.push((name, link)),
                    Err(reason) => {
                        self.detach(attachment);
                        return Err(Error::Attach {
                            path: file.display().to_string(),
                            symbol: point.symbol.clone(),
                            reason,
                        });
                    }
                }
            }
        }
        Ok(attachment)
    }

    /// Takes the probes of a file away. The kernel waits for programs that still run: a tenth of a second for each probe.
    pub(super) fn detach(&mut self, attachment: Attachment) {
        for (name, link) in attachment.links {
            if let Ok(program) = self.program::<UProbe>(name)
                && let Err(error) = program.detach(link)
            {
                tracing::warn!(program = name, %error, "a probe was already gone");
            }
        }
    }

    fn attach_one(
        &mut self,
        name: &str,
        cookie: u64,
        file: &Path,
        offset: u64,
    ) -> Result<UProbeLinkId, String> {
        let program: &mut UProbe = self.program(name).map_err(|error| error.to_string())?;
        let point = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(offset),
            cookie: Some(cookie),
        };
        program
            .attach(point, file, UProbeScope::AllProcesses)
            .map_err(|error: ProgramError| chain(&error))
    }
}

/// Functions that move plaintext first, `SSL_new` last: a connection whose beginning was seen must not miss bytes.
fn order(role: Role) -> u8 {
    match role {
        Role::Read(_) | Role::Write(_) => 0,
        Role::Free => 1,
        Role::Control => 2,
        Role::New => 3,
        Role::RustlsEncrypt(_) | Role::RustlsDecrypt(_) => 0,
        Role::GoWrite | Role::GoRead | Role::GoReadReturn => 0,
        Role::GoClose => 1,
        Role::GoHandshake => 3,
    }
}

/// The programs that go to a function, each with its cookie, in the order to attach them.
fn programs(role: Role) -> Vec<(&'static str, u64)> {
    let call = |write, count| {
        let cookie = CallShape {
            write,
            count_argument: match count {
                CountReturn::ReturnValue => None,
                CountReturn::OutPointer { argument } => Some(argument),
            },
        }
        .encode();
        vec![(program::CALL_ENTRY, cookie), (program::CALL_RETURN, cookie)]
    };
    match role {
        Role::Read(count) => call(false, count),
        Role::Write(count) => call(true, count),
        Role::New => vec![(program::CONNECTION_NEW, 0)],
        Role::Free => vec![(program::CONNECTION_FREE, 0)],
        Role::Control => vec![(program::CONNECTION_CONTROL, 0)],
        Role::RustlsEncrypt(_)
        | Role::RustlsDecrypt(_)
        | Role::GoWrite
        | Role::GoRead
        | Role::GoReadReturn
        | Role::GoHandshake
        | Role::GoClose => Vec::new(),
    }
}
