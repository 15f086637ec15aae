//! OpenSSL without symbols: `ssl_read_internal` and `ssl_write_internal` by the name or code under which they report errors.
//!
//! OpenSSL 3 reports errors under the name of the function (`ERR_set_debug`), 1.1.1 under its code (`ERR_put_error`). How the
//! count comes back is proven by the callers: `SSL_read` and `SSL_write` hand on their arguments and a place in their own
//! frame, behind flags of zero where the function takes flags (3.2 and later).

use std::collections::BTreeSet;

use super::errors::{Followed, Mention, Scan, callers, single};
use super::image::{Function, Image};
use super::openssl::{self, point};
use super::openssl_internal::{READ, Signature, WRITE, plain};
use super::{AttachPoint, CountReturn, Library, Role, Sibling, Unresolved};

/// `ERR_LIB_SSL`
const LIBRARY: u64 = 20;

/// How a version names the function that reports.
#[derive(Debug, Clone, Copy)]
pub(super) enum Naming<'a> {
    /// Under its name, which is one of these texts.
    Name(&'a [Mention]),
    /// Under its code, beside the name of this source file.
    Code,
}

/// Finds the functions among those that report errors.
pub(super) fn library(
    image: &Image<'_>,
    sibling: Sibling<'_>,
    naming: Naming<'_>,
    scan: &Scan,
    followed: &[Followed],
    resolver: &'static str,
) -> Result<Library, Unresolved> {
    let mut points = Vec::new();
    for (signature, role) in [
        (&READ, Role::Read as fn(CountReturn) -> Role),
        (&WRITE, Role::Write),
    ] {
        let found =
            one(image, naming, scan, followed, signature, role).map_err(|reason| Unresolved::Refused {
                library: "OpenSSL".to_owned(),
                reason: format!("without symbols, and {reason}"),
            })?;
        points.push(found?);
    }
    Ok(openssl::library(image, sibling, resolver, points))
}

fn one(
    image: &Image<'_>,
    naming: Naming<'_>,
    scan: &Scan,
    followed: &[Followed],
    signature: &Signature,
    role: fn(CountReturn) -> Role,
) -> Result<Result<AttachPoint, Unresolved>, String> {
    let candidates: Vec<&Followed> = followed
        .iter()
        .filter(|one| is_reported_as(one, naming, signature))
        .collect();
    let start = single(&candidates, signature.name)?.start;
    let argument = count_argument(image, scan, start).ok_or_else(|| {
        format!(
            "no caller of {} shows where it tells how many bytes it moved",
            signature.name
        )
    })?;
    let function = Function {
        address: start,
        size: 0,
    };
    Ok(point(
        image,
        role(CountReturn::OutPointer { argument }),
        function,
        signature.name,
    ))
}

fn is_reported_as(one: &Followed, naming: Naming<'_>, signature: &Signature) -> bool {
    let mut reports = one.walk.reports.iter().peekable();
    reports.peek().is_some()
        && match naming {
            Naming::Name(names) => reports.all(|report| {
                names
                    .iter()
                    .any(|name| name.text == signature.name && name.range.contains(&report.text))
            }),
            Naming::Code => reports
                .all(|report| report.library == Some(LIBRARY) && report.function == Some(signature.code)),
        }
}

/// Which argument is the place for the count; `None` unless a caller shows it and none contradicts.
fn count_argument(image: &Image<'_>, scan: &Scan, start: u64) -> Option<u8> {
    let shown: BTreeSet<u8> = callers(image, scan, start)
        .into_iter()
        .filter_map(|caller| plain(image, caller))
        .filter(|proven| proven.address == start)
        .map(|proven| proven.count_argument)
        .collect();
    match shown.into_iter().collect::<Vec<_>>().as_slice() {
        [argument] => Some(*argument),
        _ => None,
    }
}
