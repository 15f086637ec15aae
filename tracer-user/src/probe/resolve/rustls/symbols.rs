//! rustls by the names of its functions, in old ("legacy") and new ("v0") mangling, of any provider.

use std::collections::{BTreeMap, BTreeSet};

use super::super::image::{Function, Image};
use super::super::{Library, Resolver, Sibling, Stack, Unresolved};
use super::sources::{Source, Version, sources};
use super::{Cipher, Half, Optimised, anchor, libraries, refused};

/// Probes on functions that the symbol table names.
#[derive(Debug)]
pub(in super::super) struct Symbols;

/// A cipher's function as its name tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    half: Half,
    /// The type that implements it, as a path.
    implementer: String,
    /// The trait's path is the one of 0.21 and before.
    is_old: bool,
}

impl Resolver for Symbols {
    fn name(&self) -> &'static str {
        "symbols"
    }

    fn stack(&self) -> Stack {
        Stack::Rustls
    }

    fn resolve(&self, image: &Image<'_>, _: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        let found: Vec<(Named, Function)> = image
            .functions_naming(&[b"MessageEncrypter", b"MessageDecrypter"])
            .into_iter()
            .filter_map(|(mangled, function)| Some((parse(mangled)?, function)))
            .collect();
        if found.is_empty() {
            return Vec::new();
        }
        let sources = sources(image);
        let versions = versions(image, &sources);
        let mut by_version: BTreeMap<Version, Vec<Cipher>> = BTreeMap::new();
        let mut reasons = Vec::new();
        for (named, function) in found {
            match place(image, &sources, &versions, &named, function) {
                Ok((version, cipher)) => by_version.entry(version).or_default().push(cipher),
                Err(reason) if reasons.contains(&Err(reason.clone())) => {}
                Err(reason) => reasons.push(Err(reason)),
            }
        }
        if !reasons.is_empty() {
            return reasons;
        }
        by_version
            .iter()
            .flat_map(|(version, ciphers)| {
                libraries(image, version, ciphers, Optimised::Unknown, self.name())
            })
            .collect()
    }
}

/// Every version that the file has sources of. Texts can mention others, which no panic location leads to.
fn versions(image: &Image<'_>, sources: &[Source]) -> BTreeSet<Version> {
    let mentioned: BTreeSet<Version> = sources.iter().map(|source| source.version.clone()).collect();
    match mentioned.len() {
        0 | 1 => mentioned,
        _ => anchor::located_versions(image, sources),
    }
}

/// Which version a function belongs to.
fn place(
    image: &Image<'_>,
    sources: &[Source],
    versions: &BTreeSet<Version>,
    named: &Named,
    function: Function,
) -> Result<(Version, Cipher), Unresolved> {
    let mut versions = versions
        .iter()
        .filter(|version| version.has_providers() != named.is_old);
    let version = match (versions.next(), versions.next()) {
        (Some(only), None) => only.clone(),
        (None, _) => return Err(refused(None, "nothing in the file tells its version")),
        // Two that have the same names: the vtable stands beside a path with the version.
        (Some(_), Some(_)) => anchor::version_of(image, sources, function.address).ok_or_else(|| {
            refused(
                None,
                "several versions in one file, with nothing to tell them apart",
            )
        })?,
    };
    if function.size == 0 {
        let reason = format!("the symbol of {} has no size", named.implementer);
        return Err(refused(Some(&version), reason));
    }
    let method = match named.half {
        Half::Encrypt => "encrypt",
        Half::Decrypt => "decrypt",
    };
    let cipher = Cipher {
        half: named.half,
        address: function.address,
        name: format!("{}::{method}", named.implementer),
        provider: provider(&named.implementer, named.is_old),
    };
    Ok((version, cipher))
}

/// The provider of rustls itself, or the crate that implements the trait.
fn provider(implementer: &str, is_old: bool) -> String {
    let mut parts = implementer.split("::");
    match (parts.next(), parts.next(), parts.next()) {
        // Before 0.22 there was no other.
        (Some("rustls"), _, _) if is_old => "ring".to_owned(),
        (Some("rustls"), Some("crypto"), Some(provider)) => anchor::provider(provider),
        (first, _, _) => first.unwrap_or_default().to_owned(),
    }
}

/// Reads `<TYPE as rustls::crypto::cipher::MessageEncrypter>::encrypt` and the like out of a mangled name. What is nested in
/// such a function has a longer name, and the stand-ins for a connection without keys are none of the ciphers.
fn parse(mangled: &[u8]) -> Option<Named> {
    let demangled = rustc_demangle::try_demangle(std::str::from_utf8(mangled).ok()?).ok()?;
    let name = format!("{demangled:#}");
    let (implementer, method) = name.strip_prefix('<')?.split_once(" as rustls::")?;
    let (is_old, half) = match method {
        "crypto::cipher::MessageEncrypter>::encrypt" => (false, Half::Encrypt),
        "crypto::cipher::MessageDecrypter>::decrypt" => (false, Half::Decrypt),
        "cipher::MessageEncrypter>::encrypt" => (true, Half::Encrypt),
        "cipher::MessageDecrypter>::decrypt" => (true, Half::Decrypt),
        _ => return None,
    };
    let own_name = implementer.rsplit("::").next()?;
    let is_stand_in = own_name.starts_with("Invalid") || own_name.starts_with("PassThrough");
    (!is_stand_in).then(|| Named {
        half,
        implementer: implementer.to_owned(),
        is_old,
    })
}
