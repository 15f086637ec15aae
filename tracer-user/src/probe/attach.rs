//! Puts probes at the attach points of a file and takes them away again.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope};
use aya::programs::{ProgramError, UProbe};
use tracer_common::cookie::{CallShape, RustlsShape};

use super::Error;
use super::loader::{Kernel, chain, program};
use super::multi::Place;
use super::resolve::{AttachPoint, CountReturn, Role, RustlsLayout};
use crate::rights::{self, Rights};

/// The probes in one file. Uprobes belong to the inode: they are in every process that maps the file, now and later, under
/// whatever path; which of those processes are looked at, the programs decide.
#[derive(Debug, Default)]
#[must_use = "dropping it may leave probes in place until the programs go"]
pub(super) struct Attachment {
    links: Vec<Link>,
    probes: usize,
}

/// What holds probes in place.
#[derive(Debug)]
enum Link {
    /// Many places of one program; closing it takes them all away.
    Many(OwnedFd),
    /// One place.
    One(&'static str, UProbeLinkId),
}

impl Attachment {
    /// How many probes there are.
    pub(super) fn probes(&self) -> usize {
        self.probes
    }

    /// Several as one, to be taken away together.
    pub(super) fn all(attachments: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for Self { links, probes } in attachments {
            all.links.extend(links);
            all.probes += probes;
        }
        all
    }
}

impl Kernel {
    /// Attaches to all points of a file, or to none: half a pair would show half a conversation.
    pub(super) fn attach(&mut self, file: &Path, points: &[AttachPoint]) -> Result<Attachment, Error> {
        let mut attachment = Attachment::default();
        for Group { program, places } in groups(points) {
            let result = match &self.multi {
                Some(programs) => programs
                    .attach(program, file, &places)
                    .map(|link| attachment.links.push(Link::Many(link)))
                    .map_err(|error| error.to_string()),
                None => places.iter().try_for_each(|place| {
                    let link = self.attach_one(program, *place, file)?;
                    attachment.links.push(Link::One(program, link));
                    Ok(())
                }),
            };
            if let Err(reason) = result {
                self.detach(attachment);
                return Err(Error::Attach {
                    path: file.display().to_string(),
                    symbol: names(points, &places),
                    reason,
                });
            }
            attachment.probes += places.len();
        }
        Ok(attachment)
    }

    /// Takes probes away. Links of many places go together; where each probe is a link of its own the kernel waits a tenth
    /// of a second for each, one after the other, from however many threads they are closed.
    pub(super) fn detach(&mut self, attachment: Attachment) {
        let mut many = Vec::new();
        for link in attachment.links {
            match link {
                Link::Many(link) => many.push(link),
                Link::One(name, link) => {
                    if let Ok(program) = self.program::<UProbe>(name)
                        && let Err(error) = program.detach(link)
                    {
                        tracing::warn!(program = name, %error, "a probe was already gone");
                    }
                }
            }
        }
        close_together(many);
    }

    fn attach_one(&mut self, name: &str, place: Place, file: &Path) -> Result<UProbeLinkId, String> {
        let program: &mut UProbe = self.program(name).map_err(|error| error.to_string())?;
        let point = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(place.offset),
            cookie: Some(place.cookie),
        };
        program
            .attach(point, file, UProbeScope::AllProcesses)
            .map_err(|error: ProgramError| chain(&error))
    }
}

/// Closes links from many threads: the kernel waits some 40 ms for each, but only once for all that are closed at a time. Where
/// threads cannot be had, fewer do it.
fn close_together(links: Vec<OwnedFd>) {
    const THREADS: usize = 256;
    let helpers = links.len().saturating_sub(1).min(THREADS);
    let left = Mutex::new(links);
    let close = || {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if next.is_none() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            if rights::spawn_scoped(scope, "detach", Rights::NONE, close).is_err() {
                break;
            }
        }
        close();
    });
}

/// Places of one program that may be attached to at once.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    program: &'static str,
    places: Vec<Place>,
}

