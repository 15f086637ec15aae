//! BoringSSL and AWS-LC without symbols, as in Bun, Claude Code and gRPC: by what `SSL_read` and `SSL_write` can report.
//!
//! Reasons are BoringSSL's, from `include/openssl/ssl.h` and `err.h`; lines move from version to version, reasons do not.
//!
//! | function | reports | and |
//! |---|---|---|
//! | `SSL_write` | 0x42, 0xe2, 0xd7, 0x6f | |
//! | `ssl_read_impl` | 0xe2, 0xd7; where renegotiation is inlined also 0x6e, 0xb6 | |
//! | `SSL_read` | 0x42 | calls `ssl_read_impl`, and takes from the connection what it has read |
//! | `SSL_peek` | 0x42 | calls `ssl_read_impl`, and writes to nothing of the connection |
//! | `SSL_new` | 0xb9 | a probe there is good to have, but not needed |
//!
//! Each must be the only one that fits, and its code must prove that a return probe is safe there.

use super::errors::{Followed, Mention, single};
use super::image::{Function, Image};
use super::openssl::point;
use super::{CountReturn, Library, Role, Unresolved};

/// `ERR_LIB_SSL`
const LIBRARY: u64 = 16;

const SHOULD_NOT_HAVE_BEEN_CALLED: u64 = 0x42;
const BAD_LENGTH: u64 = 0x6f;
const NO_RENEGOTIATION: u64 = 0x6e;
const NULL_SSL_CONTEXT: u64 = 0xb9;
const NOT_COMPLETE: u64 = 0xb6;
const HANDSHAKE_FAILURE: u64 = 0xd7;
const UNINITIALIZED: u64 = 0xe2;

const WRITE: &[u64] = &[
    SHOULD_NOT_HAVE_BEEN_CALLED,
    BAD_LENGTH,
    HANDSHAKE_FAILURE,
    UNINITIALIZED,
];
const READ: &[u64] = &[SHOULD_NOT_HAVE_BEEN_CALLED];
const READ_IMPLEMENTATION: [&[u64]; 2] = [
    &[HANDSHAKE_FAILURE, UNINITIALIZED],
    &[NO_RENEGOTIATION, NOT_COMPLETE, HANDSHAKE_FAILURE, UNINITIALIZED],
];
const NEW: &[u64] = &[NULL_SSL_CONTEXT];

/// Finds the functions among those that mention the name of their source file.
pub(super) fn library(
    image: &Image<'_>,
    source: &Mention,
    followed: &[Followed],
    resolver: &'static str,
) -> Result<Library, Unresolved> {
    let name = if source.text.contains("aws-lc") {
        "AWS-LC"
    } else {
        "BoringSSL"
    };
    let refused = |reason: String| Unresolved::Refused {
        library: name.to_owned(),
        reason: format!("without symbols, and {reason}"),
    };
    let found = Found::among(followed).map_err(refused)?;
    let by_result = CountReturn::ReturnValue;
    let mut wanted = vec![
        (Role::Read(by_result), found.read, "SSL_read"),
        (Role::Write(by_result), found.write, "SSL_write"),
    ];
    wanted.extend(found.new.map(|new| (Role::New, new, "SSL_new")));
    let points = wanted.into_iter().map(|(role, address, symbol)| {
        let function = Function { address, size: 0 };
        point(image, role, function, symbol)
    });
    Ok(Library {
        name,
        version: None,
        provider: None,
        resolver,
        points: points.collect::<Result<_, _>>()?,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    read: u64,
    write: u64,
    new: Option<u64>,
}

impl Found {
    fn among(followed: &[Followed]) -> Result<Self, String> {
        let reporting = |reasons: &[u64]| -> Vec<&Followed> {
            followed.iter().filter(|one| reports(one, reasons)).collect()
        };
        let implementations = READ_IMPLEMENTATION.map(reporting).concat();
        let implementation = single(&implementations, "ssl_read_impl")?;
        let readers: Vec<&Followed> = reporting(READ)
            .into_iter()
            .filter(|one| one.walk.calls.contains(&implementation.start) && one.walk.writes)
            .collect();
        let read = single(&readers, "SSL_read")?;
        let write = single(&reporting(WRITE), "SSL_write")?;
        let takers = |one: &Followed| one.walk.reports.iter().map(|report| report.to).next();
        if takers(read) != takers(write) || takers(read) != takers(implementation) {
            return Err("its functions do not report to the same place".to_owned());
        }
        Ok(Self {
            read: read.start,
            write: write.start,
            new: single(&reporting(NEW), "SSL_new").ok().map(|new| new.start),
        })
    }
}

/// Whether it reports these reasons, each at least once and none beside them, all to one function.
fn reports(one: &Followed, reasons: &[u64]) -> bool {
    let mut reports = one.walk.reports.iter();
    let Some(first) = reports.next() else { return false };
    let are_alike = first.to.is_some()
        && one.walk.reports.iter().all(|report| {
            report.to == first.to
                && report.library == Some(LIBRARY)
                && report.reason.is_some_and(|reason| reasons.contains(&reason))
        });
    are_alike
        && reasons.iter().all(|reason| {
            one.walk
                .reports
                .iter()
                .any(|report| report.reason == Some(*reason))
        })
}
