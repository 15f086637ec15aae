//! `GnuTLS` by its exported functions, as wget and many a desktop program use it.
//!
//! `gnutls_record_send` calls `gnutls_record_send2` where that exists (3.6.3 and later), so one of them is probed.

use super::image::Image;
use super::openssl::point;
use super::{CountReturn, Library, Resolver, Role, Sibling, Stack, Unresolved};

/// Probes on the public functions.
#[derive(Debug)]
pub(super) struct Exports;

impl Resolver for Exports {
    fn name(&self) -> &'static str {
        "symbols"
    }

    fn stack(&self) -> Stack {
        Stack::GnuTls
    }

    fn resolve(&self, image: &Image<'_>, _: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        let [receive, send, send2, end] = image.functions([
            "gnutls_record_recv",
            "gnutls_record_send",
            "gnutls_record_send2",
            "gnutls_deinit",
        ]);
        let (Some(receive), Some(send)) = (receive, send) else {
            return Vec::new();
        };
        let by_result = CountReturn::ReturnValue;
        let mut wanted = vec![
            (Role::Read(by_result), receive, "gnutls_record_recv"),
            match send2 {
                Some(send2) => (Role::Write(by_result), send2, "gnutls_record_send2"),
                None => (Role::Write(by_result), send, "gnutls_record_send"),
            },
        ];
        wanted.extend(end.map(|end| (Role::Free, end, "gnutls_deinit")));
        let points = wanted
            .into_iter()
            .map(|(role, function, symbol)| point(image, role, function, symbol));
        vec![points.collect::<Result<_, _>>().map(|points| Library {
            name: "GnuTLS",
            version: None,
            provider: None,
            resolver: self.name(),
            points,
        })]
    }
}