/// The points in the order to attach them, those of one program and one rank together.
fn groups(points: &[AttachPoint]) -> Vec<Group> {
    let mut in_order: Vec<&AttachPoint> = points.iter().collect();
    in_order.sort_by_key(|point| order(point.role));
    let beginnings_told = points.iter().any(|point| point.role == Role::New);
    let mut ranks: Vec<(u8, Vec<Group>)> = Vec::new();
    for point in in_order {
        let rank = order(point.role);
        if ranks.last().is_none_or(|(last, _)| *last != rank) {
            ranks.push((rank, Vec::new()));
        }
        let Some((_, groups)) = ranks.last_mut() else {
            continue;
        };
        for (program, cookie) in programs(point.role, beginnings_told) {
            let place = Place {
                offset: point.offset,
                cookie,
            };
            match groups.iter_mut().find(|group| group.program == program) {
                Some(group) => group.places.push(place),
                None => groups.push(Group {
                    program,
                    places: vec![place],
                }),
            }
        }
    }
    ranks.into_iter().flat_map(|(_, groups)| groups).collect()
}

/// Which functions were to be probed, for people.
fn names(points: &[AttachPoint], places: &[Place]) -> String {
    let names: Vec<&str> = points
        .iter()
        .filter(|point| places.iter().any(|place| place.offset == point.offset))
        .map(|point| point.symbol.as_str())
        .collect();
    names.join(", ")
}

/// Functions that move plaintext first, `SSL_new` last: a connection whose beginning was seen must not miss bytes.
fn order(role: Role) -> u8 {
    match role {
        Role::Read(_)
        | Role::Write(_)
        | Role::RustlsEncrypt(_)
        | Role::RustlsDecrypt(_)
        | Role::GoWrite
        | Role::GoRead
        | Role::GoReadReturn => 0,
        Role::Free | Role::GoClose => 1,
        Role::Control => 2,
        Role::New | Role::GoHandshake => 3,
    }
}

/// The programs that go to a function, each with its cookie, in the order to attach them. `beginnings_told`: another probe
/// of the file tells when a connection object is made.
fn programs(role: Role, beginnings_told: bool) -> Vec<(&'static str, u64)> {
    let cookie = |write, count| {
        CallShape {
            write,
            count_argument: match count {
                CountReturn::ReturnValue => None,
                CountReturn::OutPointer { argument } => Some(argument),
            },
            beginnings_told,
        }
        .encode()
    };
    let call = |write, count| {
        let cookie = cookie(write, count);
        vec![(program::CALL_ENTRY, cookie), (program::CALL_RETURN, cookie)]
    };
    let shape = |layout| {
        match layout {
            RustlsLayout::Borrowed => RustlsShape::Borrowed,
            RustlsLayout::Owned => RustlsShape::Owned,
        }
        .encode()
    };
    match role {
        Role::Read(count) => call(false, count),
        Role::Write(count) => call(true, count),
        Role::New => vec![(program::CONNECTION_NEW, 0)],
        Role::Free => vec![(program::CONNECTION_FREE, 0)],
        Role::Control => vec![(program::CONNECTION_CONTROL, 0)],
        Role::RustlsEncrypt(layout) => vec![(program::RUSTLS_ENCRYPT, shape(layout))],
        Role::RustlsDecrypt(layout) => vec![
            (program::RUSTLS_DECRYPT, shape(layout)),
            (program::RUSTLS_DECRYPTED, shape(layout)),
        ],
        // The program for large calls learns from the cookie which way the bytes go.
        Role::GoWrite => vec![(program::GO_WRITE, cookie(true, CountReturn::ReturnValue))],
        Role::GoRead => vec![(program::GO_READ, 0)],
        Role::GoReadReturn => vec![(program::GO_READ_RETURNS, cookie(false, CountReturn::ReturnValue))],
        Role::GoHandshake => vec![(program::GO_HANDSHAKE, 0)],
        Role::GoClose => vec![(program::GO_CLOSE, 0)],
    }
}
