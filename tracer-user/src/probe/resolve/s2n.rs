//! s2n-tls by the names of its functions, as the AWS Common Runtime carries it (`_awscrt.abi3.so`).

use super::image::Image;
use super::openssl::point;
use super::{CountReturn, Library, Resolver, Role, Sibling, Stack, Unresolved};

/// Probes on the public functions.
#[derive(Debug)]
pub(super) struct Symbols;

impl Resolver for Symbols {
    fn name(&self) -> &'static str {
        "symbols"
    }

    fn stack(&self) -> Stack {
        Stack::S2n
    }

    fn resolve(&self, image: &Image<'_>, _: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        const NAMES: [&str; 4] = [
            "s2n_recv",
            "s2n_send",
            "s2n_connection_new",
            "s2n_connection_free",
        ];
        let by_result = CountReturn::ReturnValue;
        let roles = [
            Role::Read(by_result),
            Role::Write(by_result),
            Role::New,
            Role::Free,
        ];
        let found = image.functions(NAMES);
        let [Some(_), Some(_), Some(_), Some(_)] = found else {
            return Vec::new();
        };
        let points = found
            .into_iter()
            .flatten()
            .zip(roles)
            .zip(NAMES)
            .map(|((function, role), symbol)| point(image, role, function, symbol));
        vec![points.collect::<Result<_, _>>().map(|points| Library {
            name: "s2n-tls",
            version: None,
            provider: None,
            resolver: self.name(),
            points,
        })]
    }
}
